import { paymentIdFor } from '../../events/ids.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import type { Abandoned } from './contract.ts';
import { askedOf, lockStanding } from './learn.ts';
import { decide } from './mark.ts';
import { openSettlement } from './settlement-tables.ts';
import { giveUp } from './tables.ts';

/**
 * Decides the race against a capture, once, under the decision row. Leaves its mark also where there is no payment.
 *
 * @param giveBack the order goes forward in no case: what is captured is put on record as owed, so that it is found
 *   also when nobody goes on, and whoever asks later is told so
 */
export async function abandon(tx: SqlTransaction, orderId: string, giveBack: boolean): Promise<Abandoned> {
  const paymentId = paymentIdFor(orderId);
  const { mark, payment } = await lockStanding(tx, orderId);
  if (mark.decision === 'CAPTURED') {
    if (giveBack && payment !== undefined) await openSettlement(tx, orderId, paymentId, askedOf(payment));
    const goesBack = giveBack || payment?.goesBack === true;
    return goesBack ? { outcome: 'CANCELLED', refusal: null } : { outcome: 'ALREADY_CAPTURED', paymentId };
  }
  if (mark.decision !== null) return { outcome: 'CANCELLED', refusal: mark.answer };

  await decide(tx, orderId, 'ABANDONED');
  await giveUp(tx, paymentId);
  return { outcome: 'CANCELLED', refusal: null };
}
