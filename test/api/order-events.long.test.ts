import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { pino } from 'pino';

import { orderActivities } from '../../activities/orders/activities.ts';
import { createApp } from '../../api/app.ts';
import { orderFeedOf } from '../../api/order-feed.ts';
import { type ReadStream, readStream } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';
import { type OpenApi, openApi } from './open-api.ts';

const CLIENTS = 500;
const ORDERS = 25;
const ROUNDS = 4;
/** Those before fill caches and pools. */
const WARM_UP = 2;
/** Of what may be kept of each client of the later rounds, bytes: a stream that is not let go keeps more. */
const MOST_KEPT = 1_024;
/** Connections to databases come and go by themselves. */
const MOST_HANDLES = 30;

describe('five hundred readers of order events', function () {
  this.timeout(300_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi('127.0.0.1:1', { settings: { eventStreams: { perCaller: CLIENTS, perProcess: CLIENTS } } });
  });
  after(() => api.close());

  it('come and go, are all told what they wait for, and leave no socket, timer, place or memory behind', async () => {
    const feed = orderFeedOf(api.order, pino({ level: 'silent' }), { heardPollMs: 500, deafPollMs: 500 });
    const server = createServer(createApp({ ...api.deps, log: pino({ level: 'silent' }), orderFeed: feed }));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const left: { handles: number; heap: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await comeAndGo(url);
      await eventually('every socket is closed and no order is followed', async () => {
        const open = await promisify(server.getConnections.bind(server))();
        return open === 0 && feed.size === 0 ? true : undefined;
      });
      left.push(await atRest());
    }
    await new Promise((resolve) => server.close(resolve));
    const [first, ...later] = left.slice(WARM_UP - 1);
    assert.ok(first !== undefined);
    for (const { handles, heap } of later) {
      assert.ok(handles - first.handles < MOST_HANDLES, `${handles - first.handles} handles more`);
      assert.ok(heap - first.heap < CLIENTS * (ROUNDS - WARM_UP) * MOST_KEPT, `${heap - first.heap} bytes were kept`);
    }
  });

  /** A third goes before anything happens, a third is there when it does, a third comes again for it. */
  async function comeAndGo(url: string): Promise<void> {
    const orders = await Promise.all(Array.from({ length: ORDERS }, makeOrder));
    const open = async (n: number, headers: Record<string, string> = {}): Promise<ReadStream> => {
      const orderId = orders[n % ORDERS];
      const stream = await readStream(`${url}/v1/orders/${orderId}/events`, { token: api.tokens.customer, headers });
      assert.equal(stream.status, 200);
      return stream;
    };
    const streams = await Promise.all(Array.from({ length: CLIENTS }, (_, n) => open(n)));
    await Promise.all(streams.map((stream) => stream.has(1)));
    const going = streams.filter((_, n) => n % 3 !== 1);
    going.forEach((stream) => stream.close());
    await Promise.all(orders.map((orderId) => orderActivities(api).markOrderPaid({ orderId, paymentId: orderId })));
    const back = await Promise.all(
      streams.flatMap((_, n) =>
        n % 3 === 2 ? [eventually('there is a place', () => placeFor(() => open(n, SEEN)))] : [],
      ),
    );
    const stayed = streams.filter((_, n) => n % 3 === 1);
    for (const stream of stayed) assert.deepEqual((await stream.ends(), stream.ids), [1, 2]);
    for (const stream of back) assert.deepEqual((await stream.ends(), stream.ids), [2]);
  }

  async function makeOrder(): Promise<string> {
    const input = checkoutInput('1', []);
    await orderActivities(api).createOrder({ ...input, reservation: reservationOf(1) });
    return input.orderId;
  }
});

const SEEN = { 'last-event-id': '1' };

/** The server hears a moment later that a client has gone. */
const placeFor = (open: () => Promise<ReadStream>): Promise<ReadStream | undefined> =>
  open().catch((error: unknown) => {
    if (error instanceof assert.AssertionError && error.actual === 429) return undefined;
    throw error;
  });

/** What keeps this process alive, timers and sockets among them, and its heap. */
async function atRest(): Promise<{ handles: number; heap: number }> {
  for (let n = 0; n < 3; n += 1) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { handles: process.getActiveResourcesInfo().length, heap: process.memoryUsage().heapUsed };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
