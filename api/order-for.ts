import { z } from 'zod';

import { type OrderView, readOrder } from '../activities/orders/read.ts';
import { CheckoutError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';

/** An order and who asks for it: `users.id` of the owner, or null for an administrator. */
export type OrderKey = Readonly<{ orderId: string; customerId: string | null }>;

export const noSuchOrder = (): CheckoutError => new CheckoutError('NOT_FOUND', 'there is no such order');

/** The order id of a path. @throws CheckoutError NOT_FOUND for what no order has as its id */
export function orderIdOf(value: unknown): string {
  const id = z.guid().safeParse(value);
  if (!id.success) throw noSuchOrder();
  return id.data.toLowerCase();
}

/**
 * The order as its reader may see it: somebody else's does not exist, and operators' words are for administrators.
 *
 * @returns undefined when there is no such order for this reader
 * @throws Unavailable when the database does not answer in time
 */
export async function findOrder(
  { order: orders }: Pick<ApiDeps['databases'], 'order'>,
  key: OrderKey,
): Promise<OrderView | undefined> {
  const order = await within(READ_LIMIT_MS, readOrder(orders, key));
  return order === undefined || key.customerId === null ? order : forShopper(order);
}

/** A refund is news for the shopper, why an operator made it is not; a note that changed nothing is no news at all. */
function forShopper(order: OrderView): OrderView {
  const history = order.history.flatMap((line, index) => {
    if (!line.actor.startsWith(OPERATOR)) return [line];
    return line.version === order.history[index - 1]?.version ? [] : [{ ...line, reason: null, actor: 'shop' }];
  });
  return { ...order, history };
}

/** Of the actors that `recordResolution`, `recordRefund` and `recordRefundFailure` write. */
const OPERATOR = 'operator:';
