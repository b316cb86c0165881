import type { SqlTransaction } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

/** What is left at one location. `reserved`: set aside for orders that are not paid yet. `updatedAt`: ISO instant. */
export type StockLevel = Readonly<{
  variantId: string | null;
  locationCode: string;
  available: number;
  reserved: number;
  total: number;
  lowStockThreshold: number;
  stockStatus: string;
  version: number;
  updatedAt: string;
}>;

/** One movement, as the ledger has it for good. `reference`: the order, refund or request that it was made for. */
export type StockMovement = Readonly<{
  ledgerId: string;
  at: string;
  movement: string;
  variantId: string | null;
  locationCode: string;
  quantityChange: number;
  availableBefore: number;
  availableAfter: number;
  reservedChange: number;
  reason: string | null;
  reference: Readonly<{ type: string; id: string | null }> | null;
}>;

export type StockPage = Readonly<{ stock: readonly StockLevel[]; ledger: readonly StockMovement[] }>;

/**
 * The stock of a product by variant and location, and its movements before `before` (`ledgerId`), the newest first, at
 * most `limit` (source document 2.3). Undefined where there is no such product.
 */
export async function readStock(
  platform: SqlTransaction,
  { productId, before, limit }: Readonly<{ productId: string; before: string | null; limit: number }>,
): Promise<StockPage | undefined> {
  const stock = await platform.$queryRaw<StockRow[]>`
    select s.variant_id::text as "variantId", s.location_code as "locationCode", s.available_quantity as available,
      s.reserved_quantity as reserved, s.total_quantity as total, s.low_stock_threshold as "lowStockThreshold",
      s.stock_status as "stockStatus", s.version, s.last_updated_at as "updatedAt"
    from products p left join inventory_snapshots s on s.product_id = p.id
    where p.id = ${productId}::bigint
    order by s.variant_id nulls first, s.location_code`;
  if (stock.length === 0) return undefined;
  const ledger = await platform.$queryRaw<LedgerRow[]>`
    select id::text as "ledgerId", occurred_at as at, event_type as movement, variant_id::text as "variantId",
      location_code as "locationCode", quantity_change as "quantityChange", quantity_before as "availableBefore",
      quantity_after as "availableAfter", reserved_change as "reservedChange", change_reason as reason,
      reference_type as "referenceType", reference_id as "referenceId"
    from inventory_events
    where product_id = ${productId}::bigint and id < coalesce(${before}::bigint, 9223372036854775807)
    order by id desc
    limit ${limit}`;
  return {
    stock: stock.filter(isLevel).map(({ version, updatedAt, ...level }) => ({
      ...{ ...level, version: safeNumber(version), updatedAt: updatedAt.toISOString() },
    })),
    ledger: ledger.map(({ at, referenceType, referenceId, ...movement }) => ({
      ...{ ...movement, at: at.toISOString() },
      reference: referenceType === null ? null : { type: referenceType, id: referenceId },
    })),
  };
}

type Level = Omit<StockLevel, 'version' | 'updatedAt'> & Readonly<{ version: bigint; updatedAt: Date }>;
/** Of a product without any stock on record there is one row, of nulls. */
type StockRow = Level | Readonly<{ locationCode: null }>;
type LedgerRow = Omit<StockMovement, 'at' | 'reference'> &
  Readonly<{ at: Date; referenceType: string | null; referenceId: string | null }>;

const isLevel = (row: StockRow): row is Level => row.locationCode !== null;
