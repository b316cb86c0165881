import { CheckoutError } from '../../domain/errors.ts';
import { type Money, sameMoney } from '../../domain/money.ts';
import type { Charge } from '../../domain/payment.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { safeNumber } from '../../infra/rows.ts';
import { abandon } from './abandon.ts';
import type { PaymentDeps, Settled } from './contract.ts';
import { lockMark } from './mark.ts';
import {
  findPayment,
  finishSettlement,
  insertSettlement,
  movePayment,
  type PaymentRow,
  settlementKey,
} from './tables.ts';

/** Ends with certainty: the charge is closed without money, or what was taken is given back. */
export async function settle(deps: PaymentDeps, orderId: string): Promise<Settled> {
  // The first half may still be parked: nothing is asked of the gateway before the race is decided.
  await deps.payment.$transaction((tx) => abandon(tx, orderId));
  const payment = await findPayment(deps.payment, paymentIdFor(orderId));
  if (payment === undefined || payment.providerId === null) return { outcome: 'NOTHING_CHARGED' };

  const charge = await closedCharge(deps, orderId, payment.providerId);
  if (charge.captured === null) {
    await recordNothingCharged(deps, orderId, payment.paymentId);
    return { outcome: 'NOTHING_CHARGED' };
  }
  await refundAll(deps, orderId, payment.paymentId, { ...charge, captured: charge.captured });
  const asked = { minor: safeNumber(payment.amountMinor), currency: payment.currency };
  if (!sameMoney(charge.captured, asked)) throw mustBeSeen(orderId);
  return { outcome: 'REFUNDED', paymentId: payment.paymentId, amount: charge.captured };
}

/** The charge once it can change no more. An open one is closed; one that the gateway works on is asked for again. */
async function closedCharge({ gateway, signal }: PaymentDeps, orderId: string, providerId: string): Promise<Charge> {
  const found = await gateway.lookup(providerId, signal());
  // It gave us this id, so "unknown" is no answer: the charge may still land.
  if (found === undefined) throw new Error(`the gateway does not know the charge of order ${orderId}`);
  const open = found.status === 'open' || found.status === 'requires_confirmation';
  const charge = open ? await gateway.cancel(providerId, signal()) : found;
  if (charge.status === 'captured' || charge.status === 'declined' || charge.status === 'cancelled') return charge;
  throw new Error(`the charge of order ${orderId} is ${charge.status}: it is asked for again later`);
}

async function recordNothingCharged({ payment }: PaymentDeps, orderId: string, paymentId: string): Promise<void> {
  await payment.$transaction(async (tx) => {
    await lockMark(tx, orderId);
    await movePayment(tx, paymentId, { from: ['IN_DOUBT'], to: 'CANCELLED', event: 'PaymentCancelled' });
  });
}

/** The refund is on record before the gateway is asked, and the gateway knows it by one constant key. */
async function refundAll(
  { payment, gateway, signal }: PaymentDeps,
  orderId: string,
  paymentId: PaymentRow['paymentId'],
  { providerId, captured, refundedMinor }: Charge & Readonly<{ captured: Money }>,
): Promise<void> {
  await payment.$transaction(async (tx) => {
    await lockMark(tx, orderId);
    await movePayment(tx, paymentId, {
      from: ['IN_DOUBT', 'FAILED', 'CANCELLED'],
      to: 'LATE_CAPTURED',
      captured,
      event: 'PaymentCompleted',
    });
    await insertSettlement(tx, orderId, paymentId, captured);
  });
  // Asked only for what is not given back yet: past the key's lifetime a repeat would be a second request, and refused.
  if (refundedMinor < captured.minor) {
    await gateway.refund(providerId, settlementKey(orderId), captured, signal());
  }
  await payment.$transaction(async (tx) => {
    await lockMark(tx, orderId);
    await finishSettlement(tx, orderId);
    await movePayment(tx, paymentId, {
      from: ['CAPTURED', 'LATE_CAPTURED'],
      to: 'REFUNDED',
      refundedMinor: captured.minor,
      event: 'PaymentRefunded',
    });
  });
}

const mustBeSeen = (orderId: string) =>
  new CheckoutError(
    'PAYMENT_AMOUNT_MISMATCH',
    `order ${orderId}: the gateway took another amount than was asked; it was given back, a person must look`,
  );
