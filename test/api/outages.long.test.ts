import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';

import type { Client } from '@temporalio/client';

import type { CheckoutInput } from '../../domain/checkout.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { startPostgres } from '../../infra/embedded/postgres.ts';
import { fillViews } from '../support/filled-views.ts';
import { serverFolder, temporalServer } from '../support/servers.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';
import { cart, type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;

const buy = (api: OpenApi, key: string = randomUUID(), prefer?: string, body: object = cart()) => {
  const headers = { Authorization: `Bearer ${api.tokens.customer}`, 'Idempotency-Key': key };
  const test = api.http.post('/v1/checkouts').set(headers);
  const sent = (prefer === undefined ? test : test.set('Prefer', prefer)).send(body);
  return sent.expect((res) => {
    if (res.status === 202) started.add((res.body as { orderId: string }).orderId);
  });
};

/** Checkouts that wait for a worker: another suite's workers on the same Temporal must not find them. */
const started = new Set<string>();
async function endStarted(client: Client): Promise<void> {
  for (const orderId of started) await client.workflow.getHandle(checkoutWorkflowId(orderId)).terminate();
  started.clear();
}

async function took<T>(work: () => PromiseLike<T>): Promise<readonly [T, number]> {
  const since = performance.now();
  return [await work(), performance.now() - since];
}

describe('while Temporal cannot be reached', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi(`127.0.0.1:${await freePort()}`);
    await fillViews(api);
  });
  after(() => api.close());

  it('a checkout is answered 503 with Retry-After, soon, because it certainly did not start', async () => {
    for (const prefer of [undefined, 'respond-async', 'wait=20']) {
      const [res, ms] = await took(() => buy(api, randomUUID(), prefer));
      assert.equal(res.status, 503, res.text);
      assert.equal((res.body as Body)['code'], 'TEMPORARILY_UNAVAILABLE');
      assert.ok(Number(res.headers['retry-after']) > 0);
      assert.ok(ms < 6_000, `${prefer}: ${ms} ms`);
    }
    assert.equal(await api.platform.inventoryOrder.count(), 0);
  });

  it('the catalogue and stock corrections work', async () => {
    assert.equal((await api.http.get('/v1/products/102')).status, 200);
    const adjusted = await api.http
      .post('/v1/inventory/adjustments')
      .set({ Authorization: `Bearer ${api.tokens.admin}`, 'Idempotency-Key': 'a' })
      .send({ productId: '102', quantityChange: 1, reason: 'STOCKTAKE' });
    assert.equal(adjusted.status, 201);
  });

  it('readiness names it, in bounded time, and the process itself is healthy', async () => {
    const [ready, ms] = await took(() => api.http.get('/readyz'));
    assert.equal(ready.status, 503);
    assert.deepEqual((ready.body as Body)['dependencies'], {
      platformDatabase: 'up',
      orderDatabase: 'up',
      paymentDatabase: 'up',
      viewsDatabase: 'up',
      temporal: 'down',
    });
    assert.ok(ms < 6_000, `${ms} ms`);
    assert.equal((await api.http.get('/healthz')).status, 200);
  });
});

describe('while no worker runs', function () {
  this.timeout(120_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi((await temporalServer()).address);
  });
  after(async () => {
    await endStarted(api.client);
    await api.close();
  });

  it('a checkout is answered 202 with its location, never 503, and its workflow waits for a worker', async () => {
    const key = randomUUID();
    const [res, ms] = await took(() => buy(api, key, undefined, cart({ items: [{ productId: '102', quantity: 3 }] })));
    assert.equal(res.status, 202, res.text);
    assert.ok(ms < 15_000, `${ms} ms`);
    const { orderId, orderNumber, status, links } = res.body as Body;
    assert.deepEqual([status, res.headers['location']], ['PENDING', `/v1/orders/${String(orderId)}`]);

    const workflowId = checkoutWorkflowId(String(orderId));
    assert.equal((links as Body)['temporal'], `http://temporal.test/namespaces/default/workflows/${workflowId}`);
    const handle = api.client.workflow.getHandle(workflowId);
    const found = await handle.describe();
    assert.deepEqual(
      [found.status.name, found.type, found.taskQueue, found.staticSummary && (await found.staticSummary())],
      ['RUNNING', 'checkout', 'checkout', orderNumber],
    );
    const attributes = Object.fromEntries(
      found.typedSearchAttributes.getAll().map((pair) => [pair.key.name, pair.value] as const),
    );
    assert.deepEqual([attributes['CustomerId'], attributes['CheckoutStatus']], ['1', 'RESERVING']);
    const history = await handle.fetchHistory();
    const payload = history.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
    const input = JSON.parse(Buffer.from(payload ?? []).toString()) as CheckoutInput;
    assert.deepEqual(input.lines, [
      { lineNo: 1, productId: '102', variantId: null, quantity: 3, locationCode: 'MAIN' },
    ]);
    assert.deepEqual([input.customerId, input.payment], ['1', { method: 'card', token: 'tok_ok' }]);
    assert.ok(Date.parse(input.startDeadline) > Date.now());
  });

  it('asynchronously it is answered at once, and the same key joins the same checkout', async () => {
    const key = randomUUID();
    const [first, ms] = await took(() => buy(api, key, 'respond-async'));
    assert.deepEqual([first.status, first.headers['preference-applied']], [202, 'respond-async']);
    assert.ok(ms < 3_000, `${ms} ms`);
    const { orderId } = first.body as { orderId: string };
    const described = () => api.client.workflow.getHandle(checkoutWorkflowId(orderId)).describe();
    const { runId } = await described();
    const again = await buy(api, `"${key}"`, 'respond-async');
    assert.deepEqual(again.body, first.body);
    const after = await described();
    assert.deepEqual([after.runId, after.status.name], [runId, 'RUNNING'], 'one request, two runs');
  });

  it('waiting for the end is given up when the time is over', async () => {
    const [res, ms] = await took(() => buy(api, randomUUID(), 'wait=1'));
    assert.deepEqual([res.status, res.headers['preference-applied']], [202, 'wait=1']);
    assert.ok(ms < 3_000, `${ms} ms`);
  });

  it('the owner can follow a checkout that has made no order yet; for others it does not exist', async () => {
    const { orderId } = (await buy(api, randomUUID(), 'respond-async')).body as { orderId: string };
    const look = (token: string) => api.http.get(`/v1/orders/${orderId}`).set('Authorization', `Bearer ${token}`);
    const own = await look(api.tokens.customer);
    assert.deepEqual([own.status, (own.body as Body)['status'], own.headers['retry-after']], [202, 'PENDING', '1']);
    assert.equal((await look(api.tokens.otherCustomer)).status, 404);
    assert.equal((await look(api.tokens.admin)).status, 202);

    const cancel = api.http.post(`/v1/orders/${orderId}/cancel`);
    assert.equal((await cancel.set('Authorization', `Bearer ${api.tokens.otherCustomer}`)).status, 404);
  });
});

describe('when the connection to Temporal breaks after the request was sent', function () {
  this.timeout(60_000);

  it('a checkout is answered 202, because it has started', async () => {
    const { address } = await temporalServer();
    const proxy = await tcpProxy(Number(address.split(':')[1]));
    const api = await openApi(`127.0.0.1:${proxy.port}`);
    const direct = await openApi(address);
    try {
      assert.equal((await api.http.get('/readyz')).status, 200);
      const muted = proxy.muteAfter('placed:');
      const [[res, ms]] = await Promise.all([took(() => buy(api)), muted]);
      assert.equal(res.status, 202, res.text);
      assert.ok(ms < 16_000, `${ms} ms`);
      const { orderId } = res.body as { orderId: string };
      const handle = direct.client.workflow.getHandle(checkoutWorkflowId(orderId));
      assert.equal((await handle.describe()).status.name, 'RUNNING');
    } finally {
      await endStarted(direct.client);
      await api.close();
      await direct.close();
      await proxy.close();
    }
  });
});

describe('while PostgreSQL is away', function () {
  this.timeout(120_000);

  for (const [how, away] of [
    ['stopped', (server: Server) => server.stop()],
    ['frozen', (server: Server) => signalAll(server, 'SIGSTOP')],
  ] as const) {
    it(`everything that needs it is answered 503 in bounded time (${how})`, async () => {
      const folder = await serverFolder();
      const server = await startPostgres({ dataDir: folder, port: 0, settings: { fsync: 'off' } });
      const api = await openApi((await temporalServer()).address, { platformUrl: server.adminUrl });
      try {
        const before = (await api.http.get('/readyz')).body as Body;
        assert.equal((before['dependencies'] as Body)['platformDatabase'], 'up');
        await away(server);

        const [ready, readyMs] = await took(() => api.http.get('/readyz'));
        assert.equal(ready.status, 503);
        assert.deepEqual((ready.body as Body)['dependencies'], {
          platformDatabase: 'down',
          orderDatabase: 'up',
          paymentDatabase: 'up',
          viewsDatabase: 'up',
          temporal: 'up',
        });
        assert.ok(readyMs < 4_000, `${readyMs} ms`);

        const rename = () =>
          api.http
            .patch('/v1/products/102')
            .set('Authorization', `Bearer ${api.tokens.admin}`)
            .send({ name: 'Coaster' });
        for (const request of [rename, () => buy(api)]) {
          const [res, ms] = await took(request);
          assert.equal(res.status, 503, res.text);
          assert.equal((res.body as Body)['code'], 'TEMPORARILY_UNAVAILABLE');
          assert.ok(Number(res.headers['retry-after']) > 0);
          assert.ok(ms < 12_000, `${ms} ms`);
          assert.doesNotMatch(res.text, /prisma|postgres|127\.0\.0\.1/i, 'it tells how it is built');
        }
        assert.equal((await api.http.get('/v1/products')).status, 200, 'the views have a database of their own');
      } finally {
        if (how === 'frozen') await signalAll(server, 'SIGCONT');
        await api.close();
        await server.stop();
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
});

/** Every process of a server has a group of its own, so each is signalled by itself. */
async function signalAll({ pid }: Server, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  const { stdout } = await promisify(execFile)('pgrep', ['-P', String(pid)]);
  for (const id of [pid, ...stdout.trim().split('\n')]) process.kill(Number(id), signal);
}

type Server = Awaited<ReturnType<typeof startPostgres>>;
