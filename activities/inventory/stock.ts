import type { Movement, Stock, StockLine } from '../../domain/inventory.ts';
import { movementIdFor, returnIdFor, stockAggregateId } from '../../events/ids.ts';
import { appendToOutbox, type ShopEvent, shopEvent } from '../../events/outbox.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

/** What names a row of stock. */
export type StockKey = Readonly<{ lineNo: number; productId: string; variantId: string | null; locationCode: string }>;

/** A locked row of stock with its name. */
export type StockRow = Stock &
  Readonly<{ productId: string; variantId: string | null; locationCode: string; lowStockThreshold: number }>;

type LockedRow = Omit<StockRow, 'version'> & Readonly<{ lineNo: number; version: bigint }>;

/**
 * Locks the stock of all lines in one statement and in id order, so that two carts never wait for each other.
 * A line whose stock does not exist gets null.
 */
export async function lockStock<L extends StockKey & Readonly<{ quantity: number }>>(
  tx: SqlTransaction,
  lines: readonly L[],
): Promise<{ lineNo: number; quantity: number; stock: StockRow | null }[]> {
  const rows = await tx.$queryRaw<LockedRow[]>`
    select k."lineNo", s.id::text, s.product_id::text as "productId", s.variant_id::text as "variantId",
      s.location_code as "locationCode", s.available_quantity as available, s.reserved_quantity as reserved,
      s.version, s.low_stock_threshold as "lowStockThreshold"
    from inventory_snapshots s
    join jsonb_to_recordset(${JSON.stringify(lines)}::jsonb)
      as k("lineNo" integer, "productId" text, "variantId" text, "locationCode" text)
      on s.product_id = k."productId"::bigint and s.location_code = k."locationCode"
      and s.variant_id is not distinct from k."variantId"::bigint
    order by s.id
    for update of s`;
  const stockOf = new Map(
    rows.map(({ lineNo, version, ...row }) => [lineNo, { ...row, version: safeNumber(version) }]),
  );
  return lines.map(({ lineNo, quantity }) => ({ lineNo, quantity, stock: stockOf.get(lineNo) ?? null }));
}

/** The open reservations of an order, with their stock locked in id order. */
export async function lockReserved(tx: SqlTransaction, orderId: string): Promise<StockLine<StockRow>[]> {
  const reserved = await tx.$queryRaw<(StockKey & Readonly<{ quantity: number }>)[]>`
    select line_no as "lineNo", product_id::text as "productId", variant_id::text as "variantId",
      location_code as "locationCode", quantity
    from inventory_reservations where order_id = ${orderId}::uuid and state = 'RESERVED'
    order by line_no`;
  return lockStockOf(tx, orderId, reserved);
}

/** The stock of an order's lines, locked in id order. It was there when it was reserved, so it must be there now. */
export async function lockStockOf(
  tx: SqlTransaction,
  orderId: string,
  reserved: readonly (StockKey & Readonly<{ quantity: number }>)[],
): Promise<StockLine<StockRow>[]> {
  const lines = await lockStock(tx, reserved);
  return lines.map(({ stock, ...line }) => {
    if (stock === null) throw new Error(`line ${line.lineNo} of order ${orderId} has lost its stock row`);
    return { ...line, stock };
  });
}

/** Why stock moves: for an order, or because a refund brings units of it back. */
export type Cause = Readonly<{ orderId: string; refundId?: string; reason: string }>;

/** Ledger, snapshots and events of the same movements, in the caller's transaction. */
export async function recordMovements(
  tx: SqlTransaction,
  cause: Cause,
  moves: readonly Movement<StockRow>[],
): Promise<void> {
  await saveMovements(tx, cause, moves);
  await appendToOutbox(
    tx,
    moves.map((movement) => movementEvent(cause, movement)),
  );
}

/** One insert into the ledger and one update of the snapshots, whatever the number of lines (source document 2.2). */
async function saveMovements(tx: SqlTransaction, cause: Cause, moves: readonly Movement<StockRow>[]): Promise<void> {
  const rows = JSON.stringify(moves.map((movement) => ledgerRow(cause, movement)));
  await tx.$executeRaw`
    insert into inventory_events (event_type, aggregate_id, aggregate_version, product_id, variant_id, location_code,
      quantity_change, quantity_before, quantity_after, reserved_change, change_reason, reference_type, reference_id,
      event_data, correlation_id)
    select m.type, m.aggregate, m.version, m.product, m.variant, m.location, m.change, m.before, m.after, m.reserved,
      m.reason, m.cause, m.reference, m.data, m.correlation
    from jsonb_to_recordset(${rows}::jsonb) as m(line integer, type text, aggregate text, version bigint,
      product bigint, variant bigint, location text, change integer, before integer, after integer, reserved integer,
      reason text, cause text, reference text, data jsonb, correlation uuid)
    order by m.line`;
  await tx.$executeRaw`
    update inventory_snapshots s
    set available_quantity = m.after, reserved_quantity = s.reserved_quantity + m.reserved, version = m.version,
      last_updated_at = now()
    from jsonb_to_recordset(${rows}::jsonb) as m(id bigint, version bigint, after integer, reserved integer)
    where s.id = m.id`;
}

/** One event per ledger row, so that views of stock are ordered per row of stock. */
function movementEvent({ orderId, reason }: Cause, movement: Movement<StockRow>): ShopEvent {
  const { after, quantityChange, reservedChange } = movement;
  const { productId, variantId, locationCode, lowStockThreshold, available, reserved, version } = after;
  const aggregate = stockAggregateId(productId, variantId, locationCode);
  return shopEvent(EVENT_OF[movement.type], aggregate, version, orderId, {
    productId,
    variantId,
    locationCode,
    quantityChange,
    reservedChange,
    available,
    reserved,
    lowStockThreshold,
    reason,
    orderId,
  });
}

const EVENT_OF = {
  RESERVED: 'InventoryReserved',
  COMMITTED: 'InventoryCommitted',
  RELEASED: 'InventoryReleased',
  ADJUSTED: 'InventoryAdjusted',
} as const;

const ledgerRow = (
  { orderId, refundId, reason }: Cause,
  { type, lineNo, before, after, ...change }: Movement<StockRow>,
) => ({
  id: after.id,
  line: lineNo,
  type,
  aggregate: stockAggregateId(after.productId, after.variantId, after.locationCode),
  version: after.version,
  product: after.productId,
  variant: after.variantId,
  location: after.locationCode,
  change: change.quantityChange,
  before: before.available,
  after: after.available,
  reserved: change.reservedChange,
  reason,
  ...(refundId === undefined
    ? { cause: 'ORDER', reference: orderId, data: { lineNo }, correlation: movementIdFor(orderId, type, lineNo) }
    : { cause: 'REFUND', reference: refundId, data: { orderId, lineNo }, correlation: returnIdFor(refundId, lineNo) }),
});
