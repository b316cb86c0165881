import type { Money } from '../domain/money.ts';
import type { PaymentInstructions, PaymentMethod } from '../domain/payment.ts';
import type { Databases, SqlTransaction } from '../infra/databases.ts';
import type { Charge, ChargeStatus } from '../infra/payment-gateway/port.ts';
import { safeNumber } from '../infra/rows.ts';
import { announce } from './announcements.ts';
import { bookCapture } from './bookings.ts';
import { endDueRefunds } from './refunds.ts';

/** A charge as a caller sees it. */
export type ChargeJson = Charge & Readonly<{ orderId: string; amount: Money; method: PaymentMethod }>;
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
  method: PaymentMethod;
  amount: bigint;
  currency: string;
  status: ChargeStatus;
  capturedAmount: bigint | null;
  capturedCurrency: string | null;
  refundedAmount: bigint;
  declineCode: string | null;
  instructions: PaymentInstructions | null;
  confirmAttempts: number;
  dueInMs: number | null;
  landed: boolean;
  refundsDue: boolean;
}>;

export async function insertCharge(
  tx: SqlTransaction,
  id: string,
  { orderId, amount, method }: Readonly<{ orderId: string; amount: Money; method: PaymentMethod }>,
): Promise<void> {
  await tx.$executeRaw`
    insert into charges (id, order_id, method, amount, currency)
    values (${id}, ${orderId}, ${method}, ${amount.minor}::bigint, ${amount.currency})`;
}

/**
 * Locks the charge and brings it up to date: whoever decides about money meets everybody else here.
 *
 * @returns undefined when there is no such charge
 */
export async function lockCharge(tx: SqlTransaction, id: string): Promise<LockedCharge | undefined> {
  const [row] = await tx.$queryRaw<Row[]>`
    select id, order_id as "orderId", method, amount, currency, status, captured_amount as "capturedAmount",
      captured_currency as "capturedCurrency", refunded_amount as "refundedAmount", decline_code as "declineCode",
      instructions, confirm_attempts as "confirmAttempts",
      case when due_at is not null
        then greatest(0, ceil(extract(epoch from due_at - clock_timestamp()) * 1000))::integer end as "dueInMs",
      coalesce(lands_at <= clock_timestamp(), false) as landed,
      exists (
        select from refunds
        where charge_id = charges.id and refunds.status = 'pending' and refunds.due_at <= clock_timestamp()
      ) as "refundsDue"
    from charges where id = ${id} for update`;
  if (row === undefined) return undefined;
  const captures = row.dueInMs === 0 || row.landed;
  if (captures) await bookCapture(tx, id, { minor: safeNumber(row.amount), currency: row.currency });
  if (row.refundsDue) await endDueRefunds(tx, id);
  return captures || row.refundsDue ? lockCharge(tx, id) : chargeOf(row);
}

/** @returns the id of the charge that has this virtual account */
export async function findByAccount(tx: SqlTransaction, account: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    select id from charges where instructions ->> 'account' = ${account}`;
  return row?.id;
}

/** Most charges that are brought up to date by one statement. */
const BATCH = 100;

/**
 * Brings every charge up to date whose time has come, each in a transaction of its own.
 *
 * @returns how many there were; there may be more
 */
export async function endAllDue(db: Databases['gateway']): Promise<number> {
  const due = await db.$queryRaw<{ id: string }[]>`
    select id from charges where status = 'processing' and due_at <= clock_timestamp()
    union select id from charges where lands_at <= clock_timestamp()
    union select charge_id from refunds where status = 'pending' and due_at <= clock_timestamp()
    order by id limit ${BATCH}`;
  for (const { id } of due) await db.$transaction((tx) => lockCharge(tx, id));
  return due.length;
}

/** Moves a locked charge that holds no money. */
export async function move(
  tx: SqlTransaction,
  id: string,
  to:
    | Readonly<{ status: 'requires_confirmation'; instructions: PaymentInstructions }>
    | Readonly<{ status: 'cancelled' }>
    | Readonly<{ status: 'declined'; declineCode: string }>
    | Readonly<{ status: 'processing'; captureInMs: number }>,
): Promise<void> {
  const declineCode = to.status === 'declined' ? to.declineCode : null;
  const captureInMs = to.status === 'processing' ? to.captureInMs : null;
  const instructions = to.status === 'requires_confirmation' ? JSON.stringify(to.instructions) : null;
  const moved = await tx.$executeRaw`
    update charges
    set status = ${to.status}, decline_code = ${declineCode}, updated_at = now(),
      instructions = coalesce(instructions, ${instructions}::jsonb),
      due_at = clock_timestamp() + ${captureInMs}::integer * interval '1 millisecond'
    where id = ${id} and status in ('open', 'requires_confirmation')`;
  if (moved > 0 && (to.status === 'declined' || to.status === 'cancelled'))
    await announce(tx, id, `charge.${to.status}`);
}

/** Captures a locked charge after `ms` milliseconds, whatever anybody does meanwhile and without showing before. */
export async function landLater(tx: SqlTransaction, id: string, ms: number): Promise<void> {
  await tx.$executeRaw`
    update charges set lands_at = clock_timestamp() + ${ms}::integer * interval '1 millisecond', updated_at = now()
    where id = ${id} and status <> 'captured'`;
}

export async function countAttempt(tx: SqlTransaction, id: string): Promise<void> {
  await tx.$executeRaw`update charges set confirm_attempts = confirm_attempts + 1 where id = ${id}`;
}

/** True while nothing has ended the charge and nobody is at work on it. */
export const isOpen = ({ status }: ChargeJson): boolean => status === 'open' || status === 'requires_confirmation';

/** Leaves out what only the gateway needs. */
export function charged(charge: LockedCharge): ChargeJson {
  const { providerId, orderId, method, amount, status, captured, refundedMinor, declineCode, instructions } = charge;
  return { providerId, orderId, method, amount, status, captured, refundedMinor, declineCode, instructions };
}

function chargeOf(row: Row): LockedCharge {
  const { capturedAmount, capturedCurrency } = row;
  const captured =
    capturedAmount === null || capturedCurrency === null
      ? null
      : { minor: safeNumber(capturedAmount), currency: capturedCurrency };
  return {
    providerId: row.id,
    orderId: row.orderId,
    method: row.method,
    amount: { minor: safeNumber(row.amount), currency: row.currency },
    status: row.status,
    captured,
    refundedMinor: safeNumber(row.refundedAmount),
    declineCode: row.declineCode,
    instructions: row.status === 'requires_confirmation' ? row.instructions : null,
    confirmAttempts: row.confirmAttempts,
    dueInMs: row.dueInMs,
  };
}
