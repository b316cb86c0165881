import type { Refusal } from '../../domain/errors.ts';
import type { BegunRefund, Refundable } from '../../domain/refund.ts';
import { paymentIdFor } from '../../events/ids.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

export type RefundDecision = Readonly<{
  orderId: string;
  requestHash: string;
  /** Null only between the making of the row and the end of that transaction. */
  answer: BegunRefund | Refusal | null;
}>;

export type NewRefundRequest = Readonly<{ refundId: string; orderId: string; requestHash: string; by: string }>;

/** Makes the decision row of a refund; nothing where it exists. */
export const insertRequest = (tx: SqlTransaction, { refundId, orderId, requestHash, by }: NewRefundRequest) =>
  tx.$executeRaw`
    insert into refund_requests (id, order_id, request_hash, requested_by)
    values (${refundId}::uuid, ${orderId}::uuid, ${requestHash}, left(${by}, 100))
    on conflict (id) do nothing`;

/** Locks the decision row of a refund: two copies of a step wait for each other here. Undefined where there is none. */
export async function lockRequest(tx: SqlTransaction, refundId: string): Promise<RefundDecision | undefined> {
  const [row] = await tx.$queryRaw<RefundDecision[]>`
    select order_id::text as "orderId", request_hash as "requestHash", answer
    from refund_requests where id = ${refundId}::uuid for update`;
  return row;
}

/** The first answer stays, a refusal too. */
export const storeRequestAnswer = (tx: SqlTransaction, refundId: string, answer: BegunRefund | Refusal) =>
  tx.$executeRaw`
    update refund_requests set answer = ${JSON.stringify(answer)}::jsonb
    where id = ${refundId}::uuid and answer is null`;

/**
 * Locks the payment's decision row without making one: whatever moves this payment's money waits here. A statement of
 * its own, because what is read in the statement that waits is older than the end of its wait.
 */
export async function lockPaymentOf(tx: SqlTransaction, orderId: string): Promise<void> {
  await tx.$queryRaw`select 1 as locked from payment_marks where order_id = ${orderId}::uuid for update`;
}

type CaptureRow = Readonly<{
  paymentId: string;
  minor: bigint;
  currency: string;
  taken: bigint;
  returned: readonly Readonly<{ lineNo: number; quantity: number }>[];
}>;

/** What is left of the captured payment of an order. Undefined where none is captured and kept: lock it before. */
export async function readRefundable(
  tx: SqlTransaction,
  orderId: string,
): Promise<(Refundable & Readonly<{ paymentId: string }>) | undefined> {
  const [row] = await tx.$queryRaw<CaptureRow[]>`
    select p.id::text as "paymentId", p.captured_amount as minor, p.captured_currency::text as currency,
      p.refunded_amount + coalesce((
        select sum(amount) from refunds where payment_id = p.id and status = 'PENDING'), 0)::bigint as taken,
      (select coalesce(jsonb_agg(jsonb_build_object('lineNo', line_no, 'quantity', quantity)), '[]')
       from (select l.line_no, sum(l.quantity) as quantity
             from refund_lines l join refunds r on r.id = l.refund_id
             where r.payment_id = p.id and r.status <> 'FAILED'
             group by l.line_no) given) as returned
    from payments p
    join payment_marks m on m.order_id = p.order_id
    where p.id = ${paymentIdFor(orderId)}::uuid and m.decision = 'CAPTURED'
      and p.status in ('CAPTURED', 'PARTIALLY_REFUNDED', 'REFUNDED')`;
  if (row === undefined) return undefined;
  const { paymentId, minor, currency, taken, returned } = row;
  return {
    paymentId,
    captured: { minor: safeNumber(minor), currency },
    takenMinor: safeNumber(taken),
    returned: new Map(returned.map(({ lineNo, quantity }) => [lineNo, quantity])),
  };
}

/** Writes the refund down before the gateway is asked for it, under the key by which the gateway will know it. */
export async function insertRefund(tx: SqlTransaction, refund: BegunRefund): Promise<void> {
  const { refundId, paymentId, amount, reason, lines } = refund;
  await tx.$executeRaw`
    insert into refunds (id, payment_id, refund_key, amount, currency, reason)
    values (${refundId}::uuid, ${paymentId}::uuid, ${refundId}, ${amount.minor}::bigint, ${amount.currency},
      left(${reason}, 100))`;
  if (lines.length === 0) return;
  await tx.$executeRaw`
    insert into refund_lines (refund_id, line_no, quantity, restock)
    select ${refundId}::uuid, l."lineNo", l.quantity, l.restock
    from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb) as l("lineNo" integer, quantity integer, restock boolean)`;
}

export type RefundStatus = 'PENDING' | 'SUCCEEDED' | 'FAILED';

export type RefundRow = Readonly<{
  orderId: string;
  paymentId: string;
  provider: string;
  providerId: string | null;
  refundKey: string;
  amountMinor: bigint;
  currency: string;
  status: RefundStatus;
  failureCode: string | null;
}>;

/** A refund with its payment; undefined where none is on record. */
export async function findRefund(tx: SqlTransaction, refundId: string): Promise<RefundRow | undefined> {
  const [row] = await tx.$queryRaw<RefundRow[]>`
    select p.order_id::text as "orderId", p.id::text as "paymentId", p.provider, p.provider_payment_id as "providerId",
      r.refund_key as "refundKey", r.amount as "amountMinor", r.currency::text, r.status,
      r.failure_code as "failureCode"
    from refunds r join payments p on p.id = r.payment_id
    where r.id = ${refundId}::uuid`;
  return row;
}

/** Ends a refund; a failed one frees its amount and its units. */
export const endRefund = (
  tx: SqlTransaction,
  refundId: string,
  { status, failureCode }: Readonly<{ status: 'SUCCEEDED' | 'FAILED'; failureCode: string | null }>,
) => tx.$executeRaw`
  update refunds set status = ${status}, failure_code = left(${failureCode}, 50), finished_at = now()
  where id = ${refundId}::uuid and status = 'PENDING'`;
