import type { PlacedOrder } from '../../domain/checkout.ts';
import type { OrderStatus } from '../../domain/order.ts';
import type { EventData } from '../../events/catalogue.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow, safeNumber } from '../../infra/rows.ts';

export type NewOrder = Readonly<{ order: PlacedOrder; customerId: string; requestHash: string }>;

/** The order and its lines with the prices of now: two inserts, whatever the number of lines. */
export async function insertOrder(tx: SqlTransaction, { order, customerId, requestHash }: NewOrder): Promise<void> {
  const { orderId, orderNumber, total, paymentMethod, placedAt } = order;
  await tx.$executeRaw`
    insert into orders (id, order_number, user_id, currency, subtotal_amount, total_amount, payment_method,
      request_hash, placed_at)
    values (${orderId}::uuid, ${orderNumber}, ${customerId}::bigint, ${total.currency}, ${total.minor}::bigint,
      ${total.minor}::bigint, ${paymentMethod}, ${requestHash}, ${placedAt}::timestamptz)`;
  await tx.$executeRaw`
    insert into order_items (order_id, line_no, product_id, variant_id, location_code, product_sku, product_name,
      variant_name, unit_price, quantity, line_total)
    select ${orderId}::uuid, (l ->> 'lineNo')::integer, (l ->> 'productId')::bigint, (l ->> 'variantId')::bigint,
      l ->> 'locationCode', l ->> 'sku', l ->> 'name', l ->> 'variantName', (l #>> '{unitPrice,minor}')::bigint,
      (l ->> 'quantity')::integer, (l #>> '{lineTotal,minor}')::bigint
    from jsonb_array_elements(${JSON.stringify(order.lines)}::jsonb) as l`;
}

export type OrderChange = Readonly<{
  from: OrderStatus;
  to: OrderStatus;
  paymentId?: string;
  failure?: Readonly<{ code: string; message: string }>;
}>;

/** Moves an order on; false when it is not in the state that the change starts from. */
export async function moveOrder(tx: SqlTransaction, orderId: string, change: OrderChange): Promise<boolean> {
  const { from, to, paymentId, failure } = change;
  const moved = await tx.$executeRaw`
    update orders
    set status = ${to}, version = version + 1, updated_at = now(),
      payment_id = coalesce(${paymentId ?? null}::uuid, payment_id),
      paid_at = case when ${to} = 'PAID' then now() else paid_at end,
      closed_at = case when ${to} in ('FAILED', 'CANCELLED') then now() else closed_at end,
      failure_code = coalesce(${failure?.code ?? null}, failure_code),
      failure_message = coalesce(left(${failure?.message ?? null}, 500), failure_message)
    where id = ${orderId}::uuid and status = ${from}`;
  return moved === 1;
}

export type HistoryLine = Readonly<{
  reason: string | null;
  /** A role or an opaque operator id, never a person. */
  actor: string;
  /** Names what writes the line where that may be repeated: the same one writes one line. */
  sourceId?: string;
}>;

/**
 * One line of the order's history, with the state and version that the order has now; none where there is no order.
 *
 * @returns 0 when its source has written it before
 */
export const appendHistory = (tx: SqlTransaction, orderId: string, { reason, actor, sourceId }: HistoryLine) =>
  tx.$executeRaw`
    insert into order_status_history (order_id, order_version, status, reason, actor, source_id)
    select id, version, status, left(${reason}, 500), left(${actor}, 100), ${sourceId ?? null}
    from orders where id = ${orderId}::uuid
    on conflict (order_id, source_id) do nothing`;

export type Resolution = Readonly<{
  orderId: string;
  /** The id of the operator's request: the same one is recorded once. */
  resolutionId: string;
  steps: readonly string[];
  action: string;
  reason: string;
  /** Opaque operator id. */
  by: string;
}>;

/** A line of the order's history that changes nothing; none where the order was never made. Repeat-safe. */
export const appendResolution = (
  tx: SqlTransaction,
  { orderId, resolutionId, steps, action, reason, by }: Resolution,
) =>
  appendHistory(tx, orderId, {
    reason: `${action} ${steps.join(', ')}: ${reason}`,
    actor: operator(by),
    sourceId: resolutionId,
  });

/** How the history names an operator. */
export const operator = (by: string): string => `operator:${by}`;

type OrderRow = Omit<EventData<'OrderCreated'>, 'totalMinor' | 'refundedTotalMinor' | 'placedAt'> &
  Readonly<{ version: bigint; totalMinor: bigint; refundedTotalMinor: bigint; placedAt: Date }>;

/** The order as its events describe it: everything that a view needs, totals so far included. */
export async function readOrderFacts(
  tx: SqlTransaction,
  orderId: string,
): Promise<Readonly<{ version: number; data: EventData<'OrderCreated'> }>> {
  const rows = await tx.$queryRaw<OrderRow[]>`
    select o.version, o.id::text as "orderId", o.order_number as "orderNumber", o.user_id::text as "userId", o.status,
      o.currency::text, o.total_amount as "totalMinor", o.refunded_amount as "refundedTotalMinor",
      o.payment_method as "paymentMethod", o.failure_code as "failureCode", o.placed_at as "placedAt",
      (select sum(quantity)::integer from order_items where order_id = o.id) as "itemCount",
      (select jsonb_agg(jsonb_build_object('lineNo', line_no, 'productId', product_id::text,
          'variantId', variant_id::text, 'sku', product_sku, 'name', product_name, 'unitPriceMinor', unit_price,
          'quantity', quantity, 'lineTotalMinor', line_total) order by line_no)
        from order_items where order_id = o.id) as lines
    from orders o where o.id = ${orderId}::uuid`;
  const { version, totalMinor, refundedTotalMinor, placedAt, ...facts } = expectRow(rows);
  return {
    version: safeNumber(version),
    data: {
      ...facts,
      totalMinor: safeNumber(totalMinor),
      refundedTotalMinor: safeNumber(refundedTotalMinor),
      placedAt: placedAt.toISOString(),
    },
  };
}
