import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { Test } from 'supertest';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { eventually } from '../support/eventually.ts';
import { fillViews } from '../support/filled-views.ts';
import { postgresServer, temporalServer } from '../support/servers.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';
import { cart, type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;
type Dependency = 'platform' | 'order' | 'payment' | 'views' | 'bus' | 'temporal';

/** The longest that an answer may take: two of the waits that a request may make one after the other, on a busy machine. */
const BOUND_MS = 20_000;
const CHECKOUT = 'a checkout';
const ORDER = '/v1/orders/00000000-0000-4000-8000-000000000000';

/** Requests, and what each cannot do without. What is asked for does not exist, so that all of it has to be looked at. */
const REQUESTS: Readonly<Record<string, readonly [(api: OpenApi) => Test, readonly Dependency[]]>> = {
  [CHECKOUT]: [(api) => place(api), ['platform', 'temporal']],
  'an order': [(api) => admin(api, api.http.get(ORDER)), ['order', 'temporal', 'platform']],
  'its events': [(api) => admin(api, api.http.get(`${ORDER}/events`)), ['order', 'temporal', 'platform']],
  'its cancellation': [(api) => admin(api, api.http.post(`${ORDER}/cancel`)), ['order', 'temporal', 'platform']],
  'its refund': [
    (api) => admin(api, api.http.post(`${ORDER}/refunds`).set('Idempotency-Key', 'r').send({ reason: 'LOST' })),
    ['order'],
  ],
  'the list of orders': [(api) => admin(api, api.http.get('/v1/orders')), ['views']],
  'the catalogue': [(api) => api.http.get('/v1/products'), ['views']],
  'the sales': [(api) => admin(api, api.http.get('/v1/sales/daily')), ['views']],
  'a correction of stock': [
    (api) =>
      admin(api, api.http.post('/v1/inventory/adjustments').set('Idempotency-Key', randomUUID())).send({
        ...{ productId: '102', quantityChange: 1, reason: 'STOCKTAKE' },
      }),
    ['platform'],
  ],
  'dead letters': [(api) => admin(api, api.http.get('/v1/admin/dead-letters')), ['bus']],
  'what needs attention': [(api) => admin(api, api.http.get('/v1/admin/attention')), ['temporal']],
};

const admin = (api: OpenApi, test: Test): Test => test.set('Authorization', `Bearer ${api.tokens.admin}`);
const place = ({ http, tokens }: OpenApi): Test =>
  http
    .post('/v1/checkouts')
    .set({ Authorization: `Bearer ${tokens.customer}`, 'Idempotency-Key': randomUUID(), Prefer: 'respond-async' })
    .send(cart());

type Answered = Readonly<{ status: number; text: string; retryAfter: number; ms: number }>;
type Frozen = Readonly<{ before: Map<string, Answered>; during: Map<string, Answered>; ready: Body }>;

describe('while a dependency stands still, connections open and nothing said', function () {
  this.timeout(120_000);
  const runs = new Map<Dependency, Promise<Frozen>>();
  const DEPENDENCIES: readonly Dependency[] = ['platform', 'order', 'payment', 'views', 'bus', 'temporal'];
  /** One after the other they would take minutes, and all of it is waiting. */
  before(() => {
    for (const dependency of DEPENDENCIES) {
      const run = frozen(dependency);
      run.catch(() => undefined); // told by its test
      runs.set(dependency, run);
    }
  });
  after(() => Promise.allSettled(runs.values()));

  for (const dependency of DEPENDENCIES) {
    it(`(${dependency}) what needs it is answered 503 in bounded time, the rest goes on, and all of it works again`, async () => {
      const { before, during, ready } = (await runs.get(dependency)) ?? assert.fail('it was not run');
      for (const [what, [, needs]] of Object.entries(REQUESTS)) {
        const [well, now] = [before.get(what), during.get(what)];
        assert.ok(well !== undefined && now !== undefined && well.status < 500, `${what}: ${well?.text}`);
        assert.ok(now.ms < BOUND_MS, `${what} took ${now.ms} ms`);
        if (!needs.includes(dependency)) {
          assert.equal(now.status, well.status, `${what}: ${now.text}`);
          continue;
        }
        assert.equal(now.status, 503, `${what}: ${now.text}`);
        assert.match(now.text, /"TEMPORARILY_UNAVAILABLE"/);
        assert.ok(now.retryAfter > 0, what);
        assert.doesNotMatch(now.text, /prisma|postgres|grpc|127\.0\.0\.1/i, 'it tells how it is built');
      }
      const name = dependency === 'temporal' ? dependency : `${dependency}Database`;
      if (name in ready) assert.equal(ready[name], 'down');
    });
  }
});

/** What is answered before and while the way to a dependency swallows everything. Rejects unless all works again after it. */
async function frozen(dependency: Dependency): Promise<Frozen> {
  const { address } = await temporalServer();
  const isTemporal = dependency === 'temporal';
  const target = isTemporal ? address.split(':')[1] : new URL((await postgresServer()).adminUrl).port;
  const proxy = await tcpProxy(Number(target));
  const api = await openApi(
    isTemporal ? `127.0.0.1:${proxy.port}` : address,
    isTemporal ? {} : { ports: { [dependency]: proxy.port } },
  );
  const started = new Set<string>();
  const askAll = async (): Promise<Map<string, Answered>> => {
    const asked = Object.entries(REQUESTS).map(async ([what, [request]]) => {
      const since = performance.now();
      const res = await request(api);
      if (what === CHECKOUT && res.status === 202) started.add((res.body as { orderId: string }).orderId);
      const retryAfter = Number(res.headers['retry-after']);
      return [what, { status: res.status, text: res.text, retryAfter, ms: performance.now() - since }] as const;
    });
    return new Map(await Promise.all(asked));
  };
  try {
    await fillViews(api);
    const before = await askAll();
    proxy.swallow();
    const [during, readiness] = await Promise.all([askAll(), api.http.get('/readyz')]);
    proxy.spit();
    // A connection that was idle meanwhile is found dead by whoever is given it.
    await eventually('everything works again', async () => {
      const after = await askAll();
      return [...after].every(([what, { status }]) => status === before.get(what)?.status) ? true : undefined;
    });
    return { before, during, ready: (readiness.body as { dependencies: Body }).dependencies };
  } finally {
    // Another suite's workers on the same Temporal must not find them.
    for (const orderId of started) {
      await api.client.workflow.getHandle(checkoutWorkflowId(orderId)).terminate();
    }
    await api.close();
    await proxy.close();
  }
}
