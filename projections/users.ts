import type { ReadEvent } from '../events/read-event.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { distinct, factOf, newestBy, ofTypes, ORDER_EVENTS } from './facts.ts';
import type { View } from './view.ts';

const USER_EVENTS = ['UserCreated', 'UserUpdated'] as const;

/**
 * Customers with what they bought (source document 4). Whoever holds the row of a user in `mv_users` writes all rows of
 * that user, so two batches that touch one user come one after the other, and the second goes on from what the first brought.
 */
export const users: View = {
  name: 'users',
  takes: [...USER_EVENTS, ...ORDER_EVENTS],
  async apply(tx, events) {
    const profiles = newestBy(ofTypes(events, USER_EVENTS), ({ data }) => data.userId).map(factOf);
    const orders = newestBy(ofTypes(events, ORDER_EVENTS), ({ data }) => data.orderId).map(factOf);
    const customers = distinct(orders.map(({ userId }) => userId));

    await lockUsers(tx, distinct([...profiles.map(({ userId }) => userId), ...customers]));
    if (profiles.length > 0) await saveProfiles(tx, profiles);
    if (orders.length === 0) return;
    await makeTotals(tx, orders);
    await saveContributions(tx, orders);
    await noteNewestOrders(tx, orders);
  },
};

type Facts<T extends ReadEvent['type']> = ReturnType<typeof factOf<Extract<ReadEvent, { type: T }>>>;
type Profile = Facts<(typeof USER_EVENTS)[number]>;
type Order = Facts<(typeof ORDER_EVENTS)[number]>;

/** Makes stubs of those that are not there; reads do not show them. In key order, so that nobody waits in a circle. */
async function lockUsers(tx: SqlTransaction, userIds: readonly string[]): Promise<void> {
  await tx.$executeRaw`
    insert into mv_users (user_id)
    select id from unnest(${userIds}::bigint[]) as u (id)
    order by id
    on conflict do nothing`;
  await tx.$queryRaw`select from mv_users where user_id = any(${userIds}::bigint[]) order by user_id for update`;
}

const saveProfiles = (tx: SqlTransaction, profiles: readonly Profile[]) => tx.$executeRaw`
  update mv_users v
  set username = e.username, email = e.email, full_name = e."fullName", status = e.status, user_version = e.version,
    synced_at = now()
  from jsonb_to_recordset(${JSON.stringify(profiles)}::jsonb)
    as e ("userId" bigint, username text, email text, "fullName" text, status text, version bigint)
  where v.user_id = e."userId" and v.user_version < e.version`;

/** The rows that are added to. Whoever adds has the row of the user, so nobody else does. */
const makeTotals = (tx: SqlTransaction, orders: readonly Order[]) => tx.$executeRaw`
  insert into mv_user_totals (user_id, currency)
  select distinct e."userId", e.currency
  from jsonb_to_recordset(${JSON.stringify(orders.map(withoutLines))}::jsonb) as e ("userId" bigint, currency text)
  order by 1, 2
  on conflict do nothing`;

/**
 * One row per order: it counts once it was paid, with what the customer has paid for it. Totals grow by how far the rows
 * are from what they were: what that costs does not depend on how many orders the customer has.
 */
const saveContributions = (tx: SqlTransaction, orders: readonly Order[]) => tx.$executeRaw`
  with given as (
    select e.*, s.paid
    from jsonb_to_recordset(${JSON.stringify(orders.map(withoutLines))}::jsonb)
      as e ("orderId" uuid, "userId" bigint, currency text, "placedAt" timestamptz, status text, "totalMinor" bigint,
        "refundedTotalMinor" bigint, version bigint),
      lateral (select e.status in ('PAID', 'PARTIALLY_REFUNDED', 'REFUNDED') as paid) as s
  ), saved as (
    insert into mv_user_orders as v (order_id, user_id, currency, order_date, orders, spent, order_version)
    select "orderId", "userId", currency, "placedAt", case when paid then 1 else 0 end,
      case when paid then "totalMinor" - "refundedTotalMinor" else 0 end, version
    from given
    order by "orderId"
    on conflict (order_id) do update
    set orders = excluded.orders, spent = excluded.spent, order_version = excluded.order_version
    where v.order_version < excluded.order_version
    returning order_id, user_id, currency, orders, spent
  )
  update mv_user_totals v
  set total_orders = v.total_orders + s.orders, total_spent = v.total_spent + s.spent, synced_at = now()
  from (
    -- The second is as it was before: one statement does not see what it writes.
    select n.user_id, n.currency, sum(n.orders - coalesce(o.orders, 0)) as orders,
      sum(n.spent - coalesce(o.spent, 0)) as spent
    from saved n
    left join (
      select order_id, orders, spent from mv_user_orders
      where order_id = any(${orders.map(({ orderId }) => orderId)}::uuid[])
    ) as o on o.order_id = n.order_id
    group by n.user_id, n.currency
  ) as s
  where v.user_id = s.user_id and v.currency = s.currency and (s.orders, s.spent) <> (0, 0)`;

const withoutLines = (order: Order) => ({ ...order, lines: undefined });

/** Of all orders, also those that were never paid. When it was placed, an order says in each of its versions. */
const noteNewestOrders = (tx: SqlTransaction, orders: readonly Order[]) => tx.$executeRaw`
  update mv_users v
  set last_order_date = o.newest, synced_at = now()
  from (
    select e."userId" as user_id, max(e."placedAt") as newest
    from jsonb_to_recordset(${JSON.stringify(orders.map(withoutLines))}::jsonb)
      as e ("userId" bigint, "placedAt" timestamptz)
    group by e."userId"
  ) as o
  where v.user_id = o.user_id and (v.last_order_date is null or v.last_order_date < o.newest)`;
