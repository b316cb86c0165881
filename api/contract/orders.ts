import { z } from 'zod';

import type { ErrorCode } from '../../domain/errors.ts';
import type { OrderStatus } from '../../domain/order.ts';
import { PAYMENT_METHODS, type PaymentStatus } from '../../domain/payment.ts';
import { errorCode } from './errors.ts';
import { cursor, databaseId, instant, money, next, pageSize, temporalLink, viewLagMs } from './fields.ts';
import type { Operation } from './operation.ts';

const ORDER_STATUSES = [
  'PENDING',
  'PAID',
  'FAILED',
  'CANCELLED',
  'PARTIALLY_REFUNDED',
  'REFUNDED',
] as const satisfies readonly OrderStatus[];
const PAYMENT_STATUSES = [
  'PENDING',
  'AWAITING_CONFIRMATION',
  'IN_DOUBT',
  'CAPTURED',
  'FAILED',
  'CANCELLED',
  'LATE_CAPTURED',
  'PARTIALLY_REFUNDED',
  'REFUNDED',
] as const satisfies readonly PaymentStatus[];

export const orderStatus = z.enum(ORDER_STATUSES).meta({ id: 'OrderStatus' });
const paymentStatus = z.enum(PAYMENT_STATUSES).meta({ id: 'PaymentStatus' });
const paymentMethod = z.enum(PAYMENT_METHODS);

export const orderParams = z.object({ orderId: z.guid() });

const links = z
  .object({ self: z.string(), events: z.string(), story: z.string(), cancel: z.string(), temporal: temporalLink })
  .meta({ id: 'OrderLinks', description: 'Paths of this API; `temporal` is a URL, for operators.' });

const listedLine = z.object({
  lineNo: z.int(),
  productId: databaseId,
  variantId: databaseId.nullable(),
  sku: z.string(),
  name: z.string(),
  unitPrice: money,
  quantity: z.int(),
  lineTotal: money,
});
const line = z.object({ ...listedLine.shape, locationCode: z.string() }).meta({ id: 'OrderLine' });

const instructions = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('bank_transfer'), bank: z.string(), account: z.string(), reference: z.string() }),
    z.object({ type: z.literal('redirect'), url: z.url() }),
  ])
  .meta({ id: 'PaymentInstructions', description: 'What the shopper must do before the money comes.' });

const historyLine = z
  .object({
    version: z.int().describe('Of the order, after this'),
    status: orderStatus,
    reason: z.string().nullable(),
    actor: z.string(),
    at: instant,
  })
  .meta({ id: 'OrderHistoryLine' });

const named = { orderId: z.guid(), orderNumber: z.string().meta({ examples: ['0MZ8T4-7K3M9Q'] }) };
const failure = z.object({ code: errorCode, message: z.string() });
const payment = z.object({
  method: paymentMethod,
  status: paymentStatus,
  instructions: instructions.nullable(),
  expiresAt: instant.nullable(),
});
const amounts = { total: money, refunded: money };

/** The order as it was placed: the same answer to the same key, for ever. */
export const placedOrder = z
  .object({
    ...named,
    status: z.literal('PENDING'),
    failure: z.null(),
    items: z.array(line),
    ...amounts,
    payment,
    placedAt: instant,
    links,
  })
  .meta({ id: 'PlacedOrder', description: 'The order as it was placed, whatever became of it.' });

/** The authoritative order, from the order service. */
export const order = z
  .object({
    ...named,
    version: z.int(),
    status: orderStatus,
    failure: failure.nullable(),
    items: z.array(line),
    ...amounts,
    payment,
    placedAt: instant,
    history: z.array(historyLine),
    links,
  })
  .meta({ id: 'Order' });

/** An order that is not made yet, or may never be. */
export const pendingOrder = z.object({ ...named, status: z.literal('PENDING'), links }).meta({ id: 'PendingOrder' });

const listedOrder = z
  .object({
    ...named,
    version: z.int(),
    status: orderStatus,
    failure: z.object({ code: errorCode }).nullable(),
    items: z.array(listedLine),
    ...amounts,
    payment: z
      .object({ method: paymentMethod, status: paymentStatus })
      .nullable()
      .describe('Null until the first event of the payment has come'),
    placedAt: instant,
    paidAt: instant.nullable(),
    closedAt: instant.nullable(),
    customer: z
      .object({ userId: databaseId, fullName: z.string().nullable() })
      .optional()
      .describe('For administrators'),
    links,
  })
  .meta({ id: 'ListedOrder', description: 'As far as the events of the order have arrived.' });

/** Why a checkout may end before it has an order. */
export const UNPLACED = [
  'AMOUNT_OUT_OF_RANGE',
  'CHECKOUT_ABANDONED',
  'CHECKOUT_CANCELLED',
  'CHECKOUT_FAILED',
  'MIXED_CURRENCY',
  'OUT_OF_STOCK',
  'PRICE_CHANGED',
  'PRODUCT_NOT_FOR_SALE',
  'START_DEADLINE_PASSED',
  'TOO_MANY_OPEN_CHECKOUTS',
  'UNITS_LIMIT',
  'UNKNOWN_PRODUCT',
  'UNKNOWN_USER',
] as const satisfies readonly ErrorCode[];

export const ordersQuery = z.strictObject({
  status: z.enum(ORDER_STATUSES).optional(),
  userId: databaseId.optional().describe("For administrators; a customer's own is taken for granted"),
  cursor: cursor().optional(),
  limit: pageSize,
});

export const listOrders = {
  id: 'listOrders',
  method: 'get',
  path: '/v1/orders',
  tag: 'orders',
  summary: "The caller's orders, for administrators everybody's, the newest first",
  access: ['customer', 'admin'],
  query: ordersQuery,
  headers: ['Read-After'],
  answers: {
    200: {
      description: 'A page of orders, from the view.',
      headers: ['Read-After-Applied'],
      body: z.object({ items: z.array(listedOrder), next, viewLagMs }),
    },
  },
} as const satisfies Operation;

export const getOrder = {
  id: 'getOrder',
  method: 'get',
  path: '/v1/orders/{orderId}',
  tag: 'orders',
  summary: 'One order, with its history',
  description:
    'The authoritative order, from the order service. A checkout that was refused has no order: the refusal is answered.',
  access: ['customer', 'admin'],
  params: orderParams,
  headers: ['If-None-Match'],
  answers: {
    200: { description: 'The order as it is now.', headers: ['ETag', 'Read-After'], body: order },
    202: { description: 'Its checkout is under way.', headers: ['Location', 'Retry-After'], body: pendingOrder },
    304: { description: 'The caller has this version.', headers: ['ETag', 'Read-After'] },
  },
  refusals: UNPLACED,
} as const satisfies Operation;

const decided = <T extends 'CANCELLED' | 'CANCELLING'>(status: T) => {
  const decidedStatus = { status: z.literal(status) };
  return z.union([
    z.object({ ...order.shape, ...decidedStatus }),
    z.object({ ...named, ...decidedStatus, links }).describe('Where the order was never made'),
  ]);
};

export const cancelOrder = {
  id: 'cancelOrder',
  method: 'post',
  path: '/v1/orders/{orderId}/cancel',
  tag: 'orders',
  summary: 'Cancels an order that is not paid',
  description: 'A repeat joins the first cancellation. A paid order is refunded instead.',
  access: ['customer', 'admin'],
  params: orderParams,
  answers: {
    200: { description: 'It is cancelled.', body: decided('CANCELLED') },
    202: { description: 'It is being cancelled: the payment is looked at first.', body: decided('CANCELLING') },
  },
  refusals: ['NOT_CANCELLABLE'],
} as const satisfies Operation;
