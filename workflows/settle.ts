import { sleep } from '@temporalio/workflow';

import type { Settled } from '../activities/payments/contract.ts';
import type { Attention } from './attention.ts';
import { inRounds } from './rounds.ts';
import { surely } from './services.ts';

type Certain = Exclude<Settled, { outcome: 'LOOK_AGAIN' }>;

/**
 * One round of making certain that no money of this order is kept: call it through `inRounds`, in a scope that nobody
 * cancels. Money that is given back is in the order's history before it returns. Repeat-safe.
 *
 * @param showMismatch false where somebody else has shown, or will show, another amount than was asked to a person
 */
export async function settleWithGateway(orderId: string, attention: Attention, showMismatch = true): Promise<void> {
  for (;;) {
    const settled = await untilCertain(orderId);
    if (settled.outcome !== 'REFUNDED') return;
    await record(orderId, settled, attention);
    if (settled.mismatch !== true || !showMismatch) return;
    // Recorded first: what has happened is in the history, however long a person takes to look.
    if ((await attention.wait('settleWithGateway', mismatchOf(orderId, settled))) === 'markDone') return;
  }
}

async function record(
  orderId: string,
  { paymentId, amount }: Extract<Certain, { outcome: 'REFUNDED' }>,
  attention: Attention,
): Promise<void> {
  // Rounds of its own: the order service being down is no reason to ask the gateway again.
  await inRounds('recordSettlement', attention, () =>
    surely.orders.recordSettlement.executeWithOptions(
      { summary: `Record that ${amount.minor} ${amount.currency} were given back` },
      [{ orderId, paymentId, amount }],
    ),
  );
}

/** A charge that was in flight when it was given up may still land: nobody waits for that but this workflow. */
async function untilCertain(orderId: string): Promise<Certain> {
  for (;;) {
    const settled = await surely.payments.settleWithGateway.executeWithOptions({ summary: 'Settle with the gateway' }, [
      { orderId },
    ]);
    if (settled.outcome !== 'LOOK_AGAIN') return settled;
    await sleep(Math.max(settled.afterMs, SHORTEST_PAUSE_MS));
  }
}

const mismatchOf = (orderId: string, { amount }: Extract<Certain, { outcome: 'REFUNDED' }>): string =>
  `PAYMENT_AMOUNT_MISMATCH: order ${orderId}: the gateway took another amount than was asked; ` +
  `${amount.minor} ${amount.currency} were given back, a person must look`;

/** Two clocks that differ by a little must not make it ask again and again within one moment. */
const SHORTEST_PAUSE_MS = 500;
