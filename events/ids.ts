import { v5 } from 'uuid';

import type { MovementType } from '../domain/inventory.ts';

/** Our namespace for repeatable ids (RFC 9562, UUIDv5). Changing it would let every request happen twice. */
const NAMESPACE = '6f1b0f5e-6f0c-5f43-9d57-4f1c2f1a7c11';

const idOf = (...parts: readonly (string | number)[]): string => v5(JSON.stringify(parts), NAMESPACE);

/** The same caller, route and key always name the same order: this is what makes a repeated request harmless. */
export const orderIdFor = (route: string, caller: string, key: string): string => idOf(route, caller, key);

/** Guards one ledger row per order, movement and line (source document 2.3, correlation_id). */
export const movementIdFor = (orderId: string, movement: MovementType, lineNo: number): string =>
  idOf(orderId, movement, lineNo);

/** Guards one ledger row per adjustment request. */
export const adjustmentIdFor = (caller: string, key: string): string => idOf('/v1/inventory/adjustments', caller, key);

/** Guards the ledger row with which a row of stock begins. */
export const firstStockIdFor = (stockAggregate: string): string => idOf('first-stock', stockAggregate);

/** The same caller, route and key always name the same request of an administrator. */
export const requestIdFor = (route: string, caller: string, key: string): string => idOf('request', route, caller, key);

/** The one payment of an order. */
export const paymentIdFor = (orderId: string): string => idOf('payment', orderId);

/** The one refund that settles an order which must not be charged, whoever notices. */
export const settlementIdFor = (orderId: string): string => idOf('settle-refund', orderId);

/** The same caller, order and key always name the same refund. */
export const refundIdFor = (orderId: string, caller: string, key: string): string =>
  idOf('/v1/orders/refunds', orderId, caller, key);

/** Guards one ledger row per refund and returned line. */
export const returnIdFor = (refundId: string, lineNo: number): string => idOf('return', refundId, lineNo);

/** An event is named by what happened to which version of what: publishing it twice is seen by everyone. */
export const eventIdFor = (aggregateType: string, aggregateId: string, version: number, type: string): string =>
  idOf('event', aggregateType, aggregateId, version, type);

/** The aggregate of one row of stock (source document 2.3, "product_id-variant_id-location"). */
export const stockAggregateId = (productId: string, variantId: string | null, locationCode: string): string =>
  `${productId}-${variantId ?? 0}-${locationCode}`;
