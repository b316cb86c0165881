import { ActivityFailure } from '@temporalio/workflow';

import type { SagaEnd } from '../domain/checkout.ts';
import type { Attention } from './attention.ts';
import { refusalIn } from './failures.ts';
import { inRounds } from './rounds.ts';
import { surely } from './services.ts';

/**
 * For an order whose money was captured and counts, but that is to end without it. The order decides: one that is PAID,
 * by an earlier run of the same checkout, keeps its money. Any other is closed first, so that nobody can carry it forward
 * any more, and only then is its money put on record as to be given back. Repeat-safe; call it where nobody cancels.
 *
 * @returns `PAID`: nothing was changed, the order is to go forward
 */
export async function giveBackUnlessPaid(
  orderId: string,
  end: SagaEnd,
  attention: Attention,
): Promise<'PAID' | 'GOES_BACK'> {
  const decided = await inRounds('giveBack', attention, async () => {
    if ((await closeUnlessPaid(orderId, end)) === 'PAID') return 'PAID';
    await surely.payments.abandonPayment.executeWithOptions({ summary: 'Put on record that the money goes back' }, [
      { orderId, giveBack: true },
    ]);
    return 'GOES_BACK';
  });
  // Undefined: a person says that the order is closed; settling puts the rest on record.
  return decided ?? 'GOES_BACK';
}

async function closeUnlessPaid(orderId: string, end: SagaEnd): Promise<'PAID' | 'CLOSED'> {
  try {
    await closeOrder(orderId, end);
    return 'CLOSED';
  } catch (error) {
    if (error instanceof ActivityFailure && refusalIn(error)?.code === 'NOT_CANCELLABLE') return 'PAID';
    throw error;
  }
}

/** The undo of `createOrder`, also where there is no order: one that comes late is refused then. */
export const closeOrder = (orderId: string, end: SagaEnd): Promise<void> =>
  surely.orders.closeOrder.executeWithOptions({ summary: `Close the order: ${end.refusal.code}` }, [{ orderId, end }]);
