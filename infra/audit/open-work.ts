import { webhookWorkflowId } from '../../domain/workflow-ids.ts';
import type { Finding } from './finding.ts';
import type { Snapshot, Snapshots } from './snapshot.ts';

/**
 * Invariant 6: no PENDING order, RESERVED stock, open or IN_DOUBT payment, PENDING refund or webhook without outcome
 * whose workflow does not run. These are the open rows; whether a workflow runs is asked of Temporal.
 */
export async function openRows(from: Snapshots): Promise<Finding[]> {
  const found = await Promise.all([
    reservedStock(from.platform),
    pendingOrders(from.order),
    // One connection serves one statement at a time.
    (async () => [
      ...(await openPayments(from.payment)),
      ...(await pendingRefunds(from.payment)),
      ...(await webhooksWithoutOutcome(from.payment)),
    ])(),
  ]);
  return found.flat();
}

/** Stock set aside, by the header or by a line: each has a partial index. */
async function reservedStock(platform: Snapshot): Promise<Finding[]> {
  const rows = await platform.query<{ orderId: string }>(
    `select order_id::text as "orderId" from inventory_orders where state = 'RESERVED'
     union
     select order_id::text from inventory_reservations where state = 'RESERVED'
     order by 1 limit ${MOST}`,
  );
  return rows.map(({ orderId }) =>
    open(`reserved stock of order ${orderId}`, orderId, 'RESERVED', 'COMMITTED or RELEASED'),
  );
}

async function pendingOrders(order: Snapshot): Promise<Finding[]> {
  const rows = await order.query<{ orderId: string }>(
    `select id::text as "orderId" from orders where status = 'PENDING' order by created_at limit ${MOST}`,
  );
  return rows.map(({ orderId }) => open(`order ${orderId}`, orderId, 'PENDING', 'PAID, FAILED or CANCELLED'));
}

async function openPayments(payment: Snapshot): Promise<Finding[]> {
  const rows = await payment.query<{ id: string; orderId: string; status: string }>(
    `select id::text, order_id::text as "orderId", status from payments
     where status in ('PENDING', 'AWAITING_CONFIRMATION', 'IN_DOUBT') order by created_at limit ${MOST}`,
  );
  return rows.map(({ id, orderId, status }) => open(`payment ${id}`, orderId, status, 'settled with the gateway'));
}

async function pendingRefunds(payment: Snapshot): Promise<Finding[]> {
  const rows = await payment.query<{ id: string; orderId: string }>(
    `select r.id::text, p.order_id::text as "orderId" from refunds r join payments p on p.id = r.payment_id
     where r.status = 'PENDING' order by r.requested_at limit ${MOST}`,
  );
  return rows.map(({ id, orderId }) => open(`refund ${id}`, orderId, 'PENDING', 'SUCCEEDED or FAILED'));
}

async function webhooksWithoutOutcome(payment: Snapshot): Promise<Finding[]> {
  const rows = await payment.query<{ provider: string; eventId: string; orderId: string | null }>(
    `select w.provider, w.event_id as "eventId", p.order_id::text as "orderId" from payment_webhooks w
     left join payments p on p.provider = w.provider and p.provider_payment_id = w.provider_payment_id
     where w.outcome is null order by w.received_at limit ${MOST}`,
  );
  return rows.map(({ provider, eventId, orderId }) => ({
    ...open(`webhook ${provider}/${eventId}`, orderId, 'without outcome', 'handled'),
    workflowId: webhookWorkflowId(provider, eventId),
  }));
}

/** One more than a look keeps, so that it notices. */
const MOST = 10_001;

const open = (row: string, orderId: string | null, is: string, shouldBe: string): Finding => ({
  ...{ invariant: 6, row, orderId, is: `${is}, and no workflow of it runs`, shouldBe },
});
