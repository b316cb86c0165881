import {
  type CheckoutInput,
  type PlacedOrder,
  placedOrder,
  type Reservation,
  type SagaEnd,
} from '../../domain/checkout.ts';
import { CheckoutError, isRefusal, type Refusal } from '../../domain/errors.ts';
import { closedStatusOf } from '../../domain/order.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { throwRefusal, withRefusals } from '../refusals.ts';
import { bySaga, recordChange } from './change.ts';
import { lockMark, setMark } from './mark.ts';
import { appendResolution, insertOrder, moveOrder, type Resolution } from './tables.ts';

export type CreateOrderInput = Pick<CheckoutInput, 'orderId' | 'customerId' | 'requestHash'> &
  Readonly<{ reservation: Reservation }>;
export type MarkPaidInput = Readonly<{ orderId: string; paymentId: string }>;
export type CloseOrderInput = Readonly<{ orderId: string; end: SagaEnd }>;

/** The steps of the order service (task queue `orders`, source document 1, steps 4 and 6). */
export const orderActivities = ({ order: orders }: Pick<Databases, 'order'>) =>
  withRefusals({
    /**
     * Makes the order with the prices that were reserved. Repeating it gives the first answer.
     *
     * @throws CheckoutError CHECKOUT_ABANDONED when the checkout was closed before
     */
    async createOrder({ reservation, ...input }: CreateOrderInput): Promise<PlacedOrder> {
      const { orderId } = input;
      const answer = await orders.$transaction(async (tx): Promise<PlacedOrder | Refusal> => {
        const mark = await lockMark(tx, orderId);
        if (mark.state === 'CLOSED') return { code: 'CHECKOUT_ABANDONED', message: `order ${orderId} was given up` };
        if (mark.answer !== null) return mark.answer;

        const order = placedOrder(orderId, reservation);
        await insertOrder(tx, { ...input, order });
        await recordChange(tx, orderId, 'OrderCreated', bySaga(null));
        await setMark(tx, orderId, 'CREATED', order);
        return order;
      });
      return isRefusal(answer) ? throwRefusal(answer) : answer;
    },

    /**
     * Past the pivot: the order is paid. Repeat-safe.
     *
     * @throws CheckoutError CHECKOUT_ABANDONED when there is no order to pay: a person must look
     */
    async markOrderPaid({ orderId, paymentId }: MarkPaidInput): Promise<void> {
      await orders.$transaction(async (tx) => {
        const { state } = await lockMark(tx, orderId);
        if (state === 'PAID') return;
        // Thrown inside, because it decides nothing: not even a mark that was made just now may stay.
        if (state !== 'CREATED') {
          throw new CheckoutError('CHECKOUT_ABANDONED', `order ${orderId} is not open, so it cannot be paid`);
        }
        mustMove(await moveOrder(tx, orderId, { from: 'PENDING', to: 'PAID', paymentId }), orderId);
        await recordChange(tx, orderId, 'OrderPaid', bySaga(null));
        await setMark(tx, orderId, 'PAID');
      });
    },

    /**
     * Undo of `createOrder`: the order ends FAILED or CANCELLED. Repeat-safe. Leaves its mark also where there is no
     * order, so that one that comes late is refused.
     *
     * @throws CheckoutError NOT_CANCELLABLE when the order is paid: a person must look
     */
    async closeOrder({ orderId, end }: CloseOrderInput): Promise<void> {
      const done = await orders.$transaction(async (tx) => {
        const { state } = await lockMark(tx, orderId);
        if (state === 'PAID') return false;
        if (state === 'CREATED') await closeCreated(tx, orderId, end);
        if (state !== 'CLOSED') await setMark(tx, orderId, 'CLOSED');
        return true;
      });
      if (!done) throw new CheckoutError('NOT_CANCELLABLE', `order ${orderId} is paid`);
    },

    /** Writes an operator's decision about parked steps into the order's history. Repeat-safe. */
    async recordResolution(resolution: Resolution): Promise<void> {
      await appendResolution(orders, resolution);
    },
  });

export type OrderActivities = ReturnType<typeof orderActivities>;

async function closeCreated(tx: SqlTransaction, orderId: string, { status, refusal }: SagaEnd): Promise<void> {
  const to = closedStatusOf(status);
  mustMove(await moveOrder(tx, orderId, { from: 'PENDING', to, failure: refusal }), orderId);
  await recordChange(tx, orderId, to === 'FAILED' ? 'OrderFailed' : 'OrderCancelled', bySaga(refusal.code));
}

/** The mark and the order move together; if they ever differ, nothing is written and the saga waits for a person. */
function mustMove(moved: boolean, orderId: string): void {
  if (!moved) throw new Error(`order ${orderId} does not have the state that its mark says`);
}
