import { type Response, Router } from 'express';
import { z } from 'zod';

import { CheckoutError } from '../domain/errors.ts';
import type { Money } from '../domain/money.ts';
import type { OrderStatus } from '../domain/order.ts';
import { safeNumber } from '../infra/rows.ts';
import { inOrders } from '../projections/read-applied.ts';
import { type ListedOrder, readOrders } from '../projections/read-orders.ts';
import { callerOf, only, ownerFilter } from './auth.ts';
import { databaseId } from './contract/fields.ts';
import { LONGEST_CURSOR, orderAfter, orderCursor } from './cursors.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { type LinkOptions, linksOf } from './present.ts';
import { notAllowed } from './problem.ts';
import { afterWrite } from './read-after.ts';
import { parsed } from './requests.ts';
import { viewLagMs } from './view-lag.ts';

const LARGEST_PAGE = 100;
const STATUSES = [
  'PENDING',
  'PAID',
  'FAILED',
  'CANCELLED',
  'PARTIALLY_REFUNDED',
  'REFUNDED',
] as const satisfies readonly OrderStatus[];

const listQuery = z.strictObject({
  status: z.enum(STATUSES).optional(),
  /** For administrators; a customer's own is taken for granted. */
  userId: databaseId.optional(),
  cursor: z.string().max(LONGEST_CURSOR).optional(),
  limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(20),
});

/** Lists of orders, the newest first, from the view: a customer's own, or for administrators everybody's. */
export function orderListRoutes({ databases: { views }, links }: ApiDeps): Router {
  return Router()
    .get(
      '/v1/orders',
      only('customer', 'admin'),
      afterWrite((write) => inOrders(views, write)),
      async (req, res) => {
        const { status, userId, cursor, limit } = parsed(listQuery, req.query);
        const after = cursor === undefined ? undefined : orderAfter(cursor);
        const filter = { userId: ownerOf(res, userId), status, after, limit };
        const lag = await within(READ_LIMIT_MS, viewLagMs(views, 'orders'));
        const { items, last } = await within(READ_LIMIT_MS, readOrders(views, filter));
        res.set('Cache-Control', 'private, no-cache').json({
          items: items.map((order) => present(order, callerOf(res).role === 'admin', links)),
          next: last === null ? null : orderCursor(last),
          viewLagMs: lag,
        });
      },
    )
    .all('/v1/orders', notAllowed('GET, HEAD'));
}

/** Whose orders are listed, null for everybody's. @throws CheckoutError FORBIDDEN for a customer who asks for another's */
function ownerOf(res: Response, wanted: string | undefined): string | null {
  const own = ownerFilter(callerOf(res));
  if (own === null) return wanted ?? null;
  if (wanted !== undefined && wanted !== own) throw new CheckoutError('FORBIDDEN', 'you may list your own orders');
  return own;
}

/** As `GET /v1/orders/{id}` shows an order, as far as its events tell. `payment` is null until its first event has come. */
function present(order: ListedOrder, forAdmin: boolean, links: LinkOptions): object {
  const { orderId, orderNumber, status, failureCode, paymentMethod, paymentStatus, currency } = order;
  const money = (minor: number): Money => ({ minor, currency });
  return {
    orderId,
    orderNumber,
    version: safeNumber(order.version),
    status,
    failure: failureCode === null ? null : { code: failureCode },
    items: order.items.map(({ unitPriceMinor, lineTotalMinor, lineNo, productId, variantId, sku, name, quantity }) => ({
      ...{ lineNo, productId, variantId, sku, name, unitPrice: money(unitPriceMinor), quantity },
      lineTotal: money(lineTotalMinor),
    })),
    total: money(safeNumber(order.total)),
    refunded: money(safeNumber(order.refunded)),
    payment: paymentMethod === null ? null : { method: paymentMethod, status: paymentStatus },
    placedAt: order.placedAt.toISOString(),
    paidAt: order.paidAt?.toISOString() ?? null,
    closedAt: order.closedAt?.toISOString() ?? null,
    ...(forAdmin && { customer: { userId: order.userId, fullName: order.customerName } }),
    links: linksOf(orderId, links),
  };
}
