import type { ViewRule } from './views-rows.ts';

const ORDER = { order_id: 'uuid' } as const;
const idOf = (row: Readonly<Record<string, unknown>>): string => String(row['order_id']);

/**
 * A payment as its newest event told it. Nobody is told that one is in doubt: what it was before can be seen from whether
 * the shopper was asked to do something.
 */
export const TOLD_STATUS = `case when status <> 'IN_DOUBT' then status when instructions is null then 'PENDING'
  else 'AWAITING_CONFIRMATION' end`;

/** Orders with their lines from the order service, and the state of their payment from the payment service. */
export const ORDER_RULES: readonly ViewRule[] = [
  {
    ...{ view: 'orders', table: 'mv_orders', key: ORDER, from: 'order' },
    // An order whose payment came first is a stub until it comes itself.
    is: `select order_id, order_number, user_id, status, currency, total_amount, refunded_amount, items, failure_code,
        order_date at time zone 'utc' as order_date, paid_at at time zone 'utc' as paid_at,
        closed_at at time zone 'utc' as closed_at, order_version
      from mv_orders
      where payment_version = 0 or (order_version, order_number, user_id, status, paid_at, closed_at)
        is distinct from (0, null, null, null, null, null)`,
    shouldBe: `select o.id as order_id, o.order_number, o.user_id, o.status, o.currency, o.total_amount,
        o.refunded_amount, coalesce(i.items, '[]') as items, o.failure_code,
        date_trunc('milliseconds', o.placed_at) at time zone 'utc' as order_date,
        o.paid_at at time zone 'utc' as paid_at, o.closed_at at time zone 'utc' as closed_at, o.version as order_version
      from orders o
      left join (
        select order_id, jsonb_agg(jsonb_build_object('lineNo', line_no, 'productId', product_id::text,
          'variantId', variant_id::text, 'sku', product_sku, 'name', product_name, 'unitPriceMinor', unit_price,
          'quantity', quantity, 'lineTotalMinor', line_total) order by line_no) as items
        from order_items group by order_id
      ) as i on i.order_id = o.id`,
    toldBy: { aggregate: 'order', idOf },
  },
  {
    ...{ view: 'orders', table: 'mv_orders', key: ORDER, from: 'payment' },
    is: `select order_id, payment_id, payment_status, payment_method, payment_version from mv_orders
      where (payment_version, payment_id, payment_status, payment_method) is distinct from (0, null, null, null)`,
    shouldBe: `select distinct on (order_id) order_id, id as payment_id, ${TOLD_STATUS} as payment_status,
        method as payment_method, version as payment_version
      from payments order by order_id, version desc`,
    toldBy: { aggregate: 'payment', idOf: (row) => String(row['payment_id']) },
  },
];
