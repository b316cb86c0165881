import { allHandlersFinished, CancellationScope, condition } from '@temporalio/workflow';

import type { CheckoutInput, CheckoutResult } from '../domain/checkout.ts';
import { closeOrder, giveBackUnlessPaid } from './give-back.ts';
import { openSaga } from './open-saga.ts';
import { pay } from './pay.ts';
import { inRounds } from './rounds.ts';
import type { Saga } from './saga.ts';
import { inventory, orders, surely } from './services.ts';
import { settleWithGateway } from './settle.ts';

/**
 * One checkout, from cart to a terminal order: reserve stock, create the order, charge, commit, or undo everything
 * (source document 1 and 5.2). A refusal is a result; a failure of this workflow means that a person must look.
 */
export async function checkout(input: CheckoutInput): Promise<CheckoutResult> {
  const saga = openSaga(input);
  try {
    await saga.beforePivot.run(async () => {
      // All of them before the first step: another run of this checkout, as before a reset, may have done any of it.
      registerUndos(saga);
      await place(saga, { inventory, orders });
      await pay(saga);
    });
  } catch (error) {
    saga.stop(error); // a refusal, an outage or a cancellation; anything else is thrown again
  }

  return CancellationScope.nonCancellable(async () => {
    const undone = saga.end !== undefined && (await undo(saga));
    if (!undone) await complete(saga);
    const result = saga.finish();
    saga.ended = true; // before waiting for handlers: `cancel` waits for this
    await condition(allHandlersFinished);
    return result;
  });
}

/** Stock and order. The first answers stay, so it may be called again. */
async function place(saga: Saga, service: Pick<typeof surely, 'inventory' | 'orders'>): Promise<void> {
  const { input } = saga;
  const { orderId, customerId, requestHash } = input;
  const reservation = await service.inventory.reserveStock.executeWithOptions(
    { summary: `Reserve ${input.lines.length} lines` },
    [input],
  );
  saga.place(
    await service.orders.createOrder.executeWithOptions({ summary: 'Create the order' }, [
      { orderId, customerId, requestHash, reservation },
    ]),
  );
}

/** Past the pivot there is only forward. */
async function complete(saga: Saga): Promise<void> {
  const { input, attention } = saga;
  const { orderId, customerId, requestHash } = input;
  const paymentId = saga.paid;
  // Paid by an earlier run, and stopped in this one before it knew the order: whoever asks is told it all the same.
  if (saga.placed === undefined) {
    await inRounds('place', attention, () => place(saga, surely));
    saga.placed ??= { refusal: { code: 'CHECKOUT_ABANDONED', message: 'an operator decided about this order' } };
  }
  saga.reach('PAID');
  await Promise.all([
    inRounds('markOrderPaid', attention, () =>
      surely.orders.markOrderPaid.executeWithOptions({ summary: 'Mark the order paid' }, [{ orderId, paymentId }]),
    ),
    inRounds('commitStock', attention, () =>
      surely.inventory.commitStock.executeWithOptions({ summary: 'Commit the stock' }, [
        { orderId, customerId, requestHash },
      ]),
    ),
  ]);
}

function registerUndos(saga: Saga): void {
  saga.undos.add('abandonPayment', () => abandonPayment(saga));
  saga.undos.add('releaseStock', () => releaseStock(saga));
  saga.undos.add('closeOrder', async () => {
    await closeOrder(saga.orderId, saga.theEnd);
    saga.closed = true;
  });
  saga.undos.add('settleWithGateway', () => settle(saga));
}

/** @returns false when the money was captured meanwhile and pays for the order: then the saga goes forward */
async function undo(saga: Saga): Promise<boolean> {
  if (saga.undos.any) saga.reach('UNDOING');
  const undone = await saga.undos.run(saga.attention, () => goesForward(saga));
  if (undone) saga.answerRefusal();
  return undone;
}

/**
 * Asked as soon as the payment is decided. A captured one carries the saga forward; but where that was cancelled, or
 * where this run never saw its order, the order has the last word.
 */
async function goesForward(saga: Saga): Promise<boolean> {
  const { abandoned } = saga;
  if (abandoned?.outcome === 'ALREADY_CAPTURED' && !saga.goesBack) {
    if (saga.mayGoForward || (await decideByOrder(saga)) === 'PAID') {
      saga.goForward(abandoned.paymentId);
      return true;
    }
  }
  saga.answerRefusal();
  return false;
}

async function decideByOrder(saga: Saga): Promise<'PAID' | 'GOES_BACK'> {
  const decision = await giveBackUnlessPaid(saga.orderId, saga.theEnd, saga.attention);
  saga.goesBack = decision === 'GOES_BACK';
  return decision;
}

async function abandonPayment(saga: Saga): Promise<void> {
  saga.abandoned = await surely.payments.abandonPayment.executeWithOptions({ summary: 'Abandon the payment' }, [
    { orderId: saga.orderId },
  ]);
}

async function releaseStock({ input, unplaced }: Saga): Promise<void> {
  const { orderId, customerId, requestHash } = input;
  await surely.inventory.releaseStock.executeWithOptions({ summary: 'Give the stock back' }, [
    { orderId, customerId, requestHash, unplaced },
  ]);
}

/**
 * Settling gives back whatever was taken, so it must know that this is meant. Where the payment was decided too late to
 * go forward, a PAID order keeps its money all the same: its other undos are refused, and a person decides.
 */
async function settle(saga: Saga): Promise<void> {
  await condition(() => saga.undos.hasEnded('abandonPayment'));
  if (saga.abandoned?.outcome !== 'CANCELLED' && !saga.goesBack) {
    await condition(() => saga.undos.hasEnded('closeOrder'));
    if (!saga.closed && (await decideByOrder(saga)) === 'PAID') return;
  }
  await settleWithGateway(saga.orderId, saga.attention);
}
