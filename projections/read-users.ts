import { personalKeysOf } from '../events/personal-keys.ts';
import type { Databases } from '../infra/databases.ts';
import { openedData, type PersonalData } from '../infra/personal-seal.ts';

export type UserProfile = Readonly<{
  userId: string;
  username: string;
  email: string;
  fullName: string;
  status: string;
  lastOrderAt: Date | null;
  /** Of orders that are or were paid, by currency; `spent` in minor units, refunds taken off. */
  totals: readonly Readonly<{ currency: string; orders: number; spent: number }>[];
}>;

/**
 * A user with what they bought; undefined while the view knows nothing about them but orders. Whoever was erased has
 * placeholders from that moment on, however far the view is.
 */
export async function readUser(
  { views, platform }: Pick<Databases, 'views' | 'platform'>,
  userId: string,
): Promise<UserProfile | undefined> {
  const [row] = await views.$queryRaw<UserProfile[]>`
    select user_id::text as "userId", username, email, full_name as "fullName", status,
      last_order_date as "lastOrderAt",
      coalesce((
        select jsonb_agg(jsonb_build_object('currency', t.currency, 'orders', t.total_orders, 'spent', t.total_spent)
          order by t.currency)
        from mv_user_totals t where t.user_id = u.user_id
      ), '[]') as totals
    from mv_users u where user_id = ${userId}::bigint and user_version > 0`;
  if (row === undefined) return undefined;
  const keys = await personalKeysOf(platform, [userId]);
  return { ...row, ...openedData(keys.get(userId), userId, row) };
}

/** The names of customers by `users.id`, in one statement of each database; whom the view has no profile of is not in it. */
export async function readCustomerNames(
  { views, platform }: Pick<Databases, 'views' | 'platform'>,
  userIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const rows = await views.$queryRaw<(PersonalData & Readonly<{ userId: string }>)[]>`
    select user_id::text as "userId", username, email, full_name as "fullName" from mv_users
    where user_id = any(${[...new Set(userIds)]}::bigint[]) and user_version > 0`;
  const keys = await personalKeysOf(
    platform,
    rows.map(({ userId }) => userId),
  );
  return new Map(rows.map(({ userId, ...sealed }) => [userId, openedData(keys.get(userId), userId, sealed).fullName]));
}
