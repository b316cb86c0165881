import type { Request } from 'express';

import type { StateChange } from '../activities/orders/read-changes.ts';
import { CheckoutError, isErrorCode, type Refusal } from '../domain/errors.ts';
import { callerOf, ownerFilter } from './auth.ts';
import { endsWith, followOrder, followQuery, type RefusedEvent, type StateEvent, type Until } from './contract/live.ts';
import type { ApiDeps } from './deps.ts';
import { type EventStream, EventStreams, sendStreamHeaders } from './event-streams.ts';
import { ABANDONED } from './follow.ts';
import { noSuchOrder, orderIdOf, type OrderKey } from './order-for.ts';
import { whereaboutsOf, withoutOrder } from './order-whereabouts.ts';
import { sendRefusal } from './problem.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';

/** Looks for the end of a checkout whose order is not made yet: no event tells that it never will be. Milliseconds. */
const FIRST_LOOK_MS = 500;
const LONGEST_PAUSE_MS = 4_000;

/** The states of one order as they come, for its owner and for administrators (docs/decisions/0034). */
export function orderEventRoutes(deps: ApiDeps): readonly Route[] {
  const streams = new EventStreams(deps.config.eventStreams, deps.stopping);
  return [
    route(followOrder, async (req, res) => {
      const caller = callerOf(res);
      const key = { orderId: orderIdOf(req.params['orderId']), customerId: ownerFilter(caller) };
      const { until } = parsed(followQuery, req.query);
      const seen = lastSeenBy(req);
      streams.admit(caller.id, res);

      const found = await whereaboutsOf(deps, key);
      if (found === undefined) throw noSuchOrder();
      if ('refusal' in found) return sendRefusal(res.set('Cache-Control', 'no-store'), found.refusal, key.orderId);
      const { version, status } = 'order' in found ? found.order : NOT_MADE;
      if (seen > version) throw new CheckoutError('MALFORMED_REQUEST', 'Last-Event-ID is no version of this order');
      if (seen === version && endsWith(status, until))
        return void res.status(204).set('Cache-Control', 'no-store').end();
      if (req.method === 'HEAD') return void (sendStreamHeaders(res), res.end());

      const stream = streams.begin(res, caller.expiresAt - Date.now());
      stream.onEnd(
        deps.orderFeed.follow({ orderId: key.orderId, seen }, (changes, more) =>
          tell(stream, changes, more ? 'more' : until),
        ),
      );
      if (version === 0) watchUnmade(deps, stream, key);
    }),
  ];
}

const NOT_MADE = { version: 0, status: 'PENDING' } as const;

/** The version in `Last-Event-ID`; 0 without one. @throws CheckoutError MALFORMED_REQUEST */
function lastSeenBy(req: Request): number {
  const [id = '', ...others] = req.headersDistinct['last-event-id'] ?? [];
  if (id === '' && others.length === 0) return 0;
  if (others.length > 0 || !/^\d{1,15}$/.test(id)) {
    throw new CheckoutError('MALFORMED_REQUEST', 'Last-Event-ID must be the id of an event of this stream');
  }
  return Number(id);
}

/** A refund may come in the same breath as the payment: what is there already is told, also behind the end. */
function tell(stream: EventStream, changes: readonly StateChange[], until: Until | 'more'): void {
  const newest = changes.at(-1);
  if (newest === undefined) return;
  const over = until !== 'more' && endsWith(newest.status, until);
  stream.send(
    changes.map((change) => ({
      event: 'state',
      id: change.version,
      data: stateEventOf(change, over && change === newest),
    })),
  );
  if (over) stream.end();
}

const stateEventOf = ({ failureCode: code, ...change }: StateChange, last: boolean): StateEvent => ({
  orderId: change.orderId,
  version: change.version,
  status: change.status,
  failure: code !== null && isErrorCode(code) ? { code } : null,
  at: change.at,
  last,
});

/** Looks, less and less often, whether the checkout ended without an order, until the order is there. */
function watchUnmade(deps: ApiDeps, stream: EventStream, key: OrderKey): void {
  let timer: NodeJS.Timeout;
  const look = async (pauseMs: number): Promise<void> => {
    const next = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    try {
      const found = await withoutOrder(deps, key);
      if (stream.ended) return;
      if (found !== undefined && 'order' in found) return deps.orderFeed.hear(key.orderId); // which tells its states
      if (found === undefined || 'refusal' in found) return refuse(stream, key, found?.refusal ?? ABANDONED);
    } catch (error) {
      deps.log.warn({ err: error }, 'a checkout that is followed cannot be looked at: trying again');
    }
    if (!stream.ended) timer = setTimeout(() => void look(next), next);
  };
  timer = setTimeout(() => void look(FIRST_LOOK_MS), FIRST_LOOK_MS);
  stream.onEnd(() => clearTimeout(timer));
}

function refuse(stream: EventStream, { orderId }: OrderKey, { code, message }: Refusal): void {
  const data: RefusedEvent = { orderId, code, detail: message, last: true };
  stream.send([{ event: 'refused', data }]);
  stream.end();
}
