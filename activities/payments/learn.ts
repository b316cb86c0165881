import { CheckoutError, type Refusal } from '../../domain/errors.ts';
import { type Charge, judgeCharge } from '../../domain/payment.ts';
import { paymentIdFor } from '../../events/ids.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';
import { throwRefusal } from '../refusals.ts';
import type { PaymentState } from './contract.ts';
import { decide, lockMark, type Mark, readMark } from './mark.ts';
import { awaitShopper, findPayment, movePayment, type PaymentRow } from './tables.ts';

/** The decision about an order's payment, and its row where one was ever opened. */
export type Standing = Readonly<{ mark: Mark; payment: PaymentRow | undefined }>;

/**
 * Writes down what the gateway says about the charge of an order: the one place where a payment is decided by it, used
 * by whoever asked. A decision is never changed, and a state never goes back: what was decided stays, and a capture of
 * what is given up is the caller's to settle. Call it with the answer in hand: it locks the mark.
 *
 * @param news the charge, or the gateway's final "no" to the request itself
 * @param holdMs how long stock waits when the shopper must do something first; null where the caller cannot know: then
 *   it stays undecided until the capture, which does, asks again
 */
export async function learn(
  tx: SqlTransaction,
  orderId: string,
  news: Charge | Refusal,
  holdMs: number | null,
): Promise<Standing> {
  const { mark, payment } = await lockStanding(tx, orderId);
  if (mark.decision !== null) return { mark, payment };
  if (payment === undefined) throw new Error(`order ${orderId} has no payment that could be decided`);

  const judgement = 'code' in news ? news : judgeCharge(news, askedOf(payment), payment.method);
  if (judgement === undefined) return { mark, payment };
  if (judgement === 'AWAITING_CONFIRMATION') return { mark, payment: await hold(tx, payment, news, holdMs) };

  const captured = 'code' in news ? null : news.captured;
  const success = judgement === 'CAPTURED';
  const moved = await movePayment(tx, payment.paymentId, {
    from: ['PENDING', 'AWAITING_CONFIRMATION'],
    to: success ? 'CAPTURED' : 'FAILED',
    captured,
    ...(!success && { failureCode: judgement.code }),
    event: success ? 'PaymentCompleted' : 'PaymentFailed',
  });
  if (!moved) throw new Error(`the payment of order ${orderId} is not open although nothing was decided`);
  const decided: Mark = success ? { decision: 'CAPTURED', answer: null } : { decision: 'REFUSED', answer: judgement };
  await decide(tx, orderId, success ? 'CAPTURED' : 'REFUSED', decided.answer);
  return { mark: decided, payment: await findPayment(tx, payment.paymentId) };
}

async function hold(
  tx: SqlTransaction,
  payment: PaymentRow,
  news: Charge | Refusal,
  holdMs: number | null,
): Promise<PaymentRow | undefined> {
  if (payment.status !== 'PENDING' || holdMs === null) return payment;
  if ('code' in news || news.instructions === null) {
    throw new Error(`the gateway did not say how order ${payment.orderId} is to be paid`);
  }
  await awaitShopper(tx, payment.paymentId, news.instructions, holdMs);
  return findPayment(tx, payment.paymentId);
}

/** Under the locked mark. */
export const lockStanding = async (tx: SqlTransaction, orderId: string): Promise<Standing> => ({
  mark: await lockMark(tx, orderId),
  payment: await findPayment(tx, paymentIdFor(orderId)),
});

/** Without a lock: what is decided stays decided, everything else may change at once. */
export const readStanding = async (tx: SqlTransaction, orderId: string): Promise<Standing> => ({
  mark: await readMark(tx, orderId),
  payment: await findPayment(tx, paymentIdFor(orderId)),
});

/** What was asked for. */
export const askedOf = ({ amountMinor, currency }: PaymentRow) => ({ minor: safeNumber(amountMinor), currency });

/**
 * How a payment stands; undefined while nothing is decided and the shopper has nothing to do.
 *
 * @throws CheckoutError the refusal on record, or CHECKOUT_ABANDONED after an undo
 */
export function stateOf(orderId: string, { mark, payment }: Standing): PaymentState | undefined {
  const paymentId = paymentIdFor(orderId);
  // What is to be given back pays for nothing: a saga that comes here again, as by a reset, must not go forward.
  if (mark.decision === 'CAPTURED' && payment?.goesBack !== true) return { status: 'CAPTURED', paymentId };
  if (mark.answer !== null) throwRefusal(mark.answer);
  if (mark.decision !== null) {
    throw new CheckoutError('CHECKOUT_ABANDONED', `the payment of order ${orderId} was given up`);
  }
  if (payment?.status !== 'AWAITING_CONFIRMATION') return undefined;
  const { status, instructions, expiresAt, holdMs } = payment;
  if (instructions === null || expiresAt === null || holdMs === null) {
    throw new Error(`the payment of order ${orderId} waits without saying for what`);
  }
  return { status, paymentId, instructions, expiresAt, holdMs };
}
