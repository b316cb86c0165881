import type { Money } from '../domain/money.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import type { Charge, ChargeStatus } from '../infra/payment-gateway/port.ts';
import { safeNumber } from '../infra/rows.ts';

/** A charge as a caller sees it. */
export type ChargeJson = Charge & Readonly<{ orderId: string; amount: Money }>;
/** A charge whose row is locked. */
export type LockedCharge = ChargeJson &
  Readonly<{
    confirmAttempts: number;
    /** Milliseconds until a processing charge captures; null for any other. */
    dueInMs: number | null;
  }>;

type Row = Readonly<{
  id: string;
  orderId: string;
  amount: bigint;
  currency: string;
  status: ChargeStatus;
  capturedAmount: bigint | null;
  capturedCurrency: string | null;
  refundedAmount: bigint;
  declineCode: string | null;
  confirmAttempts: number;
  dueInMs: number | null;
}>;

export async function insertCharge(tx: SqlTransaction, id: string, orderId: string, amount: Money): Promise<void> {
  await tx.$executeRaw`
    insert into charges (id, order_id, amount, currency)
    values (${id}, ${orderId}, ${amount.minor}::bigint, ${amount.currency})`;
}

/**
 * Locks the charge and brings it up to date: whoever decides about money meets everybody else here.
 *
 * @returns undefined when there is no such charge
 */
export async function lockCharge(tx: SqlTransaction, id: string): Promise<LockedCharge | undefined> {
  const [row] = await tx.$queryRaw<Row[]>`
    select id, order_id as "orderId", amount, currency, status, captured_amount as "capturedAmount",
      captured_currency as "capturedCurrency", refunded_amount as "refundedAmount", decline_code as "declineCode",
      confirm_attempts as "confirmAttempts",
      case when due_at is not null
        then greatest(0, ceil(extract(epoch from due_at - clock_timestamp()) * 1000))::integer end as "dueInMs"
    from charges where id = ${id} for update`;
  if (row?.dueInMs !== 0) return row && chargeOf(row);
  await captureDue(tx, [id]);
  return lockCharge(tx, id);
}

/** Takes the money: the charge and its ledger entry in one statement. The charge is locked by the caller. */
export async function capture(tx: SqlTransaction, id: string, taken: Money): Promise<void> {
  await lockLedger(tx);
  await tx.$executeRaw`
    with captured as (
      update charges
      set status = 'captured', captured_amount = ${taken.minor}::bigint, captured_currency = ${taken.currency},
        due_at = null, updated_at = now()
      where id = ${id} and status in ('open', 'requires_confirmation')
      returning *)
    insert into ledger_entries (charge_id, order_id, type, amount, currency)
    select id, order_id, 'CAPTURE', captured_amount, captured_currency from captured`;
}

/** Captures every processing charge whose time has come. */
export async function captureAllDue(tx: SqlTransaction): Promise<void> {
  const due = await tx.$queryRaw<{ id: string }[]>`
    select id from charges where status = 'processing' and due_at <= clock_timestamp() order by id for update`;
  if (due.length > 0)
    await captureDue(
      tx,
      due.map(({ id }) => id),
    );
}

/** Gives back a part of the capture. The charge is locked, and the amount checked, by the caller. */
export async function refund(tx: SqlTransaction, id: string, refundKey: string, amount: Money): Promise<void> {
  await lockLedger(tx);
  await tx.$executeRaw`
    with refunded as (
      update charges set refunded_amount = refunded_amount + ${amount.minor}::bigint, updated_at = now()
      where id = ${id} and status = 'captured'
      returning *)
    insert into ledger_entries (charge_id, order_id, type, amount, currency, refund_key)
    select id, order_id, 'REFUND', ${amount.minor}::bigint, captured_currency, ${refundKey} from refunded`;
}

/** Moves a locked charge that holds no money. */
export async function move(
  tx: SqlTransaction,
  id: string,
  to:
    | Readonly<{ status: 'requires_confirmation' | 'cancelled' }>
    | Readonly<{ status: 'declined'; declineCode: string }>
    | Readonly<{ status: 'processing'; captureInMs: number }>,
): Promise<void> {
  const declineCode = to.status === 'declined' ? to.declineCode : null;
  const captureInMs = to.status === 'processing' ? to.captureInMs : null;
  await tx.$executeRaw`
    update charges
    set status = ${to.status}, decline_code = ${declineCode}, updated_at = now(),
      due_at = clock_timestamp() + ${captureInMs}::integer * interval '1 millisecond'
    where id = ${id} and status in ('open', 'requires_confirmation')`;
}

export async function countAttempt(tx: SqlTransaction, id: string): Promise<void> {
  await tx.$executeRaw`update charges set confirm_attempts = confirm_attempts + 1 where id = ${id}`;
}

/** Leaves out what only the gateway needs. */
export function charged(charge: LockedCharge): ChargeJson {
  const { providerId, orderId, amount, status, captured, refundedMinor, declineCode, instructions } = charge;
  return { providerId, orderId, amount, status, captured, refundedMinor, declineCode, instructions };
}

async function captureDue(tx: SqlTransaction, ids: readonly string[]): Promise<void> {
  await lockLedger(tx);
  await tx.$executeRaw`
    with captured as (
      update charges
      set status = 'captured', captured_amount = amount, captured_currency = currency, due_at = null, updated_at = now()
      where id = any(${ids}::text[]) and status = 'processing'
      returning *)
    insert into ledger_entries (charge_id, order_id, type, amount, currency)
    select id, order_id, 'CAPTURE', captured_amount, captured_currency from captured order by id`;
}

/** Always the last lock of a transaction. It keeps ids in commit order, so that a reader of pages skips nothing. */
const lockLedger = (tx: SqlTransaction) => tx.$executeRaw`select pg_advisory_xact_lock(hashtext('ledger_entries'))`;

function chargeOf(row: Row): LockedCharge {
  const { capturedAmount, capturedCurrency } = row;
  const captured =
    capturedAmount === null || capturedCurrency === null
      ? null
      : { minor: safeNumber(capturedAmount), currency: capturedCurrency };
  return {
    providerId: row.id,
    orderId: row.orderId,
    amount: { minor: safeNumber(row.amount), currency: row.currency },
    status: row.status,
    captured,
    refundedMinor: safeNumber(row.refundedAmount),
    declineCode: row.declineCode,
    instructions: null,
    confirmAttempts: row.confirmAttempts,
    dueInMs: row.dueInMs,
  };
}
