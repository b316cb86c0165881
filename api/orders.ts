import type { Request, Response } from 'express';

import type { OrderView } from '../activities/orders/read.ts';
import { orderNumberOf } from '../domain/checkout.ts';
import { CheckoutError } from '../domain/errors.ts';
import { callerOf, ownerFilter } from './auth.ts';
import { cancelOrder, getOrder } from './contract/orders.ts';
import type { ApiDeps } from './deps.ts';
import { sendTagged } from './etag.ts';
import { ABANDONED, cancelCheckout, isUnderWay } from './follow.ts';
import { findOrder, noSuchOrder, orderIdOf, type OrderKey } from './order-for.ts';
import { storedFor } from './order-whereabouts.ts';
import { linksOf, presentOrder, sendPending } from './present.ts';
import { sendRefusal } from './problem.ts';
import { tellReadAfter } from './read-after.ts';
import { type Route, route } from './routes.ts';

/** The authoritative order and its cancellation. Somebody else's order does not exist: 404, never 403. */
export const orderRoutes = (deps: ApiDeps): readonly Route[] => [
  route(getOrder, async (req, res) => {
    const key = orderKeyOf(req, res);
    const order = await findOrder(deps.databases, key);
    if (order !== undefined) return sendOrder(req, res, order, deps);
    const runs = await isUnderWay(deps.temporal, key);
    const stored = runs ? undefined : await storedFor(deps, key);
    // Stock without a checkout: it was ended from outside, and the reconciler has yet to decide what becomes of it.
    if (runs || (stored !== undefined && 'underWay' in stored)) {
      res.set('Retry-After', runs ? '1' : '30');
      return sendPending(res, key.orderId, deps.links);
    }
    const late = await findOrder(deps.databases, key); // made and ended while we were looking elsewhere
    if (late !== undefined) return sendOrder(req, res, late, deps);
    if (stored === undefined) throw noSuchOrder();
    res.set('Cache-Control', 'private, no-cache');
    sendRefusal(res, 'refusal' in stored ? stored.refusal : ABANDONED, key.orderId);
  }),
  route(cancelOrder, async (req, res) => {
    const key = orderKeyOf(req, res);
    const known = await findOrder(deps.databases, key);
    // Said by the order itself: its checkout may run a second time, and not know yet that it is paid.
    if (known !== undefined && PAID.has(known.status)) throw notCancellable();
    const runs = known !== undefined || (await isUnderWay(deps.temporal, key));
    if (!runs && (await storedFor(deps, key)) === undefined) throw noSuchOrder();

    const answer = runs ? await cancelCheckout(deps.temporal, key.orderId) : 'CLOSED';
    const order = await findOrder(deps.databases, key);
    if (answer === 'CLOSED' && !(await endedCancelled(deps, key, order))) {
      throw notCancellable();
    }
    if (answer === 'CANCELLING') res.status(202);
    res.json(presentCancelled(deps, key.orderId, answer === 'CANCELLING' ? answer : 'CANCELLED', order));
  }),
];

function sendOrder(req: Request, res: Response, order: OrderView, { links }: ApiDeps): void {
  tellReadAfter(res, order);
  res.set('Cache-Control', 'private, no-cache');
  sendTagged(req, res, etagOf(order), presentOrder(order, links));
}

/** An operator's note and what a shopper must do to pay leave the version as it is. */
const etagOf = ({ version, history, payment }: OrderView): string =>
  `"${version}-${history.length}${payment.instructions === null ? '' : '-payable'}"`;

const orderKeyOf = (req: Request, res: Response): OrderKey => ({
  customerId: ownerFilter(callerOf(res)),
  orderId: orderIdOf(req.params['orderId']),
});

const PAID: ReadonlySet<OrderView['status']> = new Set(['PAID', 'PARTIALLY_REFUNDED', 'REFUNDED']);
const notCancellable = () => new CheckoutError('NOT_CANCELLABLE', 'this order can no longer be cancelled');

/** How a checkout that is over ended: the order tells, or the record where the order was never made. */
async function endedCancelled(deps: ApiDeps, key: OrderKey, order: OrderView | undefined): Promise<boolean> {
  if (order !== undefined) return order.status === 'CANCELLED';
  const stored = await storedFor(deps, key);
  return stored !== undefined && 'refusal' in stored && stored.refusal.code === 'CHECKOUT_CANCELLED';
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
