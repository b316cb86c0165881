import type { Refusal } from '../../domain/errors.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow } from '../../infra/rows.ts';

export type Decision = 'CAPTURED' | 'REFUSED' | 'ABANDONED';
/** `decision` is null until capture or abandon has decided; `answer` is the refusal, where it is one. */
export type Mark = Readonly<{ decision: Decision | null; answer: Refusal | null }>;

/** Locks the payment's decision row, making it if there is none: capture and abandon wait for each other here. */
export async function lockMark(tx: SqlTransaction, orderId: string): Promise<Mark> {
  await tx.$executeRaw`
    insert into payment_marks (order_id) values (${orderId}::uuid) on conflict (order_id) do nothing`;
  const rows = await tx.$queryRaw<Mark[]>`
    select decision, answer from payment_marks where order_id = ${orderId}::uuid for update`;
  return expectRow(rows);
}

/** The decision without a lock: once there is one it stays, so only "none yet" can be out of date. */
export async function readMark(tx: SqlTransaction, orderId: string): Promise<Mark> {
  const [mark] = await tx.$queryRaw<Mark[]>`
    select decision, answer from payment_marks where order_id = ${orderId}::uuid`;
  return mark ?? { decision: null, answer: null };
}

/** Decides once: whoever comes first wins, and a decision is never changed. */
export async function decide(
  tx: SqlTransaction,
  orderId: string,
  decision: Decision,
  answer: Refusal | null = null,
): Promise<void> {
  const json = answer === null ? null : JSON.stringify(answer);
  const decided = await tx.$executeRaw`
    update payment_marks set decision = ${decision}, answer = ${json}::jsonb, updated_at = now()
    where order_id = ${orderId}::uuid and decision is null`;
  if (decided !== 1) throw new Error(`the payment of order ${orderId} was decided before`);
}
