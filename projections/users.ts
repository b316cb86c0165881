import type { ReadEvent } from '../events/read-event.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { distinct, factOf, newestBy, ofTypes, ORDER_EVENTS } from './facts.ts';
import type { View } from './view.ts';

const USER_EVENTS = ['UserCreated', 'UserUpdated'] as const;

/**
 * Customers with what they bought (source document 4). Whoever holds the row of a user in `mv_users` writes all rows of
 * that user, so two batches that touch one user come one after the other, and the second sums what the first brought.
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
    await saveContributions(tx, orders);
    await sumTotals(tx, customers);
    await findNewestOrders(tx, customers);
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

/** One row per order: it counts once it was paid, with what the customer has paid for it. */
const saveContributions = (tx: SqlTransaction, orders: readonly Order[]) => tx.$executeRaw`
  insert into mv_user_orders as v (order_id, user_id, currency, order_date, orders, spent, order_version)
  select e."orderId", e."userId", e.currency, e."placedAt", case when paid then 1 else 0 end,
    case when paid then e."totalMinor" - e."refundedTotalMinor" else 0 end, e.version
  from jsonb_to_recordset(${JSON.stringify(orders.map(withoutLines))}::jsonb)
    as e ("orderId" uuid, "userId" bigint, currency text, "placedAt" timestamptz, status text, "totalMinor" bigint,
      "refundedTotalMinor" bigint, version bigint),
    lateral (select e.status in ('PAID', 'PARTIALLY_REFUNDED', 'REFUNDED') as paid) as s
  order by e."orderId"
  on conflict (order_id) do update
  set orders = excluded.orders, spent = excluded.spent, order_version = excluded.order_version
  where v.order_version < excluded.order_version`;

const withoutLines = (order: Order) => ({ ...order, lines: undefined });

const sumTotals = (tx: SqlTransaction, userIds: readonly string[]) => tx.$executeRaw`
  insert into mv_user_totals as v (user_id, currency, total_orders, total_spent)
  select user_id, currency, sum(orders), sum(spent) from mv_user_orders
  where user_id = any(${userIds}::bigint[])
  group by user_id, currency
  order by user_id, currency
  on conflict (user_id, currency) do update
  set total_orders = excluded.total_orders, total_spent = excluded.total_spent, synced_at = now()
  where (v.total_orders, v.total_spent) is distinct from (excluded.total_orders, excluded.total_spent)`;

/** Of all orders, also those that were never paid. */
const findNewestOrders = (tx: SqlTransaction, userIds: readonly string[]) => tx.$executeRaw`
  update mv_users v
  set last_order_date = o.newest, synced_at = now()
  from (
    select user_id, max(order_date) as newest from mv_user_orders
    where user_id = any(${userIds}::bigint[])
    group by user_id
  ) as o
  where v.user_id = o.user_id and v.last_order_date is distinct from o.newest`;
