import type { Money } from '../domain/money.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { announce } from './announcements.ts';

/** Takes money: the charge, its ledger entry and the event. The charge is locked, and free to capture, by the caller. */
export async function bookCapture(tx: SqlTransaction, chargeId: string, taken: Money): Promise<void> {
  await lockLedger(tx);
  const booked = await tx.$executeRaw`
    with captured as (
      update charges
      set status = 'captured', captured_amount = ${taken.minor}::bigint, captured_currency = ${taken.currency},
        decline_code = null, due_at = null, lands_at = null, updated_at = now()
      where id = ${chargeId} and status <> 'captured'
      returning *)
    insert into ledger_entries (charge_id, order_id, type, amount, currency)
    select id, order_id, 'CAPTURE', captured_amount, captured_currency from captured`;
  if (booked > 0) await announce(tx, chargeId, 'charge.captured');
}

/** Gives money back. The charge is locked, and the amount checked, by the caller. */
export async function bookRefund(
  tx: SqlTransaction,
  chargeId: string,
  refundKey: string,
  amountMinor: number,
): Promise<void> {
  await lockLedger(tx);
  const booked = await tx.$executeRaw`
    with refunded as (
      update charges set refunded_amount = refunded_amount + ${amountMinor}::bigint, updated_at = now()
      where id = ${chargeId} and status = 'captured'
      returning *)
    insert into ledger_entries (charge_id, order_id, type, amount, currency, refund_key)
    select id, order_id, 'REFUND', ${amountMinor}::bigint, captured_currency, ${refundKey} from refunded`;
  if (booked > 0) await announce(tx, chargeId, 'charge.refunded');
}

/**
 * Keeps ids in commit order, so that a reader of pages skips nothing. Always the last lock of a transaction: first
 * the charge, then the ledger.
 */
const lockLedger = (tx: SqlTransaction) => tx.$executeRaw`select pg_advisory_xact_lock(hashtext('ledger_entries'))`;
