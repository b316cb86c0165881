import type { Money } from '../../domain/money.ts';
import { settlementIdFor } from '../../events/ids.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow, safeNumber } from '../../infra/rows.ts';

/** The one key under which an order that must not be charged is refunded, whoever notices. */
export const settlementKey = (orderId: string): string => `${orderId}:settle-refund`;

/** FAILED: the gateway refused it; it is asked again under the same key. Minor units of what was captured. */
export type Settlement = Readonly<{ status: 'PENDING' | 'SUCCEEDED' | 'FAILED'; minor: number }>;

/**
 * Puts on record, before the gateway is asked, that everything of `captured` goes back which no other refund gives
 * back already. Repeat-safe: the first amount stays, because it belongs to the one key. Call it under the locked mark.
 *
 * @returns undefined when other refunds give back all of it
 */
export async function openSettlement(
  tx: SqlTransaction,
  orderId: string,
  paymentId: string,
  captured: Money,
): Promise<Settlement | undefined> {
  const id = settlementIdFor(orderId);
  await tx.$executeRaw`
    insert into refunds (id, payment_id, refund_key, amount, currency, reason)
    select ${id}::uuid, ${paymentId}::uuid, ${settlementKey(orderId)}, owed.minor, ${captured.currency}, 'SETTLEMENT'
    from (select ${captured.minor}::bigint - coalesce(sum(amount), 0)::bigint as minor from refunds
      where payment_id = ${paymentId}::uuid and id <> ${id}::uuid and status <> 'FAILED') as owed
    where owed.minor > 0
    on conflict (id) do nothing`;
  const rows = await tx.$queryRaw<{ status: Settlement['status']; amount: bigint }[]>`
    select status, amount from refunds where id = ${id}::uuid`;
  if (rows.length === 0) return undefined;
  const { status, amount } = expectRow(rows);
  return { status, minor: safeNumber(amount) };
}

/** The money is given back. It counts also after a refusal: what has happened has happened. */
export const finishSettlement = (tx: SqlTransaction, orderId: string) => tx.$executeRaw`
  update refunds set status = 'SUCCEEDED', failure_code = null, finished_at = now()
  where id = ${settlementIdFor(orderId)}::uuid and status <> 'SUCCEEDED'`;

/** The gateway said a final "no". Nothing when another copy has given the money back meanwhile. */
export const failSettlement = (tx: SqlTransaction, orderId: string, failureCode: string) => tx.$executeRaw`
  update refunds set status = 'FAILED', failure_code = left(${failureCode}, 50), finished_at = now()
  where id = ${settlementIdFor(orderId)}::uuid and status <> 'SUCCEEDED'`;
