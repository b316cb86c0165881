import type { PricedLine } from '../../domain/checkout.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import type { StockKey } from './stock.ts';

/** One insert for all lines. */
export const insertReservations = (tx: SqlTransaction, orderId: string, lines: readonly PricedLine[]) => tx.$executeRaw`
  insert into inventory_reservations (order_id, line_no, product_id, variant_id, location_code, quantity)
  select ${orderId}::uuid, l."lineNo", l."productId"::bigint, l."variantId"::bigint, l."locationCode", l.quantity
  from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb)
    as l("lineNo" integer, "productId" text, "variantId" text, "locationCode" text, quantity integer)`;

/** Ends every open reservation of an order. */
export const setReservations = (tx: SqlTransaction, orderId: string, state: 'COMMITTED' | 'RELEASED') => tx.$executeRaw`
  update inventory_reservations set state = ${state} where order_id = ${orderId}::uuid and state = 'RESERVED'`;

export type Returned = StockKey & Readonly<{ quantity: number }>;

/**
 * Counts units that come back on the lines that were sold, one update for all lines.
 *
 * @returns the lines; without those that the order has not, or of which fewer units are left
 */
export const countReturned = (
  tx: SqlTransaction,
  orderId: string,
  lines: readonly Readonly<{ lineNo: number; quantity: number }>[],
) => tx.$queryRaw<Returned[]>`
  update inventory_reservations r set returned_quantity = r.returned_quantity + l.quantity
  from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb) as l("lineNo" integer, quantity integer)
  where r.order_id = ${orderId}::uuid and r.line_no = l."lineNo" and r.state = 'COMMITTED'
    and l.quantity between 1 and r.quantity - r.returned_quantity
  returning r.line_no as "lineNo", r.product_id::text as "productId", r.variant_id::text as "variantId",
    r.location_code as "locationCode", l.quantity`;
