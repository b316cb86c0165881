import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { pino } from 'pino';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { orderActivities } from '../../activities/orders/activities.ts';
import { orderMoneyActivities } from '../../activities/orders/money-activities.ts';
import { createApp } from '../../api/app.ts';
import { stateEvent } from '../../api/contract/live.ts';
import { followOrderChanges, orderFeedOf } from '../../api/order-feed.ts';
import type { CheckoutInput } from '../../domain/checkout.ts';
import { signToken } from '../../infra/tokens.ts';
import { readStream, type StreamRequest } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { fillViews } from '../support/filled-views.ts';
import { temporalServer } from '../support/servers.ts';
import { checkoutInput, makeItem, reservationOf } from '../support/shop.ts';
import { type OpenApi, openApi } from './open-api.ts';

const NEVER_MS = 3_600_000;
const CLOSED = { status: 'REJECTED', refusal: { code: 'PAYMENT_DECLINED', message: 'the card was declined' } } as const;

/** No checkout runs here: the steps of the services are called as its workflow does. */
describe('the events of an order', function () {
  this.timeout(60_000);
  let api: OpenApi;
  const closes: (() => Promise<unknown>)[] = [];
  before(async () => {
    api = await openApi((await temporalServer()).address, {
      settings: { eventStreams: { perCaller: 4, perProcess: 100 } },
    });
  });
  afterEach(() => Promise.all(closes.splice(0).map((close) => close())));
  after(() => api.close());

  /** An API process on the same databases; `woken`: by notifications alone, otherwise by its own looks alone. */
  const start = async ({ woken = false } = {}) => {
    const log = pino({ level: 'silent' });
    const stopping = new AbortController();
    const pollMs = woken ? NEVER_MS : 20;
    const orderFeed = orderFeedOf(api.order, log, { heardPollMs: pollMs, deafPollMs: pollMs });
    const server = createServer(createApp({ ...api.deps, orderFeed, stopping: stopping.signal }));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const listener = woken ? followOrderChanges(api.urls.views, orderFeed, log) : undefined;
    const stop = async () => {
      stopping.abort();
      await new Promise((resolve) => server.close(resolve));
      await listener?.close();
    };
    closes.push(stop);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const read = ({ orderId }: Ordered, { query = '', token = api.tokens.customer, ...more }: Asked = {}) =>
      readStream(`${url}/v1/orders/${orderId}/events${query}`, { token, ...more });
    return { stop, read, feed: orderFeed };
  };

  const order = async (): Promise<CheckoutInput> => {
    const input = checkoutInput('1', []);
    await create(input);
    return input;
  };
  const create = (input: CheckoutInput) =>
    orderActivities({ order: api.order }).createOrder({ ...input, reservation: reservationOf(2) });
  const pay = ({ orderId }: Ordered) =>
    orderActivities({ order: api.order }).markOrderPaid({ orderId, paymentId: randomUUID() });
  const decline = ({ orderId }: Ordered) => orderActivities({ order: api.order }).closeOrder({ orderId, end: CLOSED });
  const refund = ({ orderId }: Ordered, minor: number) =>
    orderMoneyActivities({ order: api.order }).recordRefund({
      ...{ orderId, refundId: randomUUID(), amount: { minor, currency: 'KRW' }, reason: 'a secret', by: '100' },
    });
  const note = ({ orderId }: Ordered) =>
    orderActivities({ order: api.order }).recordResolution({
      ...{ orderId, resolutionId: randomUUID(), steps: ['commitStock'], action: 'retry', reason: 'counted', by: '7' },
    });

  it('tell each state as it comes, notes none, and end when the checkout is over', async () => {
    const { read } = await start();
    const made = await order();
    const streams = await Promise.all([read(made), read(made, { token: api.tokens.admin })]);
    await Promise.all(streams.map((stream) => stream.has(1)));
    await note(made);
    await pay(made);
    for (const stream of streams) {
      const events = await stream.ends();
      assert.deepEqual(
        events.map(({ id, event }) => [id, event]),
        [
          ['1', 'state'],
          ['2', 'state'],
        ],
      );
      const data = events.map((event) => stateEvent.strict().parse(event.data));
      assert.deepEqual(
        data.map(({ orderId, version, status, failure, last }) => [orderId, version, status, failure, last]),
        [
          [made.orderId, 1, 'PENDING', null, false],
          [made.orderId, 2, 'PAID', null, true],
        ],
      );
    }
  });

  it('tell why an order failed', async () => {
    const { read } = await start();
    const made = await order();
    await decline(made);
    const events = await (await read(made)).ends();
    assert.deepEqual(
      events.map(({ data }) => [data['status'], data['failure']]),
      [
        ['PENDING', null],
        ['FAILED', { code: 'PAYMENT_DECLINED' }],
      ],
    );
  });

  it('go on for refunds where that was asked for, and tell no word of those who made them', async () => {
    const { read } = await start();
    const made = await order();
    await pay(made);
    const stream = await read(made, { query: '?until=final' });
    await stream.has(2);
    await refund(made, 500);
    await stream.has(3);
    await refund(made, 1_500);
    const events = await stream.ends();
    assert.deepEqual(
      events.map(({ data }) => data['status']),
      ['PENDING', 'PAID', 'PARTIALLY_REFUNDED', 'REFUNDED'],
    );
    assert.deepEqual(
      events.map(({ data }) => data['last']),
      [false, false, false, true],
    );
    assert.doesNotMatch(stream.text, /secret|operator/);
  });

  it('come at once when the view has applied them, by one connection for all streams', async () => {
    const { read } = await start({ woken: true });
    const made = await Promise.all([order(), order()]);
    const streams = await Promise.all(made.map((one) => read(one)));
    await Promise.all(streams.map((stream) => stream.has(1)));
    await fillViews(api);
    for (const one of made) await pay(one);
    await fillViews(api);
    for (const stream of streams) assert.deepEqual((await stream.ends()).at(-1)?.data['status'], 'PAID');
    const [listeners] = await api.views.$queryRaw<{ n: bigint }[]>`
      select count(*) as n from pg_stat_activity
      where datname = current_database() and query like 'listen %orders_changed%'`;
    assert.equal(listeners?.n, 1n);
  });

  it('are told once each and in order to a reader who comes back, whichever process answers and however often', async () => {
    let apis = [await start(), await start({ woken: true })];
    const made = await order();
    await pay(made);
    const told: number[] = [];
    const refunds = (async () => {
      for (let n = 0; n < 40; n += 1) await refund(made, 50);
    })();
    for (let round = 0; told.at(-1) !== 42; round += 1) {
      const [turn] = apis;
      assert.ok(turn !== undefined && round < 100);
      const last = told.at(-1);
      const headers: Record<string, string> = last === undefined ? {} : { 'last-event-id': String(last) };
      const stream = await turn.read(made, { query: '?until=final', headers });
      assert.equal(stream.status, 200);
      await stream.has(1);
      if (round % 3 === 0) await turn.stop();
      else stream.close();
      told.push(...(await stream.ends()).map(({ id }) => Number(id)));
      apis = [...apis.slice(1), round % 3 === 0 ? await start() : turn];
    }
    await refunds;
    assert.deepEqual(
      told,
      Array.from({ length: 42 }, (_, index) => index + 1),
    );
  });

  it('say that nothing follows to whoever has seen the end, and what is wrong with an id that is none', async () => {
    const { read } = await start();
    const made = await order();
    await pay(made);
    const after = async (id: string, query = ''): Promise<number> => {
      const stream = await read(made, { query, headers: { 'last-event-id': id } });
      stream.close();
      return stream.status;
    };
    assert.equal(await after('2'), 204);
    assert.equal(await after('2', '?until=final'), 200);
    assert.equal(await after('1'), 200);
    for (const wrong of ['3', '-1', '1.5', 'one', '9'.repeat(16), '1, 2']) assert.equal(await after(wrong), 400, wrong);
    assert.equal(await after('1', '?until=never'), 422);
    assert.equal(await after('1', '?token=x'), 422);
    const head = await read(made, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-type']], [200, 'text/event-stream; charset=utf-8']);
    assert.deepEqual(await head.ends(), []);
  });

  it('are nothing that a stranger could tell from an order that does not exist', async () => {
    const { read } = await start();
    const made = await order();
    const strangers = [read(made, { token: api.tokens.otherCustomer }), read({ orderId: randomUUID() })];
    for (const stream of await Promise.all([...strangers, read({ orderId: 'no-id' })])) {
      await stream.ends();
      assert.deepEqual(
        [stream.status, stream.headers['content-type']],
        [404, 'application/problem+json; charset=utf-8'],
      );
      assert.doesNotMatch(stream.text, /retry:|event:/);
    }
    assert.equal((await read(made, { token: '' })).status, 401);
  });

  it('are limited to so many streams of a caller', async () => {
    const { read } = await start();
    const made = await order();
    const streams = await Promise.all(Array.from({ length: 4 }, () => read(made)));
    const fifth = await read(made);
    await fifth.ends();
    assert.deepEqual([fifth.status, fifth.headers['retry-after']], [429, '10']);
    assert.match(fifth.text, /TOO_MANY_REQUESTS/);
    assert.equal((await read(made, { token: api.tokens.admin })).status, 200);
    streams.forEach((stream) => stream.close());
    await eventually('there is room again', async () => ((await read(made)).status === 200 ? true : undefined));
  });

  it('end with the token that asked for them', async () => {
    const { read, feed } = await start();
    const token = await signToken(api.config, { sub: '1', role: 'customer', expires: '2s' });
    const stream = await read(await order(), { token });
    assert.equal(stream.status, 200);
    assert.deepEqual(
      (await stream.ends()).map(({ data }) => data['last']),
      [false],
    );
    assert.equal(feed.size, 0);
  });

  it('keep Temporal from nobody when many ask for the whole story at once', async () => {
    const { orderId } = await order();
    const service = api.client.workflowService;
    const real = service.getWorkflowExecutionHistory.bind(service);
    let now = 0;
    let most = 0;
    let asked = 0;
    service.getWorkflowExecutionHistory = (async (request: Parameters<typeof real>[0]) => {
      asked += 1;
      most = Math.max(most, (now += 1));
      return real(request).finally(() => (now -= 1));
    }) as typeof service.getWorkflowExecutionHistory;
    try {
      const tell = async (token: string) =>
        (await api.http.get(`/v1/orders/${orderId}/story`).set('Authorization', `Bearer ${token}`)).status;
      const { customer, admin } = api.tokens; // of one caller at most four are told at a time
      const tokens = Array.from({ length: 4 }, () => [customer, admin]).flat();
      assert.deepEqual([...new Set(await Promise.all(tokens.map(tell)))], [200]);
      assert.ok(asked >= 16 && most <= 8, `${most} of ${asked} at once`);
    } finally {
      Reflect.deleteProperty(service, 'getWorkflowExecutionHistory');
    }
  });

  it('can be waited for before the order is made', async () => {
    const { read } = await start();
    const input = await reserved();
    const stream = await read(input);
    assert.equal(stream.status, 200);
    assert.deepEqual(stream.events, []);
    await create(input);
    await stream.has(1);
    await pay(input);
    assert.deepEqual((await stream.ends(), stream.ids), [1, 2]);
  });

  it('end with the refusal of an order that will never be made', async () => {
    const { read } = await start();
    const input = await reserved();
    const stream = await read(input);
    await inventory().releaseStock({ ...input, unplaced: null });
    const [event, ...others] = await stream.ends();
    assert.deepEqual([event?.event, event?.id, others], ['refused', undefined, []]);
    assert.deepEqual(
      [event?.data['orderId'], event?.data['code'], event?.data['last']],
      [input.orderId, 'CHECKOUT_ABANDONED', true],
    );
    const late = await read(input);
    await late.ends();
    assert.equal(late.status, 409);
    assert.match(late.text, /CHECKOUT_ABANDONED/);
  });

  const inventory = () =>
    inventoryActivities({
      platform: api.platform,
      limits: { maxOpenCheckouts: 100, maxUnitsPerProduct: 100 },
      holdMs: { card: 60_000, bank_transfer: 60_000 },
    });
  const reserved = async (): Promise<CheckoutInput> => {
    const input = checkoutInput('1', [{ item: await makeItem(api.platform), quantity: 1 }]);
    await inventory().reserveStock(input);
    return input;
  };
});

type Ordered = Readonly<{ orderId: string }>;
type Asked = StreamRequest & Readonly<{ query?: string }>;
