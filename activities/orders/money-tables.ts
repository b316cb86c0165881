import type { Money } from '../../domain/money.ts';
import type { PaymentInstructions } from '../../domain/payment.ts';
import type { SqlTransaction } from '../../infra/databases.ts';

/** How the shopper must pay, and until when; the first word stays. 0 once the order is no longer PENDING, or knows it. */
export const storeInstructions = (
  tx: SqlTransaction,
  orderId: string,
  instructions: PaymentInstructions,
  expiresAt: string,
) => tx.$executeRaw`
  update orders
  set payment_instructions = ${JSON.stringify(instructions)}::jsonb, payment_expires_at = ${expiresAt}::timestamptz,
    updated_at = now()
  where id = ${orderId}::uuid and status = 'PENDING' and payment_expires_at is null`;

/** Adds a refund to what the order has given back; 0 when it is not paid, in another currency, or has less left. */
export const addRefund = (tx: SqlTransaction, orderId: string, { minor, currency }: Money) => tx.$executeRaw`
  update orders
  set refunded_amount = refunded_amount + ${minor}::bigint, version = version + 1, updated_at = now(),
    status = case when refunded_amount + ${minor}::bigint = total_amount then 'REFUNDED' else 'PARTIALLY_REFUNDED' end
  where id = ${orderId}::uuid and status in ('PAID', 'PARTIALLY_REFUNDED') and currency = ${currency}
    and ${minor}::bigint between 1 and total_amount - refunded_amount`;

/** True when the history has the line that this source writes. */
export async function hasHistory(tx: SqlTransaction, orderId: string, sourceId: string): Promise<boolean> {
  const rows = await tx.$queryRaw<{ id: bigint }[]>`
    select id from order_status_history where order_id = ${orderId}::uuid and source_id = ${sourceId}`;
  return rows.length > 0;
}

export type OrderedLine = Readonly<{ lineNo: number; ordered: number; unitMinor: bigint }>;

/** The status of an order with those of the named lines that it has; undefined where there is no such order. */
export async function readOrderedLines(
  tx: SqlTransaction,
  orderId: string,
  lineNos: readonly number[],
): Promise<Readonly<{ status: string; lines: readonly OrderedLine[] }> | undefined> {
  const rows = await tx.$queryRaw<(OrderedLine & { status: string; lineNo: number | null })[]>`
    select o.status, i.line_no as "lineNo", i.quantity as ordered, i.unit_price as "unitMinor"
    from orders o
    left join order_items i on i.order_id = o.id and i.line_no = any(${[...lineNos]}::integer[])
    where o.id = ${orderId}::uuid`;
  const [first] = rows;
  return first && { status: first.status, lines: rows.filter(({ lineNo }) => lineNo !== null) };
}

/** One page of PENDING orders, oldest first. `after`: the `cursor` of the last one seen. */
export const pendingOrders = (tx: SqlTransaction, after: Cursor | null, limit: number) => tx.$queryRaw<
  Readonly<{ orderId: string; createdAt: string }>[]
>`
  select id::text as "orderId", created_at::text as "createdAt" from orders
  where status = 'PENDING'
    and (${after?.createdAt ?? null}::timestamptz is null
      or (created_at, id) > (${after?.createdAt ?? null}::timestamptz, ${after?.orderId ?? null}::uuid))
  order by created_at, id limit ${limit}`;

export type Cursor = Readonly<{ createdAt: string; orderId: string }>;

/** Names what writes the history line of money that was given back for an order that was never paid. */
export const settlementSource = (paymentId: string): string => `settlement:${paymentId}`;

type MovedPayment = Readonly<{ orderId: string; paymentId: string; settled: boolean }>;

/** Of payments that are kept, those of orders that are closed or unknown; of settled ones, those without their line. */
export const unfinishedAmong = (tx: SqlTransaction, payments: readonly MovedPayment[]) => tx.$queryRaw<
  Readonly<{ orderId: string }>[]
>`
  select p."orderId"
  from jsonb_to_recordset(${JSON.stringify(payments.map((one) => ({ ...one, source: settlementSource(one.paymentId) })))}::jsonb)
    as p("orderId" text, settled boolean, source text)
  left join order_marks m on m.order_id = p."orderId"::uuid
  where case when p.settled
    then exists (select from orders where id = p."orderId"::uuid) and not exists (
      select from order_status_history where order_id = p."orderId"::uuid and source_id = p.source)
    else coalesce(m.state, 'CLOSED') = 'CLOSED' end`;
