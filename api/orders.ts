import { type Response, Router } from 'express';
import { z } from 'zod';

import { storedAnswer } from '../activities/inventory/stored-answer.ts';
import type { OrderView } from '../activities/orders/read.ts';
import { orderNumberOf } from '../domain/checkout.ts';
import { CheckoutError, type Refusal } from '../domain/errors.ts';
import { callerOf, only, ownerFilter } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { cancelCheckout, isUnderWay } from './follow.ts';
import { findOrder, type OrderKey } from './order-for.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { linksOf, presentOrder, sendPending } from './present.ts';
import { notAllowed, sendRefusal } from './problem.ts';

const noSuchOrder = (): CheckoutError => new CheckoutError('NOT_FOUND', 'there is no such order');

/** The authoritative order and its cancellation. Somebody else's order does not exist: 404, never 403. */
export function orderRoutes(deps: ApiDeps): Router {
  return Router()
    .get('/v1/orders/:orderId', only('customer', 'admin'), async (req, res) => {
      const key = orderKeyOf(req.params.orderId, res);
      const order = await findOrder(deps.databases, key);
      if (order !== undefined) {
        // An operator's note is history that leaves the version as it is.
        const etag = `"${order.version}-${order.history.length}"`;
        res.set({ ETag: etag, 'Cache-Control': 'private, no-cache' });
        if (names(req.get('if-none-match'), etag)) res.status(304).end();
        else res.json(presentOrder(order, deps.links));
        return;
      }
      if (await isUnderWay(deps.temporal, key)) {
        res.set('Retry-After', '1');
        return sendPending(res, key.orderId, deps.links);
      }
      const refusal = await refusalOf(deps, key);
      if (refusal === undefined) throw noSuchOrder();
      res.set('Cache-Control', 'private, no-cache');
      sendRefusal(res, refusal, key.orderId);
    })
    .all('/v1/orders/:orderId', notAllowed('GET, HEAD'))
    .post('/v1/orders/:orderId/cancel', only('customer', 'admin'), async (req, res) => {
      const key = orderKeyOf(req.params.orderId, res);
      const known = await findOrder(deps.databases, key);
      const runs = known !== undefined || (await isUnderWay(deps.temporal, key));
      if (!runs && (await refusalOf(deps, key)) === undefined) throw noSuchOrder();

      const answer = runs ? await cancelCheckout(deps.temporal, key.orderId) : 'CLOSED';
      const order = await findOrder(deps.databases, key);
      if (answer === 'CLOSED' && !(await endedCancelled(deps, key, order))) {
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

/** Why a checkout that was answered 202 never made an order; undefined for strangers, and where nothing is on record. */
async function refusalOf({ databases: { platform } }: ApiDeps, key: OrderKey): Promise<Refusal | undefined> {
  const stored = await within(READ_LIMIT_MS, storedAnswer(platform, key.orderId));
  if (stored === undefined || !('refusal' in stored)) return undefined;
  return key.customerId === null || key.customerId === stored.customerId ? stored.refusal : undefined;
}

/** How a checkout that is over ended: the order tells, or the record where the order was never made. */
async function endedCancelled(deps: ApiDeps, key: OrderKey, order: OrderView | undefined): Promise<boolean> {
  if (order !== undefined) return order.status === 'CANCELLED';
  return (await refusalOf(deps, key))?.code === 'CHECKOUT_CANCELLED';
}

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
