import { allHandlersFinished, CancellationScope, condition } from '@temporalio/workflow';

import type { HeaderState } from '../activities/inventory/contract.ts';
import type { Abandoned } from '../activities/payments/contract.ts';
import { orderNumberOf, type SagaEnd } from '../domain/checkout.ts';
import type { Refusal } from '../domain/errors.ts';
import type { RepairResult } from '../domain/reconcile.ts';
import { closeOrder, giveBackUnlessPaid } from './give-back.ts';
import { inRounds } from './rounds.ts';
import { surely } from './services.ts';
import { settleWithGateway } from './settle.ts';
import { Undos } from './undos.ts';
import { openWork, type Work } from './work.ts';

/**
 * Ends an order whose checkout was terminated, lost, or never went on (docs/decisions/0021). It is started only where
 * no checkout runs, but it would do no harm beside one: it calls the saga's own steps, and each of them is decided by
 * the row that it locks first. `abandonPayment` comes before anything else, so a capture that is not decided yet is
 * refused from then on, and one that is decided is known here. Both then read the same decisions and walk the same way;
 * whoever is second to do a step finds it done. On an order that ended well it changes nothing.
 */
export async function repair({ orderId }: Readonly<{ orderId: string }>): Promise<RepairResult> {
  const work = openWork(`Repair of order ${orderNumberOf(orderId)}`, orderId);
  // A repair that is given up half-way would be started again anyway.
  return CancellationScope.nonCancellable(async () => {
    const result = await endOrder(work, orderId);
    work.note(result.outcome);
    work.finish();
    await condition(allHandlersFinished);
    return result;
  });
}

async function endOrder(work: Work, orderId: string): Promise<RepairResult> {
  const found = await look(work, orderId);
  const end = endOf(found.abandoned);
  if (goesForward(found) || (await isPaidAfterAll(work, orderId, found, end))) {
    await complete(work, orderId, found);
    return { outcome: 'COMPLETED' };
  }
  work.failureCode = end.refusal.code;
  await undo(work, orderId, found, end);
  return { outcome: 'UNDONE', code: end.refusal.code };
}

type Found = Readonly<{
  abandoned: Abandoned | undefined;
  /** Null where the inventory service never heard of the order: there is nothing to give back then. */
  header: HeaderState | null;
  order: Readonly<{ state: 'CREATED' | 'PAID' | 'CLOSED' | null; placed: boolean }>;
}>;

/** The payment is decided first: whatever is read after it can only lead one way. */
async function look(work: Work, orderId: string): Promise<Found> {
  const { attention } = work;
  const abandoned = await inRounds('abandonPayment', attention, () =>
    surely.payments.abandonPayment.executeWithOptions({ summary: 'Decide the payment' }, [{ orderId }]),
  );
  const [header, order] = await Promise.all([
    inRounds('readHeader', attention, () =>
      surely.inventory.readHeader.executeWithOptions({ summary: 'Look at the stock' }, [{ orderId }]),
    ),
    inRounds('readOrderState', attention, () =>
      surely.orders.readOrderState.executeWithOptions({ summary: 'Look at the order' }, [{ orderId }]),
    ),
  ]);
  const found = { abandoned, header: header ?? null, order: order ?? { state: null, placed: false } };
  work.note(
    `payment ${abandoned?.outcome ?? 'given up'}, stock ${found.header?.state ?? 'none'}, ` +
      `order ${found.order.state ?? 'none'}`,
  );
  return found;
}

/**
 * Captured, and everything else is there or done already. Where stock is gone or the order closed although the other
 * half went forward, this goes forward too: that step is refused and parks, and no money moves until a person decides.
 */
function goesForward({ abandoned, header, order }: Found): boolean {
  if (abandoned?.outcome !== 'ALREADY_CAPTURED') return false;
  const wentForward = order.state === 'PAID' || header?.state === 'COMMITTED';
  return wentForward || (header?.state === 'RESERVED' && order.state === 'CREATED');
}

/** Money that counts is given back only when the order is closed, and that is known before stock is touched. */
async function isPaidAfterAll(work: Work, orderId: string, { abandoned }: Found, end: SagaEnd): Promise<boolean> {
  if (abandoned?.outcome === 'CANCELLED') return false;
  return (await giveBackUnlessPaid(orderId, end, work.attention)) === 'PAID';
}

async function complete(work: Work, orderId: string, { abandoned, header }: Found): Promise<void> {
  // A person decided the payment, and the order is paid: there is nothing to carry forward.
  if (abandoned?.outcome !== 'ALREADY_CAPTURED') return;
  const { paymentId } = abandoned;
  const paid = inRounds('markOrderPaid', work.attention, () =>
    surely.orders.markOrderPaid.executeWithOptions({ summary: 'Mark the order paid' }, [{ orderId, paymentId }]),
  );
  if (header === null) return paid;
  const { customerId, requestHash } = header;
  const committed = inRounds('commitStock', work.attention, () =>
    surely.inventory.commitStock.executeWithOptions({ summary: 'Commit the stock' }, [
      { orderId, customerId, requestHash },
    ]),
  );
  await Promise.all([paid, committed]);
}

/** As a checkout undoes itself: a parked undo holds up no other, and stock never waits for the gateway. */
async function undo(work: Work, orderId: string, { header, order }: Found, end: SagaEnd): Promise<void> {
  const undos = new Undos();
  if (header !== null) {
    const { customerId, requestHash } = header;
    const unplaced = order.placed ? null : end.refusal;
    undos.add('releaseStock', () =>
      surely.inventory.releaseStock.executeWithOptions({ summary: 'Give the stock back' }, [
        { orderId, customerId, requestHash, unplaced },
      ]),
    );
  }
  undos.add('closeOrder', () => closeOrder(orderId, end));
  undos.add('settleWithGateway', () => settleWithGateway(orderId, work.attention));
  await undos.run(work.attention, async () => Promise.resolve(false));
}

/** Why it ended, where that is on record; a cancel that was not carried out is not. */
function endOf(abandoned: Abandoned | undefined): SagaEnd {
  const refusal = (abandoned?.outcome === 'CANCELLED' ? abandoned.refusal : null) ?? LOST;
  return { status: refusal.code === 'HOLD_EXPIRED' ? 'EXPIRED' : 'REJECTED', refusal };
}

const LOST: Refusal = {
  code: 'CHECKOUT_FAILED',
  message: 'the checkout was lost before it could end, so it was given up: buy again with a new key',
};
