import type { ReadEvent } from '../events/read-event.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { expectRow } from '../infra/rows.ts';
import { Prisma } from '../prisma/views/generated/client.ts';
import { distinct, factOf, ofTypes } from './facts.ts';
import type { View } from './view.ts';

/** One row of `mv_daily_sales`: a day of the shop's time zone, `YYYY-MM-DD`, and an ISO 4217 code. */
export type SalesDay = Readonly<{ day: string; currency: string }>;

/**
 * What was sold and given back on each day (source document 4). The refunds of a day follow from those of the order's
 * earlier days, so a refund that comes late changes days that its own event does not name.
 *
 * A day is its sums so far, less what the orders of the batch contributed before it, plus what they contribute after it:
 * what that costs does not depend on how many other orders the day has.
 */
export const sales: View = {
  name: 'sales',
  takes: ['OrderPaid', 'OrderRefunded'],
  async apply(tx, events, { timeZone }) {
    const paid = ofTypes(events, ['OrderPaid']).map(contributionOf);
    const refunded = ofTypes(events, ['OrderRefunded']).map(contributionOf);
    const orderIds = distinct([...paid, ...refunded].map(({ orderId }) => orderId));

    await lockContributions(tx);
    const before = await contributedBy(tx, orderIds);
    const customers = await newCustomers(tx, paid, timeZone);
    if (paid.length > 0) await savePaid(tx, paid, timeZone);
    if (refunded.length > 0) await saveRefunded(tx, refunded, timeZone);
    await spreadRefunds(tx, orderIds);
    await addToDays(tx, orderIds, before, customers);
  },
};

/** What a day's rows of `mv_order_sales`, of one currency, come to: columns of `mv_daily_sales`. */
export const SUMS = Prisma.sql`
  count(*) as total_orders, coalesce(sum(orders), 0) as completed_orders,
  count(distinct user_id) filter (where orders = 1) as unique_customers, coalesce(sum(items), 0) as items,
  coalesce(sum(gross), 0) as gross, coalesce(sum(refunds), 0) as refunds`;

/**
 * Sums days from all their contributions. Days that are right stay untouched; one without contributions becomes zero. Call
 * it in a READ COMMITTED transaction: it locks the days, in the order of their keys, until that ends. Batches may be applied
 * meanwhile: what they have not committed is not in the sum yet, and they add it to the row once they have its lock.
 */
export async function recomputeDays(tx: SqlTransaction, days: readonly SalesDay[]): Promise<void> {
  const rows = JSON.stringify(days);
  await tx.$executeRaw`
    insert into mv_daily_sales (date, currency)
    select day, currency from jsonb_to_recordset(${rows}::jsonb) as d (day date, currency text)
    order by day, currency
    on conflict do nothing`;
  await tx.$queryRaw`
    select from mv_daily_sales v
    join jsonb_to_recordset(${rows}::jsonb) as d (day date, currency text)
      on v.date = d.day and v.currency = d.currency
    order by v.date, v.currency
    for update of v`;
  await tx.$executeRaw`
    update mv_daily_sales v
    set total_orders = s.total_orders, completed_orders = s.completed_orders, unique_customers = s.unique_customers,
      items = s.items, gross = s.gross, refunds = s.refunds, synced_at = now()
    from jsonb_to_recordset(${rows}::jsonb) as d (day date, currency text),
      lateral (
        select ${SUMS} from mv_order_sales where day = d.day and currency = d.currency
      ) as s
    where v.date = d.day and v.currency = d.currency
      and (v.total_orders, v.completed_orders, v.unique_customers, v.items, v.gross, v.refunds)
        is distinct from (s.total_orders, s.completed_orders, s.unique_customers, s.items, s.gross, s.refunds)`;
}

type Event = Extract<ReadEvent, { type: 'OrderPaid' | 'OrderRefunded' }>;
type Contribution = Readonly<ReturnType<typeof contributionOf>>;

const contributionOf = (event: Event) => ({ ...factOf(event), lines: undefined });

/**
 * One batch at a time, of the live tables or of their twins: the days of one order must see each other, and an order has
 * no row that could be locked for all of them. Every batch would wait for the row of today anyway.
 */
export async function lockContributions(tx: SqlTransaction): Promise<void> {
  await tx.$queryRaw`
    select pg_advisory_xact_lock(hashtextextended('contributions of ' || 'mv_order_sales'::regclass::oid, 0))::text`;
}

/** On the day of the event's time, which is the database's clock of the transaction that marked the order paid. */
const savePaid = (tx: SqlTransaction, paid: readonly Contribution[], timeZone: string) => tx.$executeRaw`
  insert into mv_order_sales as v (order_id, day, currency, user_id, orders, items, gross, paid_version)
  select e."orderId", (e.time at time zone ${timeZone}::text)::date, e.currency, e."userId", 1, e."itemCount",
    e."totalMinor", e.version
  from jsonb_to_recordset(${JSON.stringify(paid)}::jsonb)
    as e ("orderId" uuid, time timestamptz, currency text, "userId" bigint, "itemCount" integer, "totalMinor" bigint,
      version bigint)
  order by 1, 2
  on conflict (order_id, day) do update
  set orders = excluded.orders, items = excluded.items, gross = excluded.gross, paid_version = excluded.paid_version
  where v.paid_version < excluded.paid_version`;

/** Of several refunds on one day the last one says what was given back until its end. */
const saveRefunded = (tx: SqlTransaction, refunded: readonly Contribution[], timeZone: string) => tx.$executeRaw`
  insert into mv_order_sales as v (order_id, day, currency, user_id, refunded_total, refund_version)
  select distinct on (1, 2) e."orderId", (e.time at time zone ${timeZone}::text)::date, e.currency, e."userId",
    e."refundedTotalMinor", e.version
  from jsonb_to_recordset(${JSON.stringify(refunded)}::jsonb)
    as e ("orderId" uuid, time timestamptz, currency text, "userId" bigint, "refundedTotalMinor" bigint, version bigint)
  order by 1, 2, e.version desc
  on conflict (order_id, day) do update
  set refunded_total = excluded.refunded_total, refund_version = excluded.refund_version
  where v.refund_version < excluded.refund_version`;

/**
 * What a day gave back is its total less the highest of the days before. Never less than nothing: of two refunds around
 * midnight the later version can have the earlier time, because a transaction's time is when it began.
 */
const spreadRefunds = (tx: SqlTransaction, orderIds: readonly string[]) => tx.$executeRaw`
  update mv_order_sales v
  set refunds = s.refunds
  from (
    select order_id, day, greatest(0, coalesce(refunded_total, 0) - coalesce(max(refunded_total) over (
      partition by order_id order by day rows between unbounded preceding and 1 preceding), 0)) as refunds
    from mv_order_sales where order_id = any(${orderIds}::uuid[])
  ) as s
  where v.order_id = any(${orderIds}::uuid[]) -- or the join may read the whole table
    and v.order_id = s.order_id and v.day = s.day and v.refunds <> s.refunds`;

/** Sums of orders by day, as JSON that is given back to the database. */
type Sums = string;

/** What these orders contribute now. */
async function contributedBy(tx: SqlTransaction, orderIds: readonly string[]): Promise<Sums> {
  const rows = await tx.$queryRaw<{ sums: Sums }[]>`
    select coalesce(jsonb_agg(s), '[]')::text as sums from (${sumsOf(orderIds)}) as s`;
  return expectRow(rows).sums;
}

const sumsOf = (orderIds: readonly string[]) => Prisma.sql`
  select day, currency, count(*) as total_orders, sum(orders) as completed_orders, sum(items) as items,
    sum(gross) as gross, sum(refunds) as refunds
  from mv_order_sales
  where order_id = any(${orderIds}::uuid[])
  group by day, currency`;

/** By day, how many customers pay for the first time on it. Ask before they have: an order that was paid stays so. */
async function newCustomers(tx: SqlTransaction, paid: readonly Contribution[], timeZone: string): Promise<Sums> {
  const rows = await tx.$queryRaw<{ sums: Sums }[]>`
    select coalesce(jsonb_agg(s), '[]')::text as sums from (
      select day, currency, count(distinct user_id) as customers
      from (
        select (e.time at time zone ${timeZone}::text)::date as day, e.currency::char(3), e."userId" as user_id
        from jsonb_to_recordset(${JSON.stringify(paid)}::jsonb) as e (time timestamptz, currency text, "userId" bigint)
      ) as p
      where not exists (
        select from mv_order_sales v
        where v.day = p.day and v.currency = p.currency and v.user_id = p.user_id and v.orders = 1
        offset 0 -- each is looked up by the index: a join may read the whole table
      )
      group by day, currency
    ) as s`;
  return expectRow(rows).sums;
}

/** Adds what has changed. Makes and locks the days in the order of their keys, so that nobody waits in a circle. */
const addToDays = (tx: SqlTransaction, orderIds: readonly string[], before: Sums, customers: Sums) => tx.$executeRaw`
  insert into mv_daily_sales as v (date, currency, total_orders, completed_orders, unique_customers, items, gross, refunds)
  select day, currency, sum(total_orders), sum(completed_orders), sum(customers), sum(items), sum(gross), sum(refunds)
  from (
    select day, currency, total_orders, completed_orders, 0 as customers, items, gross, refunds
    from (${sumsOf(orderIds)}) as now
    union all
    select day, currency, -total_orders, -completed_orders, 0, -items, -gross, -refunds
    from jsonb_to_recordset(${before}::jsonb) as b (day date, currency char(3), total_orders bigint,
      completed_orders bigint, items bigint, gross bigint, refunds bigint)
    union all
    select day, currency, 0, 0, customers, 0, 0, 0
    from jsonb_to_recordset(${customers}::jsonb) as c (day date, currency char(3), customers bigint)
  ) as changes
  group by day, currency
  order by day, currency
  on conflict (date, currency) do update
  set total_orders = v.total_orders + excluded.total_orders,
    completed_orders = v.completed_orders + excluded.completed_orders,
    unique_customers = v.unique_customers + excluded.unique_customers, items = v.items + excluded.items,
    gross = v.gross + excluded.gross, refunds = v.refunds + excluded.refunds, synced_at = now()
  where (excluded.total_orders, excluded.completed_orders, excluded.unique_customers, excluded.items, excluded.gross,
    excluded.refunds) is distinct from (0, 0, 0, 0, 0, 0)`;
