import type { Response } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import type { Money } from '../domain/money.ts';
import { safeNumber } from '../infra/rows.ts';
import { inOrders } from '../projections/read-applied.ts';
import { type ListedOrder, readOrders } from '../projections/read-orders.ts';
import { readCustomerNames } from '../projections/read-users.ts';
import { callerOf, ownerFilter } from './auth.ts';
import { listOrders, ordersQuery } from './contract/orders.ts';
import { orderAfter, orderCursor } from './cursors.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { type LinkOptions, linksOf } from './present.ts';
import { afterWrite } from './read-after.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';
import { viewLagMs } from './view-lag.ts';

/** Lists of orders, the newest first, from the view: a customer's own, or for administrators everybody's. */
export const orderListRoutes = ({ databases, links }: ApiDeps): readonly Route[] => [
  route(
    listOrders,
    afterWrite((write) => inOrders(databases.views, write)),
    async (req, res) => {
      const { status, userId, cursor, limit } = parsed(ordersQuery, req.query);
      const after = cursor === undefined ? undefined : orderAfter(cursor);
      const filter = { userId: ownerOf(res, userId), status, after, limit };
      const lag = await within(READ_LIMIT_MS, viewLagMs(databases.views, 'orders'));
      const { items, last } = await within(READ_LIMIT_MS, readOrders(databases.views, filter));
      const customers = callerOf(res).role === 'admin' ? items.map((order) => order.userId) : undefined;
      const names = customers && (await within(READ_LIMIT_MS, readCustomerNames(databases, customers)));
      res.set('Cache-Control', 'private, no-cache').json({
        items: items.map((order) => present(order, names, links)),
        next: last === null ? null : orderCursor(last),
        viewLagMs: lag,
      });
    },
  ),
];

/** Whose orders are listed, null for everybody's. @throws CheckoutError FORBIDDEN for a customer who asks for another's */
function ownerOf(res: Response, wanted: string | undefined): string | null {
  const own = ownerFilter(callerOf(res));
  if (own === null) return wanted ?? null;
  if (wanted !== undefined && wanted !== own) throw new CheckoutError('FORBIDDEN', 'you may list your own orders');
  return own;
}

/**
 * As `GET /v1/orders/{id}` shows an order, as far as its events tell. `payment` is null until its first event has come.
 *
 * @param names of customers, for administrators alone
 */
function present(order: ListedOrder, names: ReadonlyMap<string, string> | undefined, links: LinkOptions): object {
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
    ...(names && { customer: { userId: order.userId, fullName: names.get(order.userId) ?? null } }),
    links: linksOf(orderId, links),
  };
}
