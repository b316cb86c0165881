import { literal } from './cursor.ts';
import type { ViewRule } from './views-rows.ts';

/**
 * What each order adds to each day from the orders and the instants of their refunds, and the sums of that.
 *
 * @param timeZone IANA name of the shop's time zone: where its days begin
 */
export const salesRules = (timeZone: string): readonly ViewRule[] => [
  {
    ...{ view: 'sales', table: 'mv_order_sales', key: { order_id: 'uuid', day: 'date' }, from: 'order' },
    is: `select order_id, day, currency, user_id, orders, items, gross, refunded_total, refunds, refund_version,
        paid_version > 0 as paid
      from mv_order_sales`,
    shouldBe: contributions(`at time zone ${literal(timeZone)}`),
    toldBy: { aggregate: 'order', types: ['OrderPaid', 'OrderRefunded'], idOf: (row) => String(row['order_id']) },
  },
  {
    ...{ view: 'sales', table: 'mv_daily_sales', key: { date: 'date', currency: 'text' }, from: 'views' },
    is: `select date, currency, total_orders, completed_orders, unique_customers, items, gross, refunds
      from mv_daily_sales`,
    // A day whose contributions are gone is all zero.
    shouldBe: `select date, currency, coalesce(s.orders, 0) as total_orders, coalesce(s.paid, 0) as completed_orders,
        coalesce(s.customers, 0) as unique_customers, coalesce(s.items, 0) as items, coalesce(s.gross, 0) as gross,
        coalesce(s.refunds, 0) as refunds
      from mv_daily_sales
      full join (
        select day as date, currency, count(*) as orders, sum(orders) as paid,
          count(distinct user_id) filter (where orders = 1) as customers, sum(items) as items, sum(gross) as gross,
          sum(refunds) as refunds
        from mv_order_sales group by 1, 2
      ) as s using (date, currency)`,
  },
];

/**
 * Of each order the day on which it was paid and those on which something was given back. A day gave back by how much it
 * raised the highest total so far.
 */
const contributions = (inShop: string): string => `
  with paid as (
    select o.id as order_id, (o.paid_at ${inShop})::date as day, i.items, o.total_amount as gross
    from orders o join (select order_id, sum(quantity) as items from order_items group by 1) as i on i.order_id = o.id
    where o.paid_at is not null
  ), refunded as (
    select distinct on (1, 2) r.aggregate_id::uuid as order_id, ((r.envelope ->> 'time')::timestamptz ${inShop})::date as day,
      (r.envelope #>> '{data,refundedTotalMinor}')::bigint as total, r.aggregate_version as version
    from outbox r where r.aggregate_type = 'order' and r.type = 'OrderRefunded'
    order by 1, 2, 4 desc
  ), days as (
    select order_id, day, p.items, p.gross, r.total, r.version,
      max(coalesce(r.total, 0)) over so_far as highest,
      max(coalesce(r.total, 0)) over (so_far rows between unbounded preceding and 1 preceding) as before
    from paid p full join refunded r using (order_id, day)
    window so_far as (partition by order_id order by day)
  )
  select d.order_id, d.day, o.currency, o.user_id, case when d.gross is null then 0 else 1 end as orders,
    coalesce(d.items, 0) as items, coalesce(d.gross, 0) as gross, d.total as refunded_total,
    d.highest - coalesce(d.before, 0) as refunds, coalesce(d.version, 0) as refund_version, d.gross is not null as paid
  from days d join orders o on o.id = d.order_id`;
