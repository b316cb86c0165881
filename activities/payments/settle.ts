import { CheckoutError } from '../../domain/errors.ts';
import { type Money, sameMoney } from '../../domain/money.ts';
import type { Charge } from '../../domain/payment.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal } from '../../infra/payment-gateway/port.ts';
import { abandon } from './abandon.ts';
import type { PaymentDeps, Settled } from './contract.ts';
import { askedOf } from './learn.ts';
import { lookUp, providerIdOf } from './look.ts';
import { lockMark } from './mark.ts';
import { failSettlement, finishSettlement, openSettlement, settlementKey } from './settlement-tables.ts';
import { bookRefunds, findPayment, movePayment, type PaymentRow } from './tables.ts';

/** Ends with certainty: the charge is closed without money, or what was taken is given back. */
export async function settle(deps: PaymentDeps, orderId: string): Promise<Settled> {
  // The first half may still be parked: nothing is asked of the gateway before the race is decided.
  await deps.payment.$transaction((tx) => abandon(tx, orderId, true));
  const payment = await findPayment(deps.payment, paymentIdFor(orderId));
  if (payment === undefined || payment.providerId === null) return { outcome: 'NOTHING_CHARGED' };

  const charge = await closeCharge(deps, payment);
  if (charge.captured !== null) return giveBack(deps, payment, { ...charge, captured: charge.captured });

  const afterMs = mayLandForMs(deps, payment);
  if (afterMs > 0) return { outcome: 'LOOK_AGAIN', afterMs };
  if (charge.status !== 'declined' && charge.status !== 'cancelled') {
    throw new Error(`the charge of order ${orderId} is ${charge.status}: it is asked for again later`);
  }
  await deps.payment.$transaction(async (tx) => {
    await lockMark(tx, orderId);
    await movePayment(tx, payment.paymentId, { from: ['IN_DOUBT'], to: 'CANCELLED', event: 'PaymentCancelled' });
  });
  return { outcome: 'NOTHING_CHARGED' };
}

/** The charge as it is once we have closed it, where it was open. */
async function closeCharge(deps: PaymentDeps, payment: PaymentRow): Promise<Charge> {
  const charge = await lookUp(deps, payment);
  if (charge.status !== 'open' && charge.status !== 'requires_confirmation') return charge;
  try {
    return await deps.gateway.cancel(providerIdOf(deps, payment), deps.signal());
  } catch (error) {
    if (!(error instanceof GatewayRefusal)) throw error;
    throw refusedForGood(payment, `refuses to close its charge: ${error.gatewayCode}`);
  }
}

/** For so long a charge that nobody answered for may still land, reckoned from before the look. Milliseconds. */
const mayLandForMs = ({ gateway }: PaymentDeps, { doubtMs }: PaymentRow): number =>
  doubtMs === null ? 0 : Math.max(0, Math.ceil(gateway.maxProcessingMs - doubtMs));

/** The refund is on record before the gateway is asked, and the gateway knows it by one constant key. */
async function giveBack(
  deps: PaymentDeps,
  payment: PaymentRow,
  charge: Charge & Readonly<{ captured: Money }>,
): Promise<Settled> {
  const { orderId, paymentId } = payment;
  const { captured } = charge;
  const settlement = await deps.payment.$transaction(async (tx) => {
    await lockMark(tx, orderId);
    await movePayment(tx, paymentId, {
      from: ['IN_DOUBT', 'FAILED', 'CANCELLED'],
      to: 'LATE_CAPTURED',
      captured,
      event: 'PaymentCompleted',
    });
    return openSettlement(tx, orderId, paymentId, captured);
  });
  const amount = { ...captured, minor: settlement?.minor ?? captured.minor };
  if (settlement !== undefined && settlement.status !== 'SUCCEEDED') await refundOnce(deps, payment, captured, amount);

  const { status } = await deps.payment.$transaction(async (tx) => {
    await lockMark(tx, orderId);
    await finishSettlement(tx, orderId);
    await bookRefunds(tx, paymentId);
    return (await findPayment(tx, paymentId)) ?? payment;
  });
  if (status !== 'REFUNDED') throw new GatewayOutage(`another refund of order ${orderId} is still on its way`);
  return { outcome: 'REFUNDED', paymentId, amount, ...(!sameMoney(captured, askedOf(payment)) && { mismatch: true }) };
}

/** Returns when the money is given back, by this refund or, where the gateway refuses it, by whoever did it before. */
async function refundOnce(deps: PaymentDeps, payment: PaymentRow, captured: Money, amount: Money): Promise<void> {
  const { orderId } = payment;
  const failureCode = await askRefund(deps, payment, amount);
  if (failureCode === undefined) return;
  const { refundedMinor } = await lookUp(deps, payment);
  if (refundedMinor >= captured.minor) return;
  await deps.payment.$transaction(async (tx) => {
    await lockMark(tx, orderId);
    await failSettlement(tx, orderId, failureCode);
  });
  throw refusedForGood(payment, `refuses to give its money back: ${failureCode}`);
}

/** @returns the gateway's code when it says a final "no" */
async function askRefund(deps: PaymentDeps, payment: PaymentRow, amount: Money): Promise<string | undefined> {
  const { orderId } = payment;
  try {
    const key = settlementKey(orderId);
    const { status, failureCode } = await deps.gateway.refund(providerIdOf(deps, payment), key, amount, deps.signal());
    if (status === 'pending') throw new GatewayOutage(`the gateway still works on the refund of order ${orderId}`);
    return status === 'failed' ? (failureCode ?? 'failed') : undefined;
  } catch (error) {
    if (error instanceof GatewayRefusal) return error.gatewayCode;
    throw error;
  }
}

/** Nobody repeats it: a person decides. */
const refusedForGood = ({ orderId }: PaymentRow, what: string) =>
  new CheckoutError('REFUND_REFUSED', `order ${orderId}: the gateway ${what}`);
