import type { ReadEvent } from '../events/read-event.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { factOf, newestBy, ofTypes, ORDER_EVENTS, PAYMENT_EVENTS } from './facts.ts';
import type { View } from './view.ts';

/**
 * Orders with their lines and the state of their payment (source document 4). Orders and payments feed one row, each with
 * its own version; whichever comes first makes the row.
 */
export const orders: View = {
  name: 'orders',
  takes: [...ORDER_EVENTS, ...PAYMENT_EVENTS],
  async apply(tx, events) {
    const orderEvents = ofTypes(events, ORDER_EVENTS);
    const changed = newestBy(orderEvents, ({ data }) => data.orderId).map(factOf);
    const payments = newestBy(ofTypes(events, PAYMENT_EVENTS), ({ data }) => data.orderId).map(factOf);
    const moments = orderEvents.flatMap(momentOf);

    await insertMissing(tx, [...changed, ...stubsFor(payments, changed)]);
    if (changed.length > 0) await saveOrders(tx, changed);
    if (moments.length > 0) await saveMoments(tx, moments);
    if (payments.length > 0) await savePayments(tx, payments);
  },
};

type EventOf<T extends ReadEvent['type']> = Extract<ReadEvent, { type: T }>;
type OrderEvent = EventOf<(typeof ORDER_EVENTS)[number]>;
type Order = ReturnType<typeof factOf<OrderEvent>>;
type Payment = ReturnType<typeof factOf<EventOf<(typeof PAYMENT_EVENTS)[number]>>>;
type Stub = Readonly<{ orderId: string; version: 0 }>;
type Moment = Readonly<{ orderId: string; paidAt?: string; closedAt?: string }>;

function stubsFor(payments: readonly Payment[], orders: readonly Order[]): Stub[] {
  const known = new Set(orders.map(({ orderId }) => orderId));
  return payments.filter(({ orderId }) => !known.has(orderId)).map(({ orderId }) => ({ orderId, version: 0 }));
}

/** What later versions do not say: it must not be lost when one of them comes first. Each happens to an order once. */
function momentOf({ type, time, data: { orderId } }: OrderEvent): Moment[] {
  if (type === 'OrderPaid') return [{ orderId, paidAt: time }];
  return type === 'OrderFailed' || type === 'OrderCancelled' ? [{ orderId, closedAt: time }] : [];
}

/** Makes the rows that are not there, stubs among them, and locks the others: in key order, so that nobody waits in a circle. */
async function insertMissing(tx: SqlTransaction, rows: readonly (Order | Stub)[]): Promise<void> {
  await tx.$executeRaw`
    insert into mv_orders (order_id, order_number, user_id, status, currency, total_amount, refunded_amount, items,
      failure_code, order_date, order_version)
    select e."orderId", e."orderNumber", e."userId", e.status, e.currency, e."totalMinor",
      coalesce(e."refundedTotalMinor", 0), coalesce(e.lines, '[]'), e."failureCode", e."placedAt", e.version
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as e ("orderId" uuid, "orderNumber" text, "userId" bigint, status text, currency text, "totalMinor" bigint,
        "refundedTotalMinor" bigint, lines jsonb, "failureCode" text, "placedAt" timestamptz, version bigint)
    order by e."orderId"
    on conflict (order_id) do nothing`;
  const ids = rows.map(({ orderId }) => orderId);
  await tx.$queryRaw`select from mv_orders where order_id = any(${ids}::uuid[]) order by order_id for update`;
}

const saveOrders = (tx: SqlTransaction, orders: readonly Order[]) => tx.$executeRaw`
  update mv_orders v
  set order_number = e."orderNumber", user_id = e."userId", status = e.status, currency = e.currency,
    total_amount = e."totalMinor", refunded_amount = e."refundedTotalMinor", items = e.lines,
    failure_code = e."failureCode", order_date = e."placedAt", order_version = e.version, synced_at = now()
  from jsonb_to_recordset(${JSON.stringify(orders)}::jsonb)
    as e ("orderId" uuid, "orderNumber" text, "userId" bigint, status text, currency text, "totalMinor" bigint,
      "refundedTotalMinor" bigint, lines jsonb, "failureCode" text, "placedAt" timestamptz, version bigint)
  where v.order_id = e."orderId" and v.order_version < e.version`;

const saveMoments = (tx: SqlTransaction, moments: readonly Moment[]) => tx.$executeRaw`
  update mv_orders v
  set paid_at = coalesce(v.paid_at, e."paidAt"), closed_at = coalesce(v.closed_at, e."closedAt"), synced_at = now()
  from jsonb_to_recordset(${JSON.stringify(moments)}::jsonb)
    as e ("orderId" uuid, "paidAt" timestamptz, "closedAt" timestamptz)
  where v.order_id = e."orderId"`;

const savePayments = (tx: SqlTransaction, payments: readonly Payment[]) => tx.$executeRaw`
  update mv_orders v
  set payment_id = e."paymentId", payment_status = e.status, payment_method = e.method, payment_version = e.version,
    synced_at = now()
  from jsonb_to_recordset(${JSON.stringify(payments)}::jsonb)
    as e ("orderId" uuid, "paymentId" uuid, status text, method text, version bigint)
  where v.order_id = e."orderId" and v.payment_version < e.version`;
