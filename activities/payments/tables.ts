import type { Money } from '../../domain/money.ts';
import type { PaymentInstructions, PaymentMethod, PaymentStatus } from '../../domain/payment.ts';
import type { EventData } from '../../events/catalogue.ts';
import { appendToOutbox, shopEvent } from '../../events/outbox.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow, safeNumber } from '../../infra/rows.ts';

export type NewPayment = Readonly<{
  paymentId: string;
  orderId: string;
  customerId: string;
  provider: string;
  method: PaymentMethod;
  amount: Money;
}>;

/** Makes the payment PENDING; nothing where it exists. @returns whether it was made now */
export async function insertPayment(tx: SqlTransaction, payment: NewPayment): Promise<boolean> {
  const { paymentId, orderId, customerId, provider, method, amount } = payment;
  const inserted = await tx.$executeRaw`
    insert into payments (id, order_id, user_id, provider, method, amount, currency, idempotency_key)
    values (${paymentId}::uuid, ${orderId}::uuid, ${customerId}::bigint, ${provider}, ${method},
      ${amount.minor}::bigint, ${amount.currency}, ${`${orderId}:confirm`})
    on conflict (id) do nothing`;
  return inserted === 1;
}

export type PaymentRow = Readonly<{
  paymentId: string;
  orderId: string;
  provider: string;
  providerId: string | null;
  method: PaymentMethod;
  status: PaymentStatus;
  /** What was asked for. */
  amountMinor: bigint;
  currency: string;
  /** What was taken, minor units of whatever currency; null while nothing is known to be. */
  capturedMinor: bigint | null;
  /** These three are null until the shopper had to do something: what, until which ISO instant, milliseconds left. */
  instructions: PaymentInstructions | null;
  expiresAt: string | null;
  holdMs: number | null;
  /** Captured or not: what is taken of it goes back, by a settlement that is on record. */
  goesBack: boolean;
  /** For how long it has been in doubt whether a charge still lands, milliseconds; null where nothing was ever in doubt. */
  doubtMs: number | null;
}>;

/** The payment of an order; undefined where none was ever opened. */
export async function findPayment(tx: SqlTransaction, paymentId: string): Promise<PaymentRow | undefined> {
  const [row] = await tx.$queryRaw<PaymentRow[]>`
    select id::text as "paymentId", order_id::text as "orderId", provider, provider_payment_id as "providerId", method,
      status, amount as "amountMinor", currency::text, captured_amount as "capturedMinor", instructions,
      to_char(expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "expiresAt",
      greatest(ceil(extract(epoch from expires_at - clock_timestamp()) * 1000), 0)::float8 as "holdMs",
      (extract(epoch from clock_timestamp() - in_doubt_since) * 1000)::float8 as "doubtMs",
      exists (select from refunds where refund_key = order_id || ':settle-refund') as "goesBack"
    from payments where id = ${paymentId}::uuid`;
  return row;
}

/** Remembers the provider's id before anything can be charged. @returns the first one, which stays */
export async function storeProviderId(tx: SqlTransaction, paymentId: string, providerId: string): Promise<string> {
  const rows = await tx.$queryRaw<{ providerId: string }[]>`
    update payments set provider_payment_id = coalesce(provider_payment_id, ${providerId}), updated_at = now()
    where id = ${paymentId}::uuid
    returning provider_payment_id as "providerId"`;
  return expectRow(rows).providerId;
}

export type PaymentChange = Readonly<{
  from: readonly PaymentStatus[];
  to: PaymentStatus;
  captured?: Money | null;
  refundedMinor?: number;
  failureCode?: string;
  /** The fact that everyone learns; without it the version stays, so that versions have no gaps. */
  event?: PaymentEvent;
}>;

type PaymentEvent = 'PaymentPending' | 'PaymentCompleted' | 'PaymentFailed' | 'PaymentCancelled' | 'PaymentRefunded';

/** Moves a payment on and tells it; false when it is in none of the states that the change starts from. */
export async function movePayment(tx: SqlTransaction, paymentId: string, change: PaymentChange): Promise<boolean> {
  const { from, to, captured, refundedMinor, failureCode, event } = change;
  const moved = await tx.$executeRaw`
    update payments
    set status = ${to}, version = version + ${event === undefined ? 0 : 1}::bigint, updated_at = now(),
      captured_amount = coalesce(${captured?.minor ?? null}::bigint, captured_amount),
      captured_currency = coalesce(${captured?.currency ?? null}, captured_currency),
      captured_at = case when ${captured != null} then now() else captured_at end,
      refunded_amount = coalesce(${refundedMinor ?? null}::bigint, refunded_amount),
      failure_code = coalesce(${failureCode ?? null}, failure_code)
    where id = ${paymentId}::uuid and status = any(${[...from]}::text[])`;
  if (moved === 1 && event !== undefined) await appendPaymentEvent(tx, paymentId, event);
  return moved === 1;
}

/** The shopper must do something first; the hold starts now, by the database's clock. False when it waits already. */
export async function awaitShopper(
  tx: SqlTransaction,
  paymentId: string,
  instructions: PaymentInstructions,
  holdMs: number,
): Promise<boolean> {
  const moved = await tx.$executeRaw`
    update payments
    set status = 'AWAITING_CONFIRMATION', version = version + 1, updated_at = now(),
      instructions = ${JSON.stringify(instructions)}::jsonb,
      expires_at = now() + ${holdMs}::float8 * interval '1 millisecond'
    where id = ${paymentId}::uuid and status = 'PENDING'`;
  if (moved === 1) await appendPaymentEvent(tx, paymentId, 'PaymentPending');
  return moved === 1;
}

/**
 * Call it before a charge is asked for again: an earlier attempt ended without an answer, so what it asked for may land
 * whatever the gateway says to the next one. The clock of the doubt starts. Nothing where no attempt can have asked.
 */
export const doubtEarlierAttempt = (tx: SqlTransaction, paymentId: string) => tx.$executeRaw`
  update payments set in_doubt_since = now()
  where id = ${paymentId}::uuid and status = 'PENDING' and provider_payment_id is not null`;

/**
 * Gives an undecided payment up. What nobody answered for may still land, so the clock of the doubt starts; a payment
 * that waits for the shopper has nothing new in flight; one without a provider's id was never charged, nor will be.
 */
export async function giveUp(tx: SqlTransaction, paymentId: string): Promise<void> {
  const rows = await tx.$queryRaw<{ status: PaymentStatus }[]>`
    update payments
    set status = case when provider_payment_id is null then 'CANCELLED' else 'IN_DOUBT' end,
      in_doubt_since = case when provider_payment_id is not null and status = 'PENDING' then now()
        else in_doubt_since end,
      version = version + case when provider_payment_id is null then 1 else 0 end, updated_at = now()
    where id = ${paymentId}::uuid and status in ('PENDING', 'AWAITING_CONFIRMATION')
    returning status`;
  if (rows[0]?.status === 'CANCELLED') await appendPaymentEvent(tx, paymentId, 'PaymentCancelled');
}

/** The money that went back so far, by the refunds that are done: all of it, or a part. False when it is known. */
export async function bookRefunds(tx: SqlTransaction, paymentId: string): Promise<boolean> {
  const booked = await tx.$executeRaw`
    update payments p
    set refunded_amount = done.minor, version = version + 1, updated_at = now(),
      status = case when done.minor = p.captured_amount then 'REFUNDED'
        when status = 'LATE_CAPTURED' then status else 'PARTIALLY_REFUNDED' end
    from (select coalesce(sum(amount), 0)::bigint as minor from refunds
      where payment_id = ${paymentId}::uuid and status = 'SUCCEEDED') as done
    where id = ${paymentId}::uuid and status in ('CAPTURED', 'LATE_CAPTURED', 'PARTIALLY_REFUNDED')
      and (done.minor <> p.refunded_amount or done.minor = p.captured_amount)`;
  if (booked === 1) await appendPaymentEvent(tx, paymentId, 'PaymentRefunded');
  return booked === 1;
}

type FactsRow = Omit<EventData<'PaymentPending'>, 'amountMinor' | 'capturedMinor' | 'refundedMinor'> &
  Readonly<{ version: bigint; amountMinor: bigint; capturedMinor: bigint; refundedMinor: bigint }>;

/** Writes the event that describes the payment as it is now. */
export async function appendPaymentEvent(tx: SqlTransaction, paymentId: string, type: PaymentEvent): Promise<void> {
  const rows = await tx.$queryRaw<FactsRow[]>`
    select version, id::text as "paymentId", order_id::text as "orderId", user_id::text as "userId", provider, method,
      status, currency::text, amount as "amountMinor", coalesce(captured_amount, 0) as "capturedMinor",
      captured_currency::text as "capturedCurrency", refunded_amount as "refundedMinor", failure_code as "failureCode"
    from payments where id = ${paymentId}::uuid`;
  const { version, amountMinor, capturedMinor, refundedMinor, ...facts } = expectRow(rows);
  const data = {
    ...facts,
    amountMinor: safeNumber(amountMinor),
    capturedMinor: safeNumber(capturedMinor),
    refundedMinor: safeNumber(refundedMinor),
  };
  await appendToOutbox(tx, [shopEvent(type, paymentId, safeNumber(version), facts.orderId, data)]);
}
