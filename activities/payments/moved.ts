import type { SqlTransaction } from '../../infra/databases.ts';
import type { MovedPayment, Page, PageInput } from './contract.ts';
import { keyOf, pageOf, readKey } from './pages.ts';

type Row = MovedPayment & Readonly<{ id: string; at: string }>;
/** Later than (at, id), in that order, and not older than `sinceMs` milliseconds. */
type Slice = Readonly<{ at: string; id: string; limit: number; sinceMs: number }>;

const FIRST_ID = '00000000-0000-0000-0000-000000000000';
/** One after the other, each with a partial index of its own. */
const LISTS = [keptPayments, settledPayments] as const;

/** Money that moved within the last `sinceMs`, by when it did. A page may be empty before the end: see `next`. */
export async function movedPayments(
  payment: SqlTransaction,
  { after, limit, sinceMs }: PageInput & Readonly<{ sinceMs: number }>,
): Promise<Page<MovedPayment>> {
  const [list, at, id] = readKey(after, ['0', '-infinity', FIRST_ID]);
  const index = Number(list);
  const read = LISTS[index];
  if (read === undefined) throw new Error('this is no position in the list of moved payments');
  const { items, next } = pageOf(
    await read(payment, { at, id, limit, sinceMs }),
    limit,
    ({ orderId, paymentId, settled }): MovedPayment => ({ orderId, paymentId, settled }),
    (row) => keyOf(list, row.at, row.id),
  );
  const another = index + 1 < LISTS.length ? keyOf(String(index + 1), '-infinity', FIRST_ID) : null;
  return { items, next: next ?? another };
}

/** Captures that count, and that nothing on record gives back. */
async function keptPayments(payment: SqlTransaction, { at, id, limit, sinceMs }: Slice): Promise<Row[]> {
  return payment.$queryRaw<Row[]>`
    select order_id::text as "orderId", id::text as "paymentId", false as settled, id::text, captured_at::text as at
    from payments p
    where status in ('CAPTURED', 'PARTIALLY_REFUNDED')
      and captured_at > now() - ${sinceMs}::float8 * interval '1 millisecond'
      and (captured_at, id) > (${at}::timestamptz, ${id}::uuid)
      and not exists (select from refunds where refund_key = p.order_id || ':settle-refund')
    order by captured_at, id
    limit ${limit}::int`;
}

async function settledPayments(payment: SqlTransaction, { at, id, limit, sinceMs }: Slice): Promise<Row[]> {
  return payment.$queryRaw<Row[]>`
    select p.order_id::text as "orderId", p.id::text as "paymentId", true as settled, r.id::text,
      r.finished_at::text as at
    from refunds r join payments p on p.id = r.payment_id
    where r.refund_key like '%:settle-refund' and r.status = 'SUCCEEDED'
      and r.finished_at > now() - ${sinceMs}::float8 * interval '1 millisecond'
      and (r.finished_at, r.id) > (${at}::timestamptz, ${id}::uuid)
    order by r.finished_at, r.id
    limit ${limit}::int`;
}
