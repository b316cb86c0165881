import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { temporalWorkflows } from '../../infra/audit/workflows.ts';
import type { TestSystem } from './system.ts';

/** What the databases say about one order, in the order in which it happened. */
export async function factsOf(system: TestSystem, orderId: string) {
  const [header] = await system.query<{ state: string }>(
    'platform',
    'select state from inventory_orders where order_id = $1',
    [orderId],
  );
  const ledger = await system.query<LedgerRow>(
    'platform',
    `select event_type as type, aggregate_id as aggregate, aggregate_version::int as version, quantity_before as before,
       quantity_change as change, quantity_after as after, reserved_change as reserved
     from inventory_events where reference_id = $1 order by id`,
    [orderId],
  );
  const [order] = await system.query<{ status: string; failure_code: string | null }>(
    'order',
    'select status, failure_code from orders where id = $1',
    [orderId],
  );
  const history = await system.query<{ status: string; reason: string | null; version: number }>(
    'order',
    'select status, reason, order_version::int as version from order_status_history where order_id = $1 order by id',
    [orderId],
  );
  const [payment] = await system.query<{ status: string; captured: number; refunded: number }>(
    'payment',
    `select status, coalesce(captured_amount, 0)::int as captured, refunded_amount::int as refunded
     from payments where order_id = $1`,
    [orderId],
  );
  const gateway = await system.query<{ kind: string; amount: number }>(
    'gateway',
    'select type as kind, amount::int from ledger_entries where order_id = $1 order by id',
    [orderId],
  );
  return { header: header?.state, ledger, order, history, payment, gateway };
}

export type LedgerRow = Readonly<{
  type: string;
  aggregate: string;
  version: number;
  before: number;
  change: number;
  after: number;
  reserved: number;
}>;

/** Types of the events in a service's outbox for one order, in the order in which they were written. */
export async function outboxOf(system: TestSystem, orderId: string, database: 'platform' | 'order' | 'payment') {
  const rows = await system.query<{ type: string; version: number }>(
    database,
    `select type, aggregate_version::int as version from outbox
     where envelope ->> 'correlationId' = $1 order by id`,
    [orderId],
  );
  return rows.map(({ type, version }) => `${type} v${version}`);
}

/** Stock of one row now. */
export async function stockOf(system: TestSystem, productId: string, variantId: string | null) {
  const [row] = await system.query<{ available: number; reserved: number; status: string; version: number }>(
    'platform',
    `select available_quantity as available, reserved_quantity as reserved, stock_status as status, version::int
     from inventory_snapshots
     where product_id = $1 and variant_id is not distinct from $2::bigint and location_code = 'MAIN'`,
    [productId, variantId],
  );
  if (row === undefined) throw new Error(`no stock of ${productId}/${variantId}`);
  return row;
}

/**
 * Rows where stock and its ledger differ, or where more or less is reserved than RESERVED lines hold. Empty in a sound
 * system, whatever was killed (invariants 1 and 2 of `npm run audit`). Whether anybody still works on those lines is the
 * question of `abandonedReservations`.
 */
export const leakedStock = (system: TestSystem) =>
  system.query(
    'platform',
    `with fold as (
       select product_id, variant_id, location_code, sum(quantity_change) as available, sum(reserved_change) as reserved,
         max(aggregate_version) as version
       from inventory_events group by 1, 2, 3
     ), held as (
       select product_id, variant_id, location_code, sum(quantity) as quantity
       from inventory_reservations where state = 'RESERVED' group by 1, 2, 3
     )
     select s.* from inventory_snapshots s
     left join fold f on f.product_id = s.product_id and f.location_code = s.location_code
       and f.variant_id is not distinct from s.variant_id
     left join held h on h.product_id = s.product_id and h.location_code = s.location_code
       and h.variant_id is not distinct from s.variant_id
     where (s.available_quantity, s.reserved_quantity, s.version)
         is distinct from (coalesce(f.available, 0)::int, coalesce(f.reserved, 0)::int, coalesce(f.version, 0))
       or s.reserved_quantity <> coalesce(h.quantity, 0)`,
  );

/**
 * Orders that hold stock although the workflow of their checkout does not run, so that nobody will ever free it. Empty
 * in a sound system at every instant (invariant 6).
 */
export async function abandonedReservations(system: TestSystem): Promise<string[]> {
  const { isOpen } = temporalWorkflows(system.temporal, system.temporalAddress);
  const held = await reservedOrders(system);
  const running = await Promise.all(held.map((orderId) => isOpen(checkoutWorkflowId(orderId))));
  // Read again: a checkout may have settled its stock and ended between the two questions.
  const still = new Set(await reservedOrders(system));
  return held.filter((orderId, index) => !running[index] && still.has(orderId));
}

async function reservedOrders(system: TestSystem): Promise<string[]> {
  const rows = await system.query<{ orderId: string }>(
    'platform',
    `select order_id::text as "orderId" from inventory_orders where state = 'RESERVED'
     union
     select order_id::text from inventory_reservations where state = 'RESERVED'
     order by 1`,
  );
  return rows.map(({ orderId }) => orderId);
}
