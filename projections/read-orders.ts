import type { Databases } from '../infra/databases.ts';
import { Prisma } from '../prisma/views/generated/client.ts';

/** Where a page ended: the instant of its last order, in microseconds since 1970, and that order's id. */
export type OrderPosition = Readonly<{ placedAtMicros: string; orderId: string }>;

export type OrderFilter = Readonly<{
  /** `users.id` whose orders are wanted; null for everybody's. */
  userId: string | null;
  status: string | undefined;
  after: OrderPosition | undefined;
  limit: number;
}>;

/** Amounts are minor units of `currency`. What a payment tells is null until its first event has come. */
export type ListedOrder = Readonly<{
  orderId: string;
  orderNumber: string;
  version: bigint;
  userId: string;
  status: string;
  currency: string;
  total: bigint;
  refunded: bigint;
  items: readonly Readonly<{
    lineNo: number;
    productId: string;
    variantId: string | null;
    sku: string;
    name: string;
    unitPriceMinor: number;
    quantity: number;
    lineTotalMinor: number;
  }>[];
  failureCode: string | null;
  paymentMethod: string | null;
  paymentStatus: string | null;
  placedAt: Date;
  paidAt: Date | null;
  closedAt: Date | null;
  placedAtMicros: string;
}>;

/** One page of orders, the newest first. `last` is null on the last page. */
export async function readOrders(
  views: Databases['views'],
  { userId, status, after, limit }: OrderFilter,
): Promise<{ items: ListedOrder[]; last: OrderPosition | null }> {
  const owner = userId === null ? Prisma.empty : Prisma.sql`and o.user_id = ${userId}::bigint`;
  const state = status === undefined ? Prisma.empty : Prisma.sql`and o.status = ${status}`;
  const rows = await views.$queryRaw<ListedOrder[]>`
    select o.order_id::text as "orderId", o.order_number as "orderNumber", o.order_version as version,
      o.user_id::text as "userId", o.status, o.currency::text, o.total_amount as total, o.refunded_amount as refunded,
      o.items, o.failure_code as "failureCode", o.payment_method as "paymentMethod",
      o.payment_status as "paymentStatus", o.order_date as "placedAt", o.paid_at as "paidAt", o.closed_at as "closedAt",
      (extract(epoch from o.order_date) * 1000000)::bigint::text as "placedAtMicros"
    from mv_orders o
    where o.order_version > 0 ${owner} ${state} ${behind(after)}
    order by o.order_date desc, o.order_id
    limit ${limit + 1}`; // one more than shown tells whether there is a next page
  const items = rows.slice(0, limit);
  return { items, last: rows.length > limit ? (items.at(-1) ?? null) : null };
}

/** The first condition alone bounds the index scan: the two directions of the order allow no comparison of rows. */
function behind(after: OrderPosition | undefined): Prisma.Sql {
  if (after === undefined) return Prisma.empty;
  const at = Prisma.sql`(timestamptz 'epoch' + ${after.placedAtMicros}::bigint * interval '1 microsecond')`;
  return Prisma.sql`and o.order_date <= ${at} and (o.order_date < ${at} or o.order_id > ${after.orderId}::uuid)`;
}
