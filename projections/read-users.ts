import type { Databases } from '../infra/databases.ts';

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

/** A user with what they bought; undefined while the view knows nothing about them but orders. */
export async function readUser(views: Databases['views'], userId: string): Promise<UserProfile | undefined> {
  const [row] = await views.$queryRaw<UserProfile[]>`
    select user_id::text as "userId", username, email, full_name as "fullName", status,
      last_order_date as "lastOrderAt",
      coalesce((
        select jsonb_agg(jsonb_build_object('currency', t.currency, 'orders', t.total_orders, 'spent', t.total_spent)
          order by t.currency)
        from mv_user_totals t where t.user_id = u.user_id
      ), '[]') as totals
    from mv_users u where user_id = ${userId}::bigint and user_version > 0`;
  return row;
}
