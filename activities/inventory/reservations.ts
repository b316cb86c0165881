import type { PricedLine } from '../../domain/checkout.ts';
import type { SqlTransaction } from '../../infra/databases.ts';

/** One insert for all lines. */
export const insertReservations = (tx: SqlTransaction, orderId: string, lines: readonly PricedLine[]) => tx.$executeRaw`
  insert into inventory_reservations (order_id, line_no, product_id, variant_id, location_code, quantity)
  select ${orderId}::uuid, l."lineNo", l."productId"::bigint, l."variantId"::bigint, l."locationCode", l.quantity
  from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb)
    as l("lineNo" integer, "productId" text, "variantId" text, "locationCode" text, quantity integer)`;

/** Ends every open reservation of an order. */
export const setReservations = (tx: SqlTransaction, orderId: string, state: 'COMMITTED' | 'RELEASED') => tx.$executeRaw`
  update inventory_reservations set state = ${state} where order_id = ${orderId}::uuid and state = 'RESERVED'`;
