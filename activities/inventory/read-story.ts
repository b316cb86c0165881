import { type OutboxEntry, readAggregateEvents } from '../../events/read-aggregate.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

/** A movement of stock for an order, or for a refund of it. `lineNo`: of the order. `at`: ISO instant of the ledger. */
export type LedgerEntry = Readonly<{
  at: string;
  movement: string;
  lineNo: number | null;
  productId: string;
  variantId: string | null;
  locationCode: string;
  quantityChange: number;
  reservedChange: number;
  reason: string | null;
  refundId: string | null;
}>;

type Row = Omit<LedgerEntry, 'at'> & Readonly<{ at: Date; aggregateId: string; version: bigint }>;

/**
 * The ledger rows of an order and of its refunds, in their order, and the events that tell of them, at most `limit` of
 * each. How much stock there was is nobody's business here.
 */
export async function readStockStory(
  platform: SqlTransaction,
  { orderId, refundIds }: Readonly<{ orderId: string; refundIds: readonly string[] }>,
  limit: number,
): Promise<Readonly<{ ledger: readonly LedgerEntry[]; events: readonly OutboxEntry[] }>> {
  const causes = [{ type: 'ORDER', id: orderId }, ...refundIds.map((id) => ({ type: 'REFUND', id }))];
  const rows = await platform.$queryRaw<Row[]>`
    select e.occurred_at as at, e.event_type as movement, (e.event_data ->> 'lineNo')::integer as "lineNo",
      e.product_id::text as "productId", e.variant_id::text as "variantId", e.location_code as "locationCode",
      e.quantity_change as "quantityChange", e.reserved_change as "reservedChange", e.change_reason as reason,
      case when c.type = 'REFUND' then c.id end as "refundId", e.aggregate_id as "aggregateId",
      e.aggregate_version as version
    from jsonb_to_recordset(${JSON.stringify(causes)}::jsonb) as c(type text, id text)
    join inventory_events e on e.reference_type = c.type and e.reference_id = c.id
    order by e.id
    limit ${limit}`;
  const keys = rows.map(({ aggregateId, version }) => ({ id: aggregateId, version: safeNumber(version) }));
  return {
    ledger: rows.map((row) => ({
      ...{ at: row.at.toISOString(), movement: row.movement, lineNo: row.lineNo, productId: row.productId },
      ...{ variantId: row.variantId, locationCode: row.locationCode, quantityChange: row.quantityChange },
      ...{ reservedChange: row.reservedChange, reason: row.reason, refundId: row.refundId },
    })),
    events: await readAggregateEvents(platform, 'inventory', keys, limit),
  };
}
