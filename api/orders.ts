import { type Response, Router } from 'express';
import { z } from 'zod';

import { type OrderView, readOrder } from '../activities/orders/read.ts';
import { orderNumberOf } from '../domain/checkout.ts';
import { CheckoutError } from '../domain/errors.ts';
import { callerOf, only, ownerFilter } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { cancelCheckout, isUnderWay } from './follow.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { linksOf, presentOrder, sendPending } from './present.ts';
import { notAllowed } from './problem.ts';

type OrderKey = Readonly<{ orderId: string; customerId: string | null }>;

const noSuchOrder = (): CheckoutError => new CheckoutError('NOT_FOUND', 'there is no such order');

/** The authoritative order and its cancellation. Somebody else's order does not exist: 404, never 403. */
export function orderRoutes(deps: ApiDeps): Router {
  return Router()
    .get('/v1/orders/:orderId', only('customer', 'admin'), async (req, res) => {
      const key = orderKeyOf(req.params.orderId, res);
      const order = await find(deps, key);
      if (order !== undefined) {
        const etag = `"${order.version}"`;
        res.set({ ETag: etag, 'Cache-Control': 'private, no-cache' });
        if (names(req.get('if-none-match'), etag)) res.status(304).end();
        else res.json(presentOrder(order, deps.links));
        return;
      }
      if (!(await isUnderWay(deps.temporal, key))) throw noSuchOrder();
      res.set('Retry-After', '1');
      sendPending(res, key.orderId, deps.links);
    })
    .all('/v1/orders/:orderId', notAllowed('GET, HEAD'))
    .post('/v1/orders/:orderId/cancel', only('customer', 'admin'), async (req, res) => {
      const key = orderKeyOf(req.params.orderId, res);
      const known = await find(deps, key);
      if (known === undefined && !(await isUnderWay(deps.temporal, key))) throw noSuchOrder();

      const answer = await cancelCheckout(deps.temporal, key.orderId);
      const order = await find(deps, key);
      if (answer === 'CLOSED' && order?.status !== 'CANCELLED') {
        throw new CheckoutError('NOT_CANCELLABLE', 'this order can no longer be cancelled');
      }
      if (answer === 'CANCELLING') res.status(202);
      res.json(presentCancelled(deps, key.orderId, answer === 'CANCELLING' ? answer : 'CANCELLED', order));
    })
    .all('/v1/orders/:orderId/cancel', notAllowed('POST'));
}

/**
 * Whether If-None-Match names this version (RFC 9110, 13.1.2). Express's own check gives way to `Cache-Control:
 * no-cache`, which every `fetch` with this header sends along.
 */
const names = (header: string | undefined, etag: string): boolean =>
  (header ?? '').split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);

function orderKeyOf(orderId: unknown, res: Response): OrderKey {
  const customerId = ownerFilter(callerOf(res));
  const id = z.guid().safeParse(orderId);
  if (!id.success) throw noSuchOrder();
  return { orderId: id.data.toLowerCase(), customerId };
}

const find = ({ databases }: ApiDeps, key: OrderKey): Promise<OrderView | undefined> =>
  within(READ_LIMIT_MS, readOrder(databases.order, key));

/** The order as it is now, under the status that was just decided; only that where the order was never made. */
function presentCancelled(
  { links }: ApiDeps,
  orderId: string,
  status: 'CANCELLED' | 'CANCELLING',
  order: OrderView | undefined,
): object {
  if (order !== undefined) return { ...presentOrder(order, links), status };
  return { orderId, orderNumber: orderNumberOf(orderId), status, links: linksOf(orderId, links) };
}
