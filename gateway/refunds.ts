import { randomUUID } from 'node:crypto';

import type { Money } from '../domain/money.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { safeNumber } from '../infra/rows.ts';
import { bookRefund } from './bookings.ts';

/** A refund as a caller sees it. It keeps its key for ever, other than the answer that is stored under the key. */
export type RefundJson = Readonly<{
  refundId: string;
  providerId: string;
  refundKey: string;
  amount: Money;
  status: 'pending' | 'succeeded' | 'failed';
  failureCode: string | null;
  /** ISO instant. */
  createdAt: string;
}>;

/** How a refund goes on that does not end at once. */
export type PendingRefund = Readonly<{ endsInMs: number; failureCode: string | null }>;

type Row = Omit<RefundJson, 'amount' | 'createdAt'> & Readonly<{ amount: bigint; currency: string; createdAt: Date }>;

/** The bank's word for a refund that it sent back. */
export const REFUND_FAILURE = 'account_closed';
const MOST_PER_KEY = 20;

/**
 * Starts a refund, and ends it at once unless it is to stay pending. The charge is locked, and the amount checked, by
 * the caller.
 */
export async function startRefund(
  tx: SqlTransaction,
  providerId: string,
  refundKey: string,
  amount: Money,
  pending: PendingRefund | undefined,
): Promise<RefundJson> {
  const refundId = `re_${randomUUID()}`;
  const [row] = await tx.$queryRaw<Row[]>`
    insert into refunds (id, charge_id, refund_key, amount, currency, status, due_at, due_failure_code)
    values (
      ${refundId}, ${providerId}, ${refundKey}, ${amount.minor}::bigint, ${amount.currency},
      ${pending === undefined ? 'succeeded' : 'pending'},
      clock_timestamp() + ${pending?.endsInMs ?? null}::integer * interval '1 millisecond',
      ${pending?.failureCode ?? null})
    returning id as "refundId", charge_id as "providerId", refund_key as "refundKey", amount, currency, status,
      failure_code as "failureCode", created_at as "createdAt"`;
  if (row === undefined) throw new Error('the refund was not written');
  if (pending === undefined) await bookRefund(tx, providerId, refundKey, amount.minor);
  return refundOf(row);
}

/** Ends every refund of a locked charge whose time has come. Only one that succeeds moves money. */
export async function endDueRefunds(tx: SqlTransaction, providerId: string): Promise<void> {
  const ended = await tx.$queryRaw<{ refundKey: string; amount: bigint; status: string }[]>`
    update refunds
    set status = case when due_failure_code is null then 'succeeded' else 'failed' end,
      failure_code = due_failure_code, due_failure_code = null, due_at = null
    where charge_id = ${providerId} and status = 'pending' and due_at <= clock_timestamp()
    returning refund_key as "refundKey", amount, status`;
  for (const { refundKey, amount, status } of ended) {
    if (status === 'succeeded') await bookRefund(tx, providerId, refundKey, safeNumber(amount));
  }
}

/** Minor units of a locked charge that are given back or on their way: what failed is free again. */
export async function promisedMinor(tx: SqlTransaction, providerId: string): Promise<number> {
  const [row] = await tx.$queryRaw<{ promised: bigint }[]>`
    select coalesce(sum(amount), 0)::bigint as promised from refunds
    where charge_id = ${providerId} and status in ('pending', 'succeeded')`;
  return safeNumber(row?.promised ?? 0n);
}

/** The refunds of a charge under one key, oldest first: more than one when it was sent again after it had expired. */
export async function refundsUnder(tx: SqlTransaction, providerId: string, refundKey: string): Promise<RefundJson[]> {
  const rows = await tx.$queryRaw<Row[]>`
    select id as "refundId", charge_id as "providerId", refund_key as "refundKey", amount, currency, status,
      failure_code as "failureCode", created_at as "createdAt"
    from refunds where charge_id = ${providerId} and refund_key = ${refundKey}
    order by created_at, id limit ${MOST_PER_KEY}`;
  return rows.map(refundOf);
}

function refundOf({ amount, currency, createdAt, ...rest }: Row): RefundJson {
  return {
    ...rest,
    amount: { minor: safeNumber(amount), currency: currency.trim() },
    createdAt: createdAt.toISOString(),
  };
}
