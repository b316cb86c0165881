import type { Databases } from '../infra/databases.ts';
import { type DatabaseInstant, databaseNow } from './progress.ts';

type Views = Databases['views'];

/** A version of an order that somebody has seen. `userId` is its owner, or null where that does not matter. */
export type OrderWrite = Readonly<{ orderId: string; version: number; userId: string | null }>;

/** Whether a view shows a write by now. Ask as often as you like; each answer costs a few reads by key. */
export type IsApplied = () => Promise<boolean>;

/** Whether the list of orders shows this version, or a newer one. Somebody else's order is never shown. */
export const inOrders =
  (views: Views, { orderId, version, userId }: OrderWrite): IsApplied =>
  () =>
    found(
      views.$queryRaw`
        select from mv_orders
        where order_id = ${orderId}::uuid and order_version >= ${version}
          and (${userId}::bigint is null or user_id = ${userId}::bigint)`,
    );

/** Whether the totals of its customer hold this version, or a newer one. */
export const inUsers =
  (views: Views, { orderId, version, userId }: OrderWrite): IsApplied =>
  () =>
    found(
      views.$queryRaw`
        select from mv_user_orders
        where order_id = ${orderId}::uuid and order_version >= ${version}
          and (${userId}::bigint is null or user_id = ${userId}::bigint)`,
    );

/**
 * Whether the sales hold this version. They keep nothing of versions that neither pay nor refund; for those it is enough
 * that the event was on the bus, since the view of orders has it, and that the sales have caught up with the bus after that.
 */
export function inSales(views: Views, write: OrderWrite): IsApplied {
  const onTheBus = inOrders(views, write);
  let seenAt: DatabaseInstant | undefined;
  return async () => {
    const { orderId, version } = write;
    const contributes = found(
      views.$queryRaw`
        select from mv_order_sales
        where order_id = ${orderId}::uuid and greatest(paid_version, refund_version) >= ${version}`,
    );
    if (await contributes) return true;
    if (seenAt === undefined && (await onTheBus())) seenAt = await databaseNow(views);
    if (seenAt === undefined) return false;
    return found(
      views.$queryRaw`
        select from projection_progress where view = 'sales' and caught_up_at >= ${seenAt}::timestamptz`,
    );
  };
}

const found = async (rows: Promise<unknown>): Promise<boolean> => ((await rows) as unknown[]).length > 0;
