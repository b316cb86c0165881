import type { CheckoutInput, Reservation } from '../../domain/checkout.ts';
import type { Refusal } from '../../domain/errors.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow } from '../../infra/rows.ts';

export type HeaderState = 'RESERVED' | 'REFUSED' | 'RELEASED' | 'COMMITTED';
export type Answer = Reservation | Refusal;
/** State and answer are null only between the making of the row and the end of that transaction. */
export type Header = Readonly<{
  state: HeaderState | null;
  answer: Answer | null;
  /** Of the request that made the row; null where a release came first without one. */
  requestHash: string | null;
  now: Date;
}>;

/** Who asked for the order: enough to answer a repeated request from the header alone. */
export type OrderKey = Pick<CheckoutInput, 'orderId' | 'customerId' | 'requestHash'>;

/** Locks the order's decision row, making it if there is none: two copies of a step wait for each other here. */
export async function lockHeader(tx: SqlTransaction, key: OrderKey): Promise<Header> {
  await tx.$executeRaw`
    insert into inventory_orders (order_id, user_id, request_hash)
    values (${key.orderId}::uuid, ${key.customerId}::bigint, ${key.requestHash})
    on conflict (order_id) do nothing`;
  const rows = await tx.$queryRaw<Header[]>`
    select state, answer, request_hash as "requestHash", clock_timestamp() as now
    from inventory_orders where order_id = ${key.orderId}::uuid for update`;
  return expectRow(rows);
}

/** Locks the decision row of an order without making one. Undefined where there is none. */
export async function lockState(
  tx: SqlTransaction,
  orderId: string,
): Promise<Readonly<{ state: HeaderState | null }> | undefined> {
  const [row] = await tx.$queryRaw<{ state: HeaderState | null }[]>`
    select state from inventory_orders where order_id = ${orderId}::uuid for update`;
  return row;
}

/**
 * Decides the order for the inventory service; an answer, once stored, is replaced only when the order was released
 * before it was placed. `holdMs`: how long the reservation may wait for its payment, milliseconds.
 */
export async function storeDecision(
  tx: SqlTransaction,
  orderId: string,
  decision: Readonly<{ state: HeaderState; answer?: Answer; holdMs?: number }>,
): Promise<void> {
  const answer = decision.answer === undefined ? null : JSON.stringify(decision.answer);
  await tx.$executeRaw`
    update inventory_orders
    set state = ${decision.state}, answer = coalesce(${answer}::jsonb, answer),
      expires_at = coalesce(now() + ${decision.holdMs ?? null}::double precision * interval '1 millisecond', expires_at),
      updated_at = now()
    where order_id = ${orderId}::uuid`;
}
