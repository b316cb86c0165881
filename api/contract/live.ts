import { z } from 'zod';

import type { OrderStatus } from '../../domain/order.ts';
import { errorCode } from './errors.ts';
import { instant } from './fields.ts';
import type { Operation } from './operation.ts';
import { orderParams, orderStatus, UNPLACED } from './orders.ts';

const UNTIL = ['decided', 'final'] as const;
/** When a stream ends: `decided` when the order is no longer PENDING, `final` when it can no longer change. */
export type Until = (typeof UNTIL)[number];

export const followQuery = z.strictObject({
  until: z
    .enum(UNTIL)
    .default('decided')
    .describe(
      '`decided`: ends when the checkout is over: PAID, FAILED or CANCELLED. `final`: goes on, for refunds, until FAILED, CANCELLED or REFUNDED.',
    ),
});

const last = z.boolean().describe('The stream ends after this event: do not come back');

/** `event: state`, `id:` the version. */
export const stateEvent = z
  .object({
    orderId: z.guid(),
    version: z.int().describe('Of the order; the `id` of the event'),
    status: orderStatus,
    failure: z.object({ code: errorCode }).nullable().describe('Of an order that ended FAILED or CANCELLED'),
    at: instant,
    last,
  })
  .meta({ id: 'OrderStateEvent' });

/** `event: refused`, without an id. */
export const refusedEvent = z
  .object({ orderId: z.guid(), code: errorCode, detail: z.string(), last })
  .meta({ id: 'OrderRefusedEvent', description: 'The order was never made.' });

export type StateEvent = z.infer<typeof stateEvent>;
export type RefusedEvent = z.infer<typeof refusedEvent>;

const FINAL: ReadonlySet<OrderStatus> = new Set(['FAILED', 'CANCELLED', 'REFUNDED']);

/** Whether a stream that was asked for like that ends with a status. */
export const endsWith = (status: OrderStatus, until: Until): boolean =>
  until === 'final' ? FINAL.has(status) : status !== 'PENDING';

export const followOrder = {
  id: 'followOrder',
  method: 'get',
  path: '/v1/orders/{orderId}/events',
  tag: 'orders',
  summary: 'Every state of an order as it comes',
  description: [
    'Server-sent events. `event: state` with the version as its `id` for every state of the order, those that it had before included;',
    '`event: refused` where the checkout ended without an order. Send `Last-Event-ID` to get what came after that version:',
    'each state once and in order, whichever process answers. An order that is not made yet (202) can be followed as well.',
    'A comment comes every 15 seconds. The stream ends after the event that says `last`; when it ends without one (the process stops,',
    'the token expires, the reader is too slow, an hour is over), come back with `Last-Event-ID` after `retry` milliseconds.',
  ].join(' '),
  access: ['customer', 'admin'],
  params: orderParams,
  query: followQuery,
  headers: ['Last-Event-ID'],
  answers: {
    200: {
      description: 'A stream of `OrderStateEvent`, or one `OrderRefusedEvent`, as JSON in `data`.',
      mediaType: 'text/event-stream',
    },
    204: { description: 'Nothing follows the version in `Last-Event-ID`: do not come back.' },
  },
  refusals: UNPLACED,
} as const satisfies Operation;
