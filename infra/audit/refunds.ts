import { refundWorkflowId } from '../../domain/workflow-ids.ts';
import type { Finding, Look } from './finding.ts';
import { orderIdsAmong } from './order-ids.ts';
import { type OrderLine, type Refund, refundFindings, type Returned } from './refund-rules.ts';
import type { Snapshot, Snapshots } from './snapshot.ts';

/** Orders with refunds that are held in memory at once, with all their lines. */
const PAGE = 500;
const FIRST = '00000000-0000-0000-0000-000000000000';

type RefundedOrder = Readonly<{ orderId: string; refunds: readonly Refund[] }>;

/**
 * Invariant 3, what went back: the refunds of the payment service against the lines of the order service and the ledger
 * of returned stock, in both directions.
 *
 * @param only order ids to look at; all when null. Returns that belong to no refund are always all looked at
 */
export async function lookAtRefunds(
  from: Snapshots,
  look: Look,
  only: readonly string[] | null,
  say: (what: string) => void,
): Promise<void> {
  let count = 0;
  for await (const orders of refundedOrders(from.payment, only)) {
    const [lines, returned] = [await linesOf(from, orders), await returnsOf(from.platform, orders)];
    for (const { orderId, refunds } of orders) {
      look.count(3, refunds.length);
      count += refunds.length;
      const facts = { orderId, refunds, lines: lines.get(orderId) ?? [], returned };
      refundFindings(facts).forEach((finding) => look.add(finding));
    }
    (await settlementsNotTold(from.order, orders)).forEach((finding) => look.add(finding));
    say(`${count} refunds`);
  }
  for await (const refundIds of returnedRefunds(from.platform)) {
    const known = await refundsAmong(from.payment, refundIds);
    for (const id of refundIds.filter((one) => !known.has(one))) {
      look.add({
        ...{ invariant: 3, row: `return ${id}`, orderId: null, workflowId: refundWorkflowId(id) },
        ...{ is: 'stock returned for a refund that does not exist', shouldBe: 'a refund that SUCCEEDED' },
      });
    }
  }
}

async function* refundedOrders(payment: Snapshot, only: readonly string[] | null): AsyncGenerator<RefundedOrder[]> {
  for (let after = FIRST; ;) {
    const rows = await payment.query<RefundedOrder>(
      `with ids as (
         select distinct p.order_id from payments p
         where p.order_id > $1::uuid and ($2::uuid[] is null or p.order_id = any($2))
           and exists (select from refunds r where r.payment_id = p.id)
         order by p.order_id limit ${PAGE}
       )
       select i.order_id::text as "orderId", f.refunds
       from ids i cross join lateral (
         select jsonb_agg(jsonb_build_object('id', r.id, 'status', r.status, 'amount', r.amount::text,
           'currency', r.currency, 'paymentId', p.id,
           'settles', r.refund_key like '%:settle-refund', 'captured', coalesce(p.captured_amount, 0)::text,
           'capturedCurrency', p.captured_currency, 'lines', coalesce((
             select jsonb_agg(jsonb_build_object('lineNo', l.line_no, 'quantity', l.quantity, 'restock', l.restock)
               order by l.line_no) from refund_lines l where l.refund_id = r.id), '[]')) order by r.id) as refunds
         from payments p join refunds r on r.payment_id = p.id
         where p.order_id = i.order_id) f
       order by i.order_id`,
      [after, only],
    );
    if (rows.length > 0) yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = last.orderId;
  }
}

/** The lines of the orders that have any returned: what was ordered, and the stock that it came from. */
async function linesOf(
  { order, platform }: Snapshots,
  orders: readonly RefundedOrder[],
): Promise<Map<string, OrderLine[]>> {
  const ids = orders.filter(({ refunds }) => refunds.some(({ lines }) => lines.length > 0)).map((one) => one.orderId);
  if (ids.length === 0) return new Map();
  const ordered = await order.query<{ orderId: string; lineNo: number; quantity: number }>(
    `select order_id::text as "orderId", line_no as "lineNo", quantity from order_items where order_id = any($1::uuid[])`,
    [ids],
  );
  const reserved = await platform.query<{ orderId: string; lineNo: number; stock: string; state: string }>(
    `select order_id::text as "orderId", line_no as "lineNo", state,
       product_id || '-' || coalesce(variant_id, 0) || '-' || location_code as stock
     from inventory_reservations where order_id = any($1::uuid[])`,
    [ids],
  );
  const stockOf = new Map(reserved.map((one) => [`${one.orderId} ${one.lineNo}`, one]));
  const lines = new Map<string, OrderLine[]>();
  for (const { orderId, lineNo, quantity } of ordered) {
    const { stock = null, state = null } = stockOf.get(`${orderId} ${lineNo}`) ?? {};
    lines.set(orderId, [...(lines.get(orderId) ?? []), { lineNo, quantity, stock, state }]);
  }
  return lines;
}

/** Money that was given back for an order that was never paid is in the history of that order, where there is one. */
async function settlementsNotTold(order: Snapshot, orders: readonly RefundedOrder[]): Promise<Finding[]> {
  const settled = orders.flatMap(({ orderId, refunds }) =>
    refunds
      .filter(({ settles, status }) => settles && status === 'SUCCEEDED')
      .map(({ id, paymentId }) => ({ id, orderId, source: `settlement:${paymentId}` })),
  );
  if (settled.length === 0) return [];
  const silent = await order.query<{ id: string }>(
    `select s.id from jsonb_to_recordset($1::jsonb) as s(id text, "orderId" uuid, source text)
     join orders o on o.id = s."orderId"
     where not exists (select from order_status_history h where h.order_id = o.id and h.source_id = s.source)`,
    [JSON.stringify(settled)],
  );
  const ids = new Set(silent.map(({ id }) => id));
  return settled
    .filter(({ id }) => ids.has(id))
    .map(({ id, orderId, source }) => ({
      ...{ invariant: 3, row: `refund ${id}`, orderId },
      ...{ is: 'SUCCEEDED, and the order does not know', shouldBe: `a line ${source} in the history of the order` },
    }));
}

/** What the ledger of stock says came back, by refund. */
async function returnsOf(platform: Snapshot, orders: readonly RefundedOrder[]): Promise<Map<string, Returned[]>> {
  const ids = orders.flatMap(({ refunds }) => refunds.map(({ id }) => id));
  const rows = await platform.query<Returned & Readonly<{ refundId: string }>>(
    `select reference_id as "refundId", aggregate_id as stock, sum(quantity_change)::text as units
     from inventory_events where reference_type = 'REFUND' and reference_id = any($1::text[])
     group by 1, 2 order by 1, 2`,
    [ids],
  );
  const returned = new Map<string, Returned[]>();
  for (const { refundId, ...one } of rows) returned.set(refundId, [...(returned.get(refundId) ?? []), one]);
  return returned;
}

/** Pages of the refunds that the ledger of stock names. */
async function* returnedRefunds(platform: Snapshot): AsyncGenerator<string[]> {
  for (let after = ''; ;) {
    const rows = await platform.query<{ id: string }>(
      `select distinct reference_id as id from inventory_events
       where reference_type = 'REFUND' and reference_id > $1 order by 1 limit ${PAGE}`,
      [after],
    );
    if (rows.length > 0) yield rows.map(({ id }) => id);
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = last.id;
  }
}

async function refundsAmong(payment: Snapshot, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await payment.query<{ id: string }>(`select id::text from refunds where id = any($1::uuid[])`, [
    orderIdsAmong(ids),
  ]);
  return new Set(rows.map(({ id }) => id));
}
