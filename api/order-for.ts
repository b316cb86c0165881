import { type OrderView, readOrder } from '../activities/orders/read.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';

/** An order and who asks for it: `users.id` of the owner, or null for an administrator. */
export type OrderKey = Readonly<{ orderId: string; customerId: string | null }>;

/**
 * The order as its reader may see it: somebody else's does not exist, and what operators noted is for administrators.
 *
 * @returns undefined when there is no such order for this reader
 * @throws Unavailable when the database does not answer in time
 */
export async function findOrder(
  { order: orders }: Pick<ApiDeps['databases'], 'order'>,
  key: OrderKey,
): Promise<OrderView | undefined> {
  const order = await within(READ_LIMIT_MS, readOrder(orders, key));
  if (order === undefined || key.customerId === null) return order;
  return { ...order, history: order.history.filter(({ actor }) => !actor.startsWith(OPERATOR)) };
}

/** Of the actors that `recordResolution` writes. */
const OPERATOR = 'operator:';
