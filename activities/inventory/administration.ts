import { isRefusal, type Refusal } from '../../domain/errors.ts';
import { adjustmentIdFor, stockAggregateId } from '../../events/ids.ts';
import { appendToOutbox, type ShopEvent, shopEvent } from '../../events/outbox.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { throwRefusal } from '../refusals.ts';
import { lockStock, type StockRow } from './stock.ts';

export type Adjustment = Readonly<{
  productId: string;
  variantId: string | null;
  locationCode: string;
  /** Units found (+) or lost (−); never 0. */
  quantityChange: number;
  reason: string;
  /** Who asked: `users.id` of the administrator. */
  caller: string;
  idempotencyKey: string;
  /** SHA-256 of the canonical request body, hexadecimal. */
  requestHash: string;
}>;

/** The ledger row that an adjustment made. */
export type Adjusted = Readonly<{
  adjustmentId: string;
  productId: string;
  variantId: string | null;
  locationCode: string;
  quantityChange: number;
  available: number;
  reserved: number;
  version: number;
  replayed: boolean;
}>;

/**
 * Corrects the stock of one product at one place: ledger row, snapshot and event in one transaction (source document
 * 2.3, ADJUSTED). The same caller and key get the first answer again.
 *
 * @throws CheckoutError UNKNOWN_PRODUCT, STOCK_BELOW_ZERO, IDEMPOTENCY_KEY_REUSED
 */
export async function adjustStock(platform: Databases['platform'], input: Adjustment): Promise<Adjusted> {
  const adjustmentId = adjustmentIdFor(input.caller, input.idempotencyKey);
  const result = await platform.$transaction(async (tx) => {
    await tx.$queryRaw`select pg_advisory_xact_lock(hashtextextended('adjustment:' || ${adjustmentId}, 0))::text`;
    return (await findAdjustment(tx, adjustmentId, input)) ?? (await adjust(tx, adjustmentId, input));
  });
  return isRefusal(result) ? throwRefusal(result) : result;
}

type Stored = Readonly<{ event_data: Readonly<{ requestHash: string; answer: Omit<Adjusted, 'replayed'> }> }>;

async function findAdjustment(
  tx: SqlTransaction,
  id: string,
  { requestHash }: Adjustment,
): Promise<Adjusted | Refusal | undefined> {
  const [stored] = await tx.$queryRaw<Stored[]>`
    select event_data from inventory_events where correlation_id = ${id}::uuid`;
  if (stored === undefined) return;
  if (stored.event_data.requestHash === requestHash) return { ...stored.event_data.answer, replayed: true };
  return { code: 'IDEMPOTENCY_KEY_REUSED', message: 'this key belongs to another request' };
}

async function adjust(tx: SqlTransaction, adjustmentId: string, input: Adjustment): Promise<Adjusted | Refusal> {
  const [line] = await lockStock(tx, [{ ...input, lineNo: 1, quantity: 1 }]);
  const stock = line?.stock ?? null;
  if (stock === null) return { code: 'UNKNOWN_PRODUCT', message: 'this product has no stock at that location' };
  const available = stock.available + input.quantityChange;
  if (available < 0 || available + stock.reserved > MAX_QUANTITY) {
    const message = `${stock.available} are available, so ${input.quantityChange} is not possible`;
    return { code: 'STOCK_BELOW_ZERO', message, detail: { available: stock.available } };
  }
  const { productId, variantId, locationCode, reserved } = stock;
  const version = stock.version + 1;
  const { quantityChange } = input;
  const answer = { adjustmentId, productId, variantId, locationCode, quantityChange, available, reserved, version };
  const adjustment = { ...input, before: stock, answer };
  await saveAdjustments(tx, [adjustment]);
  await appendToOutbox(tx, [adjustedEvent(adjustment)]);
  return { ...answer, replayed: false };
}

/** The columns are 32 bits wide, that of the total too. */
const MAX_QUANTITY = 2_147_483_647;

/** A correction that is decided: the stock before it, and what its request is answered. */
export type DecidedAdjustment = Readonly<{
  before: StockRow;
  answer: Omit<Adjusted, 'replayed'>;
  reason: string;
  caller: string;
  requestHash: string;
}>;

/** One insert into the ledger and one update of the snapshots, however many rows of stock are corrected. */
export async function saveAdjustments(tx: SqlTransaction, adjustments: readonly DecidedAdjustment[]): Promise<void> {
  const rows = JSON.stringify(adjustments.map(ledgerRow));
  await tx.$executeRaw`
    insert into inventory_events (event_type, aggregate_id, aggregate_version, product_id, variant_id, location_code,
      quantity_change, quantity_before, quantity_after, change_reason, reference_type, reference_id, event_data,
      correlation_id)
    select 'ADJUSTED', aggregate, version, product, variant, location, change, before, after, reason, 'ADJUSTMENT',
      reference, data, correlation
    from jsonb_to_recordset(${rows}::jsonb) as a(id bigint, aggregate text, version bigint, product bigint,
      variant bigint, location text, change integer, before integer, after integer, reason text, reference text,
      data jsonb, correlation uuid)
    order by id`;
  await tx.$executeRaw`
    update inventory_snapshots s
    set available_quantity = a.after, version = a.version, last_updated_at = now()
    from jsonb_to_recordset(${rows}::jsonb) as a(id bigint, version bigint, after integer)
    where s.id = a.id`;
}

const ledgerRow = ({ before, answer, reason, caller, requestHash }: DecidedAdjustment) => ({
  id: before.id,
  aggregate: stockAggregateId(answer.productId, answer.variantId, answer.locationCode),
  version: answer.version,
  product: answer.productId,
  variant: answer.variantId,
  location: answer.locationCode,
  change: answer.quantityChange,
  before: before.available,
  after: answer.available,
  reason,
  reference: `user:${caller}`,
  data: { requestHash, answer },
  correlation: answer.adjustmentId,
});

/** What a correction tells the views. */
export function adjustedEvent({ before, answer, reason }: DecidedAdjustment): ShopEvent {
  const { productId, variantId, locationCode, quantityChange, available, reserved, version, adjustmentId } = answer;
  const aggregate = stockAggregateId(productId, variantId, locationCode);
  return shopEvent('InventoryAdjusted', aggregate, version, adjustmentId, {
    productId,
    variantId,
    locationCode,
    quantityChange,
    reservedChange: 0,
    available,
    reserved,
    lowStockThreshold: before.lowStockThreshold,
    reason,
    orderId: null,
  });
}
