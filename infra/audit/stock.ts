import type { Finding } from './finding.ts';
import { orderIdsAmong } from './order-ids.ts';
import type { Snapshot } from './snapshot.ts';

/** A row of stock whose snapshot and ledger differ. Quantities are text: a damaged one may be of any size. */
export type StockDifference = Readonly<{
  aggregateId: string;
  productId: string;
  variantId: string | null;
  locationCode: string;
  /** Null where the snapshot row is missing. */
  snapshot: Readonly<{ id: string; available: number; reserved: number; version: number }> | null;
  fold: Readonly<{ available: number; reserved: number; version: number; events: number }>;
  /** True when the ledger itself lacks versions or names its stock in two ways: then the fold proves nothing. */
  ledgerDamaged: boolean;
}>;

/**
 * Invariant 1: every snapshot is the fold of its events: available, reserved and version. No events fold to nothing at
 * version 0. A ledger with a gap in its versions breaks it too, because nobody can say what is missing.
 *
 * Not part of it: that each event's `quantity_before` is the `quantity_after` of the one before. They are for readers
 * of the ledger; a CHECK ties them to the change within an event, and nothing is ever computed from them.
 *
 * @param only aggregates to look at; all when null
 * @param limit most differences that are answered
 */
export async function snapshotsThatAreNotTheFold(
  platform: Snapshot,
  only: readonly string[] | null,
  limit: number,
): Promise<StockDifference[]> {
  const rows = await platform.query<DifferenceRow>(
    `with fold as (
       select aggregate_id, sum(quantity_change) as available, sum(reserved_change) as reserved, count(*) as events,
         max(aggregate_version) as version, min(product_id) as product_id, min(variant_id) as variant_id,
         min(location_code) as location_code,
         bool_or(aggregate_id <> product_id || '-' || coalesce(variant_id, 0) || '-' || location_code) as misnamed
       from inventory_events
       where $1::text[] is null or aggregate_id = any($1)
       group by aggregate_id
     ), snapshot as (
       select product_id || '-' || coalesce(variant_id, 0) || '-' || location_code as aggregate_id, id,
         product_id, variant_id, location_code, available_quantity as available, reserved_quantity as reserved, version
       from inventory_snapshots
     )
     select coalesce(s.aggregate_id, f.aggregate_id) as "aggregateId", s.id::text as id,
       coalesce(s.product_id, f.product_id)::text as "productId", coalesce(s.variant_id, f.variant_id)::text as "variantId",
       coalesce(s.location_code, f.location_code) as "locationCode",
       s.available::text as "snapshotAvailable", s.reserved::text as "snapshotReserved",
       s.version::text as "snapshotVersion", coalesce(f.available, 0)::text as available,
       coalesce(f.reserved, 0)::text as reserved, coalesce(f.version, 0)::text as version,
       coalesce(f.events, 0)::text as events,
       coalesce(f.misnamed, false) or coalesce(f.events, 0) <> coalesce(f.version, 0) as "ledgerDamaged"
     from fold f full join snapshot s on s.aggregate_id = f.aggregate_id
     where ($1::text[] is null or coalesce(s.aggregate_id, f.aggregate_id) = any($1))
       and ((s.available, s.reserved, s.version)
           is distinct from (coalesce(f.available, 0), coalesce(f.reserved, 0), coalesce(f.version, 0))
         or f.misnamed or f.events <> f.version)
     order by coalesce(s.aggregate_id, f.aggregate_id)
     limit $2`,
    [only, limit],
  );
  return rows.map((row) => ({
    aggregateId: row.aggregateId,
    productId: row.productId,
    variantId: row.variantId,
    locationCode: row.locationCode,
    snapshot:
      row.id === null
        ? null
        : {
            id: row.id,
            available: Number(row.snapshotAvailable),
            reserved: Number(row.snapshotReserved),
            version: Number(row.snapshotVersion),
          },
    fold: {
      available: Number(row.available),
      reserved: Number(row.reserved),
      version: Number(row.version),
      events: Number(row.events),
    },
    ledgerDamaged: row.ledgerDamaged,
  }));
}

type DifferenceRow = Readonly<
  Record<'aggregateId' | 'productId' | 'locationCode' | 'available' | 'reserved' | 'version' | 'events', string> &
    Record<'id' | 'variantId' | 'snapshotAvailable' | 'snapshotReserved' | 'snapshotVersion', string | null> & {
      ledgerDamaged: boolean;
    }
>;

/** How many snapshots and ledgers invariant 1 is about: rows of stock, and events. */
export async function countStock(platform: Snapshot): Promise<{ snapshots: number; events: number }> {
  const [row] = await platform.query<{ snapshots: string; events: string }>(
    `select (select count(*) from inventory_snapshots)::text as snapshots,
       (select count(*) from inventory_events)::text as events`,
  );
  return { snapshots: Number(row?.snapshots), events: Number(row?.events) };
}

/**
 * Invariant 2, per row of stock: neither available nor reserved is below zero, and reserved is the sum of the
 * reservations that are RESERVED. A reservation of stock that has no snapshot breaks it too.
 *
 * @param only aggregates to look at; all when null
 */
export async function stockThatIsNotReserved(platform: Snapshot, only: readonly string[] | null): Promise<Finding[]> {
  const rows = await platform.query<Record<'aggregateId' | 'available' | 'reserved' | 'held', string>>(
    `with held as (
       select product_id || '-' || coalesce(variant_id, 0) || '-' || location_code as aggregate_id,
         sum(quantity) as quantity
       from inventory_reservations where state = 'RESERVED' group by 1
     ), snapshot as (
       select product_id || '-' || coalesce(variant_id, 0) || '-' || location_code as aggregate_id,
         available_quantity as available, reserved_quantity as reserved
       from inventory_snapshots
     )
     select coalesce(s.aggregate_id, h.aggregate_id) as "aggregateId", coalesce(s.available::text, 'none') as available,
       coalesce(s.reserved::text, 'none') as reserved, coalesce(h.quantity, 0)::text as held
     from snapshot s full join held h on h.aggregate_id = s.aggregate_id
     where ($1::text[] is null or coalesce(s.aggregate_id, h.aggregate_id) = any($1))
       and (s.available < 0 or s.reserved < 0 or coalesce(s.reserved, 0) <> coalesce(h.quantity, 0))
     order by 1 limit 10001`,
    [only],
  );
  return rows.map(({ aggregateId, available, reserved, held }) => ({
    ...{ invariant: 2, orderId: null, row: `stock ${aggregateId}` },
    is: `available ${available}, reserved ${reserved}`,
    shouldBe: `available at least 0, reserved ${held}: the sum of its RESERVED reservations`,
  }));
}

/**
 * Invariant 2, per order: its header, its reservations and its ledger rows say the same. RESERVED lines have one
 * RESERVED row in the ledger; COMMITTED and RELEASED ones also the row that ended them, and what came back of a
 * COMMITTED one is what refunds put in the ledger. A refused order has no lines.
 *
 * @param only order ids to look at; all when null
 */
export async function ordersWhoseStockDisagrees(
  platform: Snapshot,
  only: readonly string[] | null,
): Promise<Finding[]> {
  const rows = await platform.query<Readonly<{ orderId: string; is: string }>>(
    `with moved as (
       select case reference_type when 'ORDER' then reference_id else coalesce(event_data ->> 'orderId', 'unknown') end
           as order_id,
         product_id, coalesce(variant_id, 0) as variant_id, location_code,
         coalesce(sum(reserved_change) filter (where event_type = 'RESERVED'), 0) as reserved,
         coalesce(-sum(reserved_change) filter (where event_type = 'COMMITTED'), 0) as committed,
         coalesce(-sum(reserved_change) filter (where event_type = 'RELEASED'), 0) as released,
         coalesce(sum(quantity_change) filter (where reference_type = 'REFUND'), 0) as returned
       from inventory_events
       where reference_type = 'ORDER' and ($1::text[] is null or reference_id = any($1))
         or reference_type = 'REFUND' and ($1::text[] is null or event_data ->> 'orderId' = any($1))
       group by 1, 2, 3, 4
     ), line as (
       select r.order_id::text as order_id, r.product_id, coalesce(r.variant_id, 0) as variant_id, r.location_code,
         r.quantity, r.returned_quantity, r.state, o.state as header
       from inventory_reservations r left join inventory_orders o on o.order_id = r.order_id
       where $2::uuid[] is null or r.order_id = any($2)
     ), broken as (
       select coalesce(l.order_id, m.order_id) as order_id,
         format('header %s, reservation of %s %s, returned %s, ledger RESERVED %s, COMMITTED %s, RELEASED %s, returned %s',
           coalesce(l.header, 'none'), coalesce(l.product_id, m.product_id), coalesce(l.quantity || ' ' || l.state, 'none'),
           coalesce(l.returned_quantity, 0), coalesce(m.reserved, 0), coalesce(m.committed, 0),
           coalesce(m.released, 0), coalesce(m.returned, 0)) as found
       from line l full join moved m on m.order_id = l.order_id and m.product_id = l.product_id
         and m.variant_id = l.variant_id and m.location_code = l.location_code
       where l.header is distinct from l.state
         or (coalesce(m.reserved, 0), coalesce(m.committed, 0), coalesce(m.released, 0), coalesce(m.returned, 0))
           is distinct from (coalesce(l.quantity, 0), case l.state when 'COMMITTED' then l.quantity else 0 end,
             case l.state when 'RELEASED' then l.quantity else 0 end, coalesce(l.returned_quantity, 0))
       union all
       select o.order_id::text, format('header %s without a reservation', coalesce(o.state, 'undecided'))
       from inventory_orders o
       where ($2::uuid[] is null or o.order_id = any($2)) and (o.state is null or o.state in ('RESERVED', 'COMMITTED'))
         and not exists (select from inventory_reservations r where r.order_id = o.order_id)
     )
     select order_id as "orderId", string_agg(found, '; ' order by found) as is
     from broken group by order_id order by order_id limit 10001`,
    [only, only && orderIdsAmong(only)],
  );
  return rows.map(({ orderId, is }) => ({
    ...{ invariant: 2, orderId, row: `order ${orderId}`, is },
    shouldBe: 'header, reservations and ledger rows of one state and the same quantities',
  }));
}

/** How many rows invariant 2 is about. */
export async function countReservations(platform: Snapshot): Promise<number> {
  const [row] = await platform.query<{ count: string }>(
    `select ((select count(*) from inventory_orders) + (select count(*) from inventory_reservations))::text as count`,
  );
  return Number(row?.count);
}
