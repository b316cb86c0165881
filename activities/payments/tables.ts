import type { Money } from '../../domain/money.ts';
import type { PaymentStatus } from '../../domain/payment.ts';
import type { EventData } from '../../events/catalogue.ts';
import { settlementIdFor } from '../../events/ids.ts';
import { appendToOutbox, shopEvent } from '../../events/outbox.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow, safeNumber } from '../../infra/rows.ts';

export type NewPayment = Readonly<{
  paymentId: string;
  orderId: string;
  customerId: string;
  provider: string;
  method: string;
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
  providerId: string | null;
  status: PaymentStatus;
  /** What was asked for. */
  amountMinor: bigint;
  currency: string;
}>;

/** The payment of an order; undefined where none was ever opened. */
export async function findPayment(tx: SqlTransaction, paymentId: string): Promise<PaymentRow | undefined> {
  const [row] = await tx.$queryRaw<PaymentRow[]>`
    select id::text as "paymentId", provider_payment_id as "providerId", status,
      amount as "amountMinor", currency::text
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
  event?: 'PaymentCompleted' | 'PaymentFailed' | 'PaymentCancelled' | 'PaymentRefunded';
}>;

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

type FactsRow = Omit<EventData<'PaymentPending'>, 'amountMinor' | 'capturedMinor' | 'refundedMinor'> &
  Readonly<{ version: bigint; amountMinor: bigint; capturedMinor: bigint; refundedMinor: bigint }>;

/** Writes the event that describes the payment as it is now. */
export async function appendPaymentEvent(
  tx: SqlTransaction,
  paymentId: string,
  type: 'PaymentPending' | NonNullable<PaymentChange['event']>,
): Promise<void> {
  const rows = await tx.$queryRaw<FactsRow[]>`
    select version, id::text as "paymentId", order_id::text as "orderId", user_id::text as "userId", provider, method,
      status, currency::text, amount as "amountMinor", coalesce(captured_amount, 0) as "capturedMinor",
      refunded_amount as "refundedMinor", failure_code as "failureCode"
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

/** The one key under which an order that must not be charged is refunded, whoever notices. */
export const settlementKey = (orderId: string): string => `${orderId}:settle-refund`;

/** Writes down the settling refund before the gateway is asked for it. Repeat-safe. */
export const insertSettlement = (
  tx: SqlTransaction,
  orderId: string,
  paymentId: string,
  amount: Money,
) => tx.$executeRaw`
  insert into refunds (id, payment_id, refund_key, amount, currency, reason)
  values (${settlementIdFor(orderId)}::uuid, ${paymentId}::uuid, ${settlementKey(orderId)}, ${amount.minor}::bigint,
    ${amount.currency}, 'SETTLEMENT')
  on conflict (id) do nothing`;

/** The gateway has given the money back. */
export const finishSettlement = (tx: SqlTransaction, orderId: string) => tx.$executeRaw`
  update refunds set status = 'SUCCEEDED', finished_at = now()
  where id = ${settlementIdFor(orderId)}::uuid and status = 'PENDING'`;
