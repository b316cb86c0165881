import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { orderActivities } from '../../activities/orders/activities.ts';
import { refundWorkflowId } from '../../domain/workflow-ids.ts';
import { refundIdFor } from '../../events/ids.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { temporalServer } from '../support/servers.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';
import { type OpenApi, openApi } from './open-api.ts';

/** `sub` of the administrator's token. */
const ADMIN = '100';
const BOUND_MS = 12_000;
const FULL = { reason: 'RETURNED' };

type Body = Readonly<Record<string, unknown>>;

/** An order of the first customer, made by the steps of the order service: no checkout runs here. */
async function makeOrder(api: OpenApi): Promise<string> {
  const input = checkoutInput('1', []);
  await orderActivities({ order: api.order }).createOrder({ ...input, reservation: reservationOf(2) });
  return input.orderId;
}

const ask = (api: OpenApi, orderId: string, body: string | object, key: string | null = randomUUID()) => {
  const test = api.http
    .post(`/v1/orders/${orderId}/refunds`)
    .set({ Authorization: `Bearer ${api.tokens.admin}`, 'Content-Type': 'application/json' });
  if (key !== null) test.set('Idempotency-Key', key);
  return test.send(typeof body === 'string' ? body : JSON.stringify(body));
};

const workflowOf = (orderId: string, key: string): string => refundWorkflowId(refundIdFor(orderId, ADMIN, key));

describe('a refund is refused before anything starts', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let orderId: string;
  before(async () => {
    api = await openApi((await temporalServer()).address);
    orderId = await makeOrder(api);
  });
  after(() => api.close());

  const refused = async (work: ReturnType<typeof ask>, status: number, code: string, about = '') => {
    const res = await work;
    assert.deepEqual([res.status, (JSON.parse(res.text) as Body)['code']], [status, code], `${about} ${res.text}`);
    return res;
  };

  it('to strangers and customers, its owner too', async () => {
    const path = `/v1/orders/${orderId}/refunds`;
    assert.equal((await api.http.post(path).send(FULL)).status, 401);
    for (const token of [api.tokens.customer, api.tokens.otherCustomer]) {
      assert.equal((await api.http.post(path).set('Authorization', `Bearer ${token}`).send(FULL)).status, 403);
    }
  });

  it('without a usable key, and for bodies that are not JSON or too large', async () => {
    await refused(ask(api, orderId, FULL, null), 400, 'IDEMPOTENCY_KEY_MISSING');
    await refused(ask(api, orderId, FULL, 'k'.repeat(256)), 400, 'MALFORMED_REQUEST');
    await refused(ask(api, orderId, '{"reason":'), 400, 'MALFORMED_REQUEST');
    await refused(ask(api, orderId, { reason: 'x'.repeat(65_537) }), 413, 'PAYLOAD_TOO_LARGE');
  });

  it('for every field that is missing, unknown or out of range, and says which', async () => {
    const line = { lineNo: 1, quantity: 1 };
    const bad: Readonly<Record<string, object>> = {
      '/reason': {},
      '/reason ': { reason: '' },
      '/reason  ': { reason: '   ' },
      '/reason   ': { reason: 'x'.repeat(101) },
      '/reason    ': { reason: 'a\u0000b' },
      '/reason     ': { reason: 'a\ud800b' },
      '/amount': { ...FULL, amount: 5 },
      '/amount/minor': { ...FULL, amount: { minor: 0, currency: 'KRW' } },
      '/amount/minor ': { ...FULL, amount: { minor: -5, currency: 'KRW' } },
      '/amount/minor  ': { ...FULL, amount: { minor: 1.5, currency: 'KRW' } },
      '/amount/minor   ': { ...FULL, amount: { minor: 2 ** 53, currency: 'KRW' } },
      '/amount/currency': { ...FULL, amount: { minor: 1, currency: 'won' } },
      '/lines': { ...FULL, lines: [line, { ...line, quantity: 2 }] },
      '/lines ': { ...FULL, lines: Array.from({ length: 201 }, (_, i) => ({ lineNo: i + 1, quantity: 1 })) },
      '/lines/0/lineNo': { ...FULL, lines: [{ ...line, lineNo: 0 }] },
      '/lines/0/quantity': { ...FULL, lines: [{ ...line, quantity: 0 }] },
      '/lines/0/restock': { ...FULL, lines: [{ ...line, restock: 'yes' }] },
      '/lines/0': { ...FULL, lines: [{ ...line, unitPrice: 1 }] },
      '/': { ...FULL, by: '7' },
      '/ ': { ...FULL, refundId: randomUUID() },
    };
    for (const [where, body] of Object.entries(bad)) {
      const res = await refused(ask(api, orderId, body), 422, 'INVALID_REQUEST', where);
      const { errors } = JSON.parse(res.text) as { errors: { pointer: string }[] };
      assert.ok(
        errors.some(({ pointer }) => pointer === where.trim()),
        `${where}: ${res.text}`,
      );
    }
  });

  it('for an order that does not exist, of which no workflow hears', async () => {
    const [nobody, key] = [randomUUID(), randomUUID()];
    await refused(ask(api, nobody, FULL, key), 404, 'NOT_FOUND');
    await refused(ask(api, 'no-order', FULL, key), 404, 'NOT_FOUND');
    await assert.rejects(api.client.workflow.getHandle(workflowOf(nobody, key)).describe(), {
      name: 'WorkflowNotFoundError',
    });
  });

  it('with 503 while Temporal cannot be reached, in bounded time', async () => {
    const lost = await openApi(`127.0.0.1:${await freePort()}`);
    try {
      const order = await makeOrder(lost);
      const since = Date.now();
      const res = await ask(lost, order, FULL);
      assert.deepEqual([res.status, res.headers['retry-after']], [503, '5']);
      assert.ok(Date.now() - since < BOUND_MS, `it took ${Date.now() - since} ms`);
    } finally {
      await lost.close();
    }
  });
});

describe('a refund whose record cannot be read', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let proxy: TcpProxy;
  let api: OpenApi;
  const keys: [string, string][] = [];
  before(async () => {
    databases = await freshDatabases();
    const url = new URL(databases.urls.payment);
    proxy = await tcpProxy(Number(url.port));
    url.port = String(proxy.port);
    api = await openApi((await temporalServer()).address, { paymentUrl: url.href });
  });
  after(async () => {
    for (const [orderId, key] of keys) await api.client.workflow.getHandle(workflowOf(orderId, key)).terminate();
    await api.close();
    await proxy.close();
    await databases.drop();
  });

  it('is answered 503 when it has not started, and 202 when it has: no worker is there to put it on record', async () => {
    const orderId = await makeOrder(api);
    const [key, fresh] = [randomUUID(), randomUUID()];
    keys.push([orderId, key]);
    const first = await ask(api, orderId, FULL, key);
    assert.deepEqual([first.status, first.headers['idempotent-replayed']], [202, undefined]);
    const { refundId, ...rest } = first.body as Body;
    assert.equal(refundId, refundIdFor(orderId, ADMIN, key));
    assert.deepEqual(rest, { status: 'PENDING', failureCode: null, amount: null });

    proxy.cutOff();
    const again = await ask(api, orderId, FULL, key);
    assert.deepEqual([again.status, again.headers['idempotent-replayed']], [202, 'true']);
    assert.deepEqual(again.body, first.body);
    const other = await ask(api, orderId, { reason: 'ANOTHER' }, key);
    assert.deepEqual([other.status, (other.body as Body)['code']], [422, 'IDEMPOTENCY_KEY_REUSED']);
    const since = Date.now();
    assert.equal((await ask(api, orderId, FULL, fresh)).status, 503);
    assert.ok(Date.now() - since < BOUND_MS, `it took ${Date.now() - since} ms`);
    await assert.rejects(api.client.workflow.getHandle(workflowOf(orderId, fresh)).describe(), {
      name: 'WorkflowNotFoundError',
    });
    proxy.restore();
    assert.deepEqual(await query(databases.adminUrl('payment'), 'select id from refund_requests'), []);
  });
});
