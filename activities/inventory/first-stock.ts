import { firstStockIdFor, stockAggregateId } from '../../events/ids.ts';
import { appendToOutbox } from '../../events/outbox.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { adjustedEvent, saveAdjustments } from './administration.ts';
import { lockStock, type StockKey, type StockRow } from './stock.ts';

/** How much of a product, or of a variant of it, is where it is first put. */
export type FirstStock = Readonly<{
  variantId: string | null;
  locationCode: string;
  /** Units; none is possible. */
  quantity: number;
  /** At or below so many units it counts as low. */
  lowStockThreshold: number;
}>;

const REASON = 'INITIAL_STOCK';

/**
 * Opens rows of stock that did not exist and adjusts those with units from 0 to them: ledger, snapshots and events, in the
 * caller's transaction.
 *
 * @param request who asked, and for what: kept with the ledger rows
 */
export async function openStock(
  tx: SqlTransaction,
  productId: string,
  rows: readonly FirstStock[],
  request: Readonly<{ caller: string; requestHash: string }>,
): Promise<void> {
  const lines = rows.map((row, index) => ({ ...row, productId, lineNo: index + 1 }));
  await insertEmpty(tx, lines);
  const locked = await lockStock(tx, lines);
  const adjustments = locked.flatMap(({ quantity, stock }) =>
    stock === null || quantity === 0 ? [] : [firstAdjustment(stock, quantity, request)],
  );
  await saveAdjustments(tx, adjustments);
  await appendToOutbox(tx, adjustments.map(adjustedEvent));
}

function firstAdjustment(
  before: StockRow,
  quantity: number,
  request: Readonly<{ caller: string; requestHash: string }>,
) {
  const { productId, variantId, locationCode, reserved } = before;
  const adjustmentId = firstStockIdFor(stockAggregateId(productId, variantId, locationCode));
  const after = { available: before.available + quantity, reserved, version: before.version + 1 };
  return {
    ...{ before, ...request, reason: REASON },
    answer: { adjustmentId, productId, variantId, locationCode, quantityChange: quantity, ...after },
  };
}

/** Version 0 is the empty fold: a row without any event. */
const insertEmpty = (tx: SqlTransaction, lines: readonly (StockKey & FirstStock)[]) => tx.$executeRaw`
  insert into inventory_snapshots (product_id, variant_id, location_code, low_stock_threshold)
  select "productId", "variantId", "locationCode", "lowStockThreshold"
  from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb)
    as r ("lineNo" integer, "productId" bigint, "variantId" bigint, "locationCode" text, "lowStockThreshold" integer)
  order by "lineNo"`;
