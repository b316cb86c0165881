import { openedData } from '../personal-seal.ts';
import type { Facts, ViewRule } from './views-rows.ts';

const USER = { user_id: 'number' } as const;

/** The view has what the events say, sealed; the platform knows who it is, and has the key. */
function profileAsRead(is: Facts, { key, ...shouldBe }: Facts): Readonly<{ is: Facts; shouldBe: Facts }> {
  // Of somebody who was erased the view has the placeholders themselves, and nothing that was ever sealed.
  if (typeof key !== 'string' || [is['username'], is['email'], is['full_name']].includes(null)) return { is, shouldBe };
  const text = (column: string): string => String(is[column]);
  const { username, email, fullName } = openedData(Buffer.from(key, 'hex'), text('user_id'), {
    ...{ username: text('username'), email: text('email'), fullName: text('full_name') },
  });
  return { is: { ...is, username, email, full_name: fullName }, shouldBe };
}

/** Profiles from the platform, what each order adds from the orders, and the sums of that. */
export const USER_RULES: readonly ViewRule[] = [
  {
    ...{ view: 'users', table: 'mv_users', key: USER, from: 'platform' },
    // A user whose orders came first is a stub until the profile comes.
    is: `select user_id, username, email, full_name, status, user_version from mv_users u
      where (user_version, username, email, full_name, status) is distinct from (0, null, null, null, null)
        or not exists (select from mv_user_orders o where o.user_id = u.user_id)`,
    shouldBe: `select u.id as user_id, u.username, u.email, u.full_name, u.status, u.version as user_version,
        encode(k.key, 'hex') as key
      from users u left join personal_keys k on k.user_id = u.id`,
    asRead: profileAsRead,
    toldBy: { aggregate: 'user', idOf: (row) => String(row['user_id']) },
    personal: ['username', 'email', 'full_name'],
  },
  {
    ...{ view: 'users', table: 'mv_user_orders', key: { order_id: 'uuid' }, from: 'order' },
    is: `select order_id, user_id, currency, order_date at time zone 'utc' as order_date, orders, spent, order_version
      from mv_user_orders`,
    shouldBe: `select id as order_id, user_id, currency,
        date_trunc('milliseconds', placed_at) at time zone 'utc' as order_date,
        case when paid_at is null then 0 else 1 end as orders,
        case when paid_at is null then 0 else total_amount - refunded_amount end as spent, version as order_version
      from orders`,
    toldBy: { aggregate: 'order', idOf: (row) => String(row['order_id']) },
  },
  {
    ...{ view: 'users', table: 'mv_user_totals', key: { user_id: 'number', currency: 'text' }, from: 'views' },
    is: 'select user_id, currency, total_orders, total_spent from mv_user_totals',
    shouldBe: `select user_id, currency, sum(orders) as total_orders, sum(spent) as total_spent
      from mv_user_orders group by 1, 2`,
  },
  {
    ...{ view: 'users', table: 'mv_users', key: USER, from: 'views' },
    is: `select user_id, last_order_date at time zone 'utc' as last_order_date from mv_users`,
    shouldBe: `select user_id, o.newest at time zone 'utc' as last_order_date
      from mv_users
      full join (select user_id, max(order_date) as newest from mv_user_orders group by 1) as o using (user_id)`,
  },
];
