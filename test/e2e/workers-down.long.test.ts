import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { type Child, startChild } from '../support/child.ts';
import { audited } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { leakedStock } from '../support/saga-facts.ts';
import { type Order, type ShopClient, shopClient } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const ORDERS = 100;
const CUSTOMERS = 20;
const LATE_ORDERS = 20;
/** A request waits 10 s for the placed answer and some seconds for Temporal; the rest is for two busy cores. */
const ANSWER_LIMIT_MS = 20_000;
const START_DEADLINE_MS = 2_000;
const items = [{ productId: '101', variantId: '1011', quantity: 1 }];

describe('checkouts that start while no worker runs', function () {
  this.timeout(240_000);
  let system: TestSystem;
  let buyers: string[];

  before(async () => {
    // A busy machine may need its time: only the second test is about starting too late.
    system = await startSystem({
      env: { RATE_LIMIT_PER_MINUTE: '100000', MAX_OPEN_CHECKOUTS: '1000', START_DEADLINE_MS: '600000' },
    });
    const ids = await system.query<{ id: string }>(
      'platform',
      `select id::text from users where status = 'ACTIVE' order by id limit ${CUSTOMERS}`,
    );
    buyers = await Promise.all(ids.map(({ id }) => system.tokenOf(id)));
    assert.equal(buyers.length, CUSTOMERS);
  });
  after(() => system.stop());

  const buyerOf = (i: number): string => buyers[i % CUSTOMERS] ?? '';
  const resultOf = (orderId: string): Promise<unknown> =>
    system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
  const count = async (database: 'platform' | 'order' | 'payment' | 'gateway', from: string, orderIds: string[]) => {
    const rows = await system.query<{ n: number }>(database, `select count(*)::int as n from ${from}`, [orderIds]);
    return rows[0]?.n;
  };
  const mustBeClean = async (): Promise<void> => {
    assert.deepEqual(await leakedStock(system), []);
    // The last webhooks may still be at work, and are then told as in progress.
    await eventually('the audit is clean', async () => {
      const { code, stdout, stderr } = await audited(system);
      assert.equal(code, 0, `${stdout}\n${stderr}`);
      return /^audit: clean$/m.test(stdout) ? stdout : undefined;
    });
  };
  /** Every answer with the time it took, milliseconds. */
  const placeAll = (shop: ShopClient, orders: readonly Order[]) =>
    Promise.all(
      orders.map(async (order) => {
        const since = performance.now();
        const answer = await shop.place(order);
        return { answer, tookMs: performance.now() - since };
      }),
    );
  const mustBeAccepted = (placed: Awaited<ReturnType<typeof placeAll>>): string[] => {
    const orderIds = placed.map(({ answer: { status, headers, body }, tookMs }) => {
      const orderId = String(body['orderId']);
      assert.deepEqual([status, headers.get('location')], [202, `/v1/orders/${orderId}`], JSON.stringify(body));
      assert.ok(tookMs < ANSWER_LIMIT_MS, `answered after ${tookMs} ms`);
      return orderId;
    });
    assert.equal(new Set(orderIds).size, placed.length, 'one order each');
    return orderIds;
  };

  it('are all answered 202 with their location in bounded time, and are all paid once workers run', async () => {
    const orderIds = mustBeAccepted(
      await placeAll(
        system.shop,
        Array.from({ length: ORDERS }, (_, i) => ({
          ...{ items, bearer: buyerOf(i) },
          ...(i % 2 === 0 && { prefer: 'respond-async' }),
        })),
      ),
    );
    assert.equal(await count('platform', 'inventory_orders where order_id = any($1)', orderIds), 0, 'nothing ran yet');

    const worker = await system.startWorkers();
    const results = await Promise.all(orderIds.map(resultOf));
    for (const result of results) assert.deepEqual(result, { status: 'COMPLETED' });
    assert.equal(await count('order', `orders where status = 'PAID' and id = any($1)`, orderIds), ORDERS);
    assert.equal(
      await count('gateway', `ledger_entries where type = 'CAPTURE' and order_id = any($1)`, orderIds),
      ORDERS,
    );
    await mustBeClean();
    assert.equal(await worker.stop(), 0);
  });

  it('are refused with START_DEADLINE_PASSED, also when they are repeated, once workers run too late', async () => {
    const env = { ...system.env, START_DEADLINE_MS: String(START_DEADLINE_MS) };
    const hasty = await startChild('api/server.ts', env);
    let worker: Child | undefined;
    try {
      const shop = shopClient(hasty.url, system.shop.tokens);
      const orders = Array.from({ length: LATE_ORDERS }, (_, i) => ({
        ...{ items, key: randomUUID(), bearer: buyerOf(i), prefer: 'respond-async' },
      }));
      const orderIds = mustBeAccepted(await placeAll(shop, orders));
      await sleep(START_DEADLINE_MS);

      worker = await system.startWorkers();
      for (const result of await Promise.all(orderIds.map(resultOf))) {
        assert.deepEqual(result, { status: 'REJECTED', code: 'START_DEADLINE_PASSED' });
      }
      const refused = `inventory_orders where state = 'REFUSED' and order_id = any($1)`;
      assert.equal(await count('platform', refused, orderIds), LATE_ORDERS);
      for (const [database, rows] of [
        ['platform', 'inventory_reservations where order_id = any($1)'],
        ['platform', 'inventory_events where reference_id = any($1::text[])'],
        ['order', 'orders where id = any($1)'],
        ['payment', 'payments where order_id = any($1)'],
        ['gateway', 'charges where order_id = any($1)'],
      ] as const) {
        assert.equal(await count(database, rows, orderIds), 0, rows);
      }

      for (const [i, order] of orders.entries()) {
        const { status, headers, body } = await shop.place(order);
        assert.deepEqual([status, body['code']], [409, 'START_DEADLINE_PASSED'], JSON.stringify(body));
        assert.equal(headers.get('idempotent-replayed'), 'true');
        assert.equal(body['instance'], `/v1/orders/${orderIds[i]}`);
      }
      await mustBeClean();
    } finally {
      await worker?.stop();
      await hasty.stop();
    }
  });
});
