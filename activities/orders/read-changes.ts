import type { OrderStatus } from '../../domain/order.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

/** An order, and the version up to which its reader knows it: 0 for nothing. */
export type Followed = Readonly<{ orderId: string; seen: number }>;

/** `failureCode`: why an order ended FAILED or CANCELLED; else null. `at`: ISO instant of the order's database. */
export type StateChange = Readonly<{
  orderId: string;
  version: number;
  status: OrderStatus;
  failureCode: string | null;
  at: string;
}>;

/** Of one order in one read, so that no order holds up the others. */
export const MOST_CHANGES = 100;

type Row = Readonly<{ orderId: string; version: bigint; status: OrderStatus; reason: string | null; at: Date }>;

/**
 * What has become of orders since their readers looked, by order in the order of its versions; notes that changed no
 * state are left out. Of an order at most one more than MOST_CHANGES, which says that there are more. Nothing of an order
 * that is not made yet.
 */
export async function readStateChanges(orders: SqlTransaction, followed: readonly Followed[]): Promise<StateChange[]> {
  const rows = await orders.$queryRaw<Row[]>`
    select f."orderId"::text as "orderId", c.version, c.status, c.reason, c.at
    from jsonb_to_recordset(${JSON.stringify(followed)}::jsonb) as f("orderId" uuid, seen bigint)
    cross join lateral (
      select distinct on (order_version) order_version as version, status, reason, occurred_at as at
      from order_status_history
      where order_id = f."orderId" and order_version > f.seen
      order by order_version, id
      limit ${MOST_CHANGES + 1}
    ) as c
    order by 1, 2`;
  return rows.map(({ orderId, version, status, reason, at }) => ({
    orderId,
    version: safeNumber(version),
    status,
    failureCode: status === 'FAILED' || status === 'CANCELLED' ? reason : null,
    at: at.toISOString(),
  }));
}
