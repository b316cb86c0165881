import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { type Child, startChild } from '../support/child.ts';
import { audited } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { type Answer, type ShopClient, shopClient } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const SHOPPERS = 2;
/** What the workers get done meanwhile. */
const PAUSE_MS = 100;
const READERS = 2;
const items = [{ productId: '102', quantity: 1 }];

/** The balancer needs a moment to notice, and must never have sent a request that nobody takes. */
const LEAVING = { SHUTDOWN_DELAY_MS: '1500' };

describe('a rolling restart of two API processes behind a balancer', function () {
  this.timeout(180_000);
  let system: TestSystem;
  let balancer: Balancer;
  const apis: Child[] = [];
  before(async () => {
    system = await startSystem({ env: { RATE_LIMIT_PER_MINUTE: '100000', MAX_OPEN_CHECKOUTS: '1000' } });
    await Promise.all([system.startWorkers(), system.startEvents()]);
    balancer = await startBalancer();
  });
  after(async () => {
    await balancer.close();
    await Promise.all(apis.map((api) => api.stop()));
    await system.stop();
  });

  const join = async (): Promise<Child> => {
    const api = await startChild('api/server.ts', { ...system.env, ...LEAVING });
    apis.push(api);
    balancer.add(api.url);
    await eventually('the balancer uses it', () => Promise.resolve(balancer.uses(api.url) ? true : undefined));
    return api;
  };
  /** Places orders, or reads the catalogue and an order, one after the other until it is told to stop. */
  const busy = async (
    shop: ShopClient,
    work: (shop: ShopClient) => Promise<Answer>,
    until: AbortSignal,
  ): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (; !until.aborted; await sleep(PAUSE_MS)) answers.push(await work(shop));
    return answers;
  };

  it('loses no request: each is answered, each order is made once and paid, and the books agree', async () => {
    const before = [await join(), await join()];
    await eventually('the catalogue is there', async () =>
      (await fetch(new URL('/v1/products/102', balancer.url))).ok ? true : undefined,
    );
    const shop = shopClient(balancer.url, system.shop.tokens);
    const first = await shop.place({ items });
    const known = String(first.body['orderId']);
    const enough = new AbortController();
    const placing = Array.from({ length: SHOPPERS }, () => busy(shop, (s) => s.place({ items }), enough.signal));
    const reading = Array.from({ length: READERS }, (_, i) =>
      busy(shop, (s) => (i === 0 ? s.order(known) : s.call('GET', '/v1/products/102')), enough.signal),
    );

    try {
      for (const old of before) {
        const replacement = await join();
        assert.equal(await old.stop(), 0, old.output());
        assert.ok(!balancer.uses(old.url) && balancer.uses(replacement.url));
      }
    } finally {
      enough.abort();
    }

    const placed = (await Promise.all(placing)).flat();
    const read = (await Promise.all(reading)).flat();
    const lost = [
      ...placed.filter(({ status }) => status !== 201 && status !== 202),
      ...read.filter(({ status }) => status !== 200),
    ];
    assert.deepEqual(
      lost.map(({ status, body }) => [status, body]),
      [],
      `of ${placed.length} checkouts and ${read.length} reads`,
    );
    assert.ok(
      placed.length > 20 && read.length > 20,
      `${placed.length} checkouts and ${read.length} reads are no load`,
    );

    const orderIds = [first, ...placed].map(({ body }) => String(body['orderId']));
    assert.equal(new Set(orderIds).size, orderIds.length, 'two requests, one order');
    for (const orderId of orderIds) {
      const ended: unknown = await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
      assert.deepEqual(ended, { status: 'COMPLETED' });
    }
    const rows = await system.query<{ n: number; known: number }>(
      'order',
      `select count(*)::int as n, count(*) filter (where status = 'PAID' and id = any($1))::int as known from orders`,
      [orderIds],
    );
    assert.deepEqual(rows, [{ n: orderIds.length, known: orderIds.length }], 'an order that nobody was told of');
    const { code, stdout, stderr } = await audited(system);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
  });
});
