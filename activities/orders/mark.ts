import type { PlacedOrder } from '../../domain/checkout.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow } from '../../infra/rows.ts';

export type MarkState = 'CREATED' | 'PAID' | 'CLOSED';
/** Both are null only between the making of the row and the end of that transaction. */
export type Mark = Readonly<{ state: MarkState | null; answer: PlacedOrder | null }>;

/** Locks the order's decision row, making it if there is none: two copies of a step wait for each other here. */
export async function lockMark(tx: SqlTransaction, orderId: string): Promise<Mark> {
  await tx.$executeRaw`
    insert into order_marks (order_id) values (${orderId}::uuid) on conflict (order_id) do nothing`;
  const rows = await tx.$queryRaw<Mark[]>`
    select state, answer from order_marks where order_id = ${orderId}::uuid for update`;
  return expectRow(rows);
}

/** Locks the order's decision row without making one. Undefined where the order service never heard of the order. */
export async function lockKnownMark(tx: SqlTransaction, orderId: string): Promise<Mark | undefined> {
  const [row] = await tx.$queryRaw<Mark[]>`
    select state, answer from order_marks where order_id = ${orderId}::uuid for update`;
  return row;
}

/** Moves the mark; the first answer is never replaced. */
export async function setMark(
  tx: SqlTransaction,
  orderId: string,
  state: MarkState,
  answer?: PlacedOrder,
): Promise<void> {
  const json = answer === undefined ? null : JSON.stringify(answer);
  await tx.$executeRaw`
    update order_marks set state = ${state}, answer = coalesce(answer, ${json}::jsonb), updated_at = now()
    where order_id = ${orderId}::uuid`;
}
