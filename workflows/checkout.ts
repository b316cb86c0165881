import { allHandlersFinished, CancellationScope, condition } from '@temporalio/workflow';

import type { Abandoned } from '../activities/payments/contract.ts';
import type { CheckoutInput, CheckoutResult } from '../domain/checkout.ts';
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
  const { orderId, customerId, requestHash } = input;
  const key = { orderId, customerId, requestHash };
  try {
    await saga.beforePivot.run(async () => {
      saga.undos.add('releaseStock', () => releaseStock(saga));
      const reservation = await inventory.reserveStock.executeWithOptions(
        { summary: `Reserve ${input.lines.length} lines` },
        [input],
      );

      saga.undos.add('closeOrder', () => closeOrder(saga));
      saga.place(
        await orders.createOrder.executeWithOptions({ summary: 'Create the order' }, [{ ...key, reservation }]),
      );

      saga.undos.add('abandonPayment', () => abandonPayment(saga));
      saga.undos.add('settleWithGateway', () => settleWithGateway(orderId, saga.attention));
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

/** Past the pivot there is only forward. */
async function complete(saga: Saga): Promise<void> {
  const { input, attention } = saga;
  const { orderId, customerId, requestHash } = input;
  const paymentId = saga.paid;
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

/** @returns false when the money was captured meanwhile, and nobody cancelled: then the saga goes forward */
async function undo(saga: Saga): Promise<boolean> {
  if (saga.undos.any) saga.reach('UNDOING');
  return saga.undos.run(saga.attention, (answer) => !saga.cancelled && saga.capturedAfterAll(answer));
}

/** A cancelled order goes forward in no case, so what it owes is on record from this moment. */
const abandonPayment = ({ orderId, cancelled: giveBack }: Saga): Promise<Abandoned> =>
  surely.payments.abandonPayment.executeWithOptions({ summary: 'Abandon the payment' }, [{ orderId, giveBack }]);

async function releaseStock({ input, unplaced }: Saga): Promise<void> {
  const { orderId, customerId, requestHash } = input;
  await surely.inventory.releaseStock.executeWithOptions({ summary: 'Give the stock back' }, [
    { orderId, customerId, requestHash, unplaced },
  ]);
}

async function closeOrder({ input: { orderId }, theEnd: end }: Saga): Promise<void> {
  await surely.orders.closeOrder.executeWithOptions({ summary: `Close the order: ${end.refusal.code}` }, [
    { orderId, end },
  ]);
}
