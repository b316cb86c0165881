import { paymentIdFor } from '../../events/ids.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import type { Abandoned } from './contract.ts';
import { decide, lockMark } from './mark.ts';
import { findPayment, movePayment } from './tables.ts';

/** Decides the race against a capture, once, under the decision row. Leaves its mark also where there is no payment. */
export async function abandon(tx: SqlTransaction, orderId: string): Promise<Abandoned> {
  const paymentId = paymentIdFor(orderId);
  const { decision, answer } = await lockMark(tx, orderId);
  if (decision === 'CAPTURED') return { outcome: 'ALREADY_CAPTURED', paymentId };
  if (decision !== null) return { outcome: 'CANCELLED', refusal: answer };

  await decide(tx, orderId, 'ABANDONED');
  const payment = await findPayment(tx, paymentId);
  // Without a provider's id nothing can have been charged, nor will be: a late copy meets the mark first.
  if (payment?.providerId === null) {
    await movePayment(tx, paymentId, { from: ['PENDING'], to: 'CANCELLED', event: 'PaymentCancelled' });
  } else if (payment !== undefined) {
    await movePayment(tx, paymentId, { from: ['PENDING', 'AWAITING_CONFIRMATION'], to: 'IN_DOUBT' });
  }
  return { outcome: 'CANCELLED', refusal: null };
}
