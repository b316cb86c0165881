import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { builtFolder } from '../support/built.ts';
import { compose, type Composed } from '../support/composed.ts';
import { eventually } from '../support/eventually.ts';
import { type ShopClient, shopClient } from '../support/shop-client.ts';

const START_LIMIT_MS = 10 * 60_000;
const PAID_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 120_000;

const ONE_MUG = [{ productId: '101', variantId: '1011', quantity: 1 }];

describe('the services of docker-compose.yml, as processes of the build', () => {
  let folder: string;
  let system: Composed;
  let shop: ShopClient;

  before(async function () {
    this.timeout(START_LIMIT_MS);
    folder = mkdtempSync(join(tmpdir(), 'commerce-saga-test-'));
    cpSync(await builtFolder(), folder, { recursive: true, verbatimSymlinks: true });
    // Without it nobody can bundle the workflows: whoever runs them has taken the bundle that was built.
    rmSync(join(folder, 'dist', 'workflows', 'index.js'));
    system = await compose(folder);
    await system.up('workers');
    await system.up('events');
    await system.up('api');
    const token = async (sub: string, role: string): Promise<string> => {
      const command = ['node', 'dist/cli/token.js', '--sub', sub, '--role', role];
      const { code, output } = await system.run('api', { command });
      assert.equal(code, 0, output);
      return output;
    };
    const customer = await token('1', 'customer');
    const tokens = { customer, otherCustomer: customer, admin: await token('100', 'admin') };
    shop = shopClient(`http://127.0.0.1:${system.env('api')['PORT']}`, tokens);
  });
  after(async function () {
    this.timeout(STOP_LIMIT_MS);
    await system.down();
    rmSync(folder, { recursive: true, force: true });
  });

  const payOne = async (): Promise<void> => {
    const { status, body } = await shop.place({ items: ONE_MUG, prefer: 'wait=30' });
    assert.equal(body['status'], 'PAID', `${status} ${JSON.stringify(body)}\n${system.output('workers')}`);
  };

  it('are ready, and sell', async function () {
    this.timeout(PAID_LIMIT_MS);
    const { status, body } = await shop.call('GET', '/readyz');
    assert.deepEqual([status, body['status']], [200, 'ready']);
    await payOne();
  });

  it('hand the events of what was sold to the bus, from every outbox, and bring them to the views', async () => {
    const { METRICS_PORT: port } = system.env('events');
    const metrics = await eventually('nothing waits', async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      return text.match(/^outbox_unpublished\{.*\} 0$/gm)?.length === 3 ? text : undefined;
    });
    for (const service of ['platform', 'order', 'payment'])
      assert.match(metrics, new RegExp(`^outbox_published_total\\{service="${service}"\\} [1-9]`, 'm'));
    await eventually('the order is in the views', async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      return /^projection_applied_events_total\{view="sales"\} [1-9]/m.test(text) ? true : undefined;
    });
  });

  it('hear from the gateway that a transfer has come', async function () {
    this.timeout(PAID_LIMIT_MS);
    const { body } = await shop.place({ items: ONE_MUG, payment: { method: 'bank_transfer' } });
    const orderId = String(body['orderId']);
    const account = await eventually('the order can be paid', async () => {
      const order = (await shop.order(orderId)).body as { payment: { instructions: { account: string } | null } };
      return order.payment.instructions?.account;
    });
    const transferred = await fetch(`http://127.0.0.1:${system.env('gateway')['GATEWAY_PORT']}/transfers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ account }),
    });
    assert.equal(transferred.status, 200, await transferred.text());
    await eventually('the order is paid', async () =>
      (await shop.order(orderId)).body['status'] === 'PAID' ? true : undefined,
    );
  });

  it('link an order to Temporal Web where a browser on the machine finds it', async () => {
    const { body } = await shop.place({ items: ONE_MUG });
    assert.match(
      JSON.stringify(body['links']),
      /"temporal":"http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\//,
    );
  });

  it('keep what is there when everything is brought up again', async function () {
    this.timeout(PAID_LIMIT_MS);
    const { code, output } = await system.run('migrate');
    assert.equal(code, 0, output);
    assert.doesNotMatch(output, /created|applied/);
    assert.match(output, /holds data already/);
    assert.equal((await shop.call('GET', '/readyz')).status, 200);
  });

  it('end with 0 when they are stopped, and sell again with one process for each worker and its own credentials alone', async function () {
    this.timeout(PAID_LIMIT_MS + STOP_LIMIT_MS);
    for (const name of ['workers', 'events']) {
      const { code, output } = await system.stop(name);
      assert.equal(code, 0, `${name}\n${output}`);
    }

    const urls = ['PLATFORM_DATABASE_URL', 'ORDER_DATABASE_URL', 'PAYMENT_DATABASE_URL', 'GATEWAY_URL'];
    const own = {
      'checkout-worker': [],
      'inventory-worker': ['PLATFORM_DATABASE_URL'],
      'order-worker': ['ORDER_DATABASE_URL'],
      'payment-worker': ['PAYMENT_DATABASE_URL', 'GATEWAY_URL'],
    };
    for (const [name, needed] of Object.entries<string[]>(own)) {
      const without = urls.filter((url) => !needed.includes(url));
      system.start(name, 'workers', ['node', 'dist/workers/main.js', name], without);
    }
    await payOne();
    for (const name of Object.keys(own)) {
      const ended = await system.stop(name);
      assert.equal(ended.code, 0, `${name}\n${ended.output}`);
    }
    for (const name of ['api', 'gateway']) {
      const ended = await system.stop(name);
      assert.equal(ended.code, 0, `${name}\n${ended.output}`);
    }
  });
});
