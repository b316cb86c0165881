import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { Response, Test } from 'supertest';

import type { ErrorCode } from '../../domain/errors.ts';
import { signToken } from '../../infra/tokens.ts';
import { temporalServer } from '../support/servers.ts';
import { cart, COASTER, type OpenApi, openApi } from './open-api.ts';

/** Other suites use the same Temporal: their checkouts are not counted here. */
const NOBODY_ELSE = '77001';

/** Everything that is refused before anything starts. A real Temporal runs, so that a start would be seen. */
describe('the API refuses', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let customer: string;
  before(async () => {
    api = await openApi((await temporalServer()).address);
    customer = await signToken(api.config, { sub: NOBODY_ELSE, role: 'customer', expires: '1h' });
  });
  after(() => api.close());

  const as = (token: string, test: Test) => test.set('Authorization', `Bearer ${token}`);
  const post = (body: string | object, key: string | null = randomUUID(), type = 'application/json') => {
    const test = as(customer, api.http.post('/v1/checkouts')).set('Content-Type', type);
    if (key !== null) test.set('Idempotency-Key', key);
    return test.send(typeof body === 'string' ? body : JSON.stringify(body));
  };
  function assertProblem(res: Response, status: number, code: ErrorCode, about = ''): void {
    assert.equal(res.status, status, `${about} ${res.text}`);
    assert.match(res.headers['content-type'] ?? '', /^application\/problem\+json/, about);
    const problem = JSON.parse(res.text) as Record<string, unknown>;
    assert.equal(problem['code'], code, about);
    assert.equal(problem['status'], status, about);
    assert.equal(problem['type'], `/problems/${code.toLowerCase().replaceAll('_', '-')}`);
    assert.ok(typeof problem['title'] === 'string' && typeof problem['detail'] === 'string');
    assert.doesNotMatch(res.text, /node_modules|\.ts:|\bat \w+ \(/, 'a stack trace');
  }
  async function assertNothingStarted(): Promise<void> {
    assert.equal(await api.platform.inventoryOrder.count(), 0);
    const { count } = await api.client.workflow.count(`CustomerId = "${NOBODY_ELSE}"`);
    assert.equal(count, 0);
  }
  afterEach(assertNothingStarted);

  it('requests without a good token, with one constant message', async () => {
    const missing = await api.http.get(`/v1/orders/${randomUUID()}`);
    assertProblem(missing, 401, 'UNAUTHENTICATED');
    assert.equal(missing.headers['www-authenticate'], 'Bearer');
    const without = (res: Response) => res.text;
    for (const header of ['Bearer x.y.z', 'Bearer', 'Basic dTpw', `Bearer ${'a'.repeat(10_000)}`, api.tokens.admin]) {
      const res = await api.http.get(`/v1/orders/${randomUUID()}`).set('Authorization', header);
      assertProblem(res, 401, 'UNAUTHENTICATED', header.slice(0, 20));
      assert.equal(without(res), without(missing), 'the message tells which flaw it was');
    }
    assertProblem(await api.http.post('/v1/checkouts').send(cart()), 401, 'UNAUTHENTICATED');
    assertProblem(await api.http.get('/v1/products').set('Authorization', 'Bearer x'), 401, 'UNAUTHENTICATED');
  });

  it('what a role may not do', async () => {
    const adjustment = { productId: '102', quantityChange: 1, reason: 'STOCKTAKE' };
    const adjust = as(customer, api.http.post('/v1/inventory/adjustments'));
    assertProblem(await adjust.set('Idempotency-Key', 'k').send(adjustment), 403, 'FORBIDDEN');
    const buy = as(api.tokens.admin, api.http.post('/v1/checkouts'));
    assertProblem(await buy.set('Idempotency-Key', 'k').send(cart()), 403, 'FORBIDDEN');
  });

  it('checkouts without a usable idempotency key', async () => {
    assertProblem(await post(cart(), null), 400, 'IDEMPOTENCY_KEY_MISSING');
    assertProblem(await post(cart(), ''), 400, 'IDEMPOTENCY_KEY_MISSING');
    assertProblem(await post(cart(), 'k'.repeat(256)), 400, 'MALFORMED_REQUEST');
    assertProblem(await post(cart(), '"open'), 400, 'MALFORMED_REQUEST');
  });

  it('bodies that are not JSON, are too large or are of another type', async () => {
    for (const body of ['', '{"items":', '[', 'null', '"x"', '{"a":1,"a":2}', '{"__proto__":{"admin":true}}']) {
      assertProblem(await post(body), 400, 'MALFORMED_REQUEST', body);
    }
    const huge = cart({ payment: { method: 'card', token: 'x'.repeat(65_537) } });
    assertProblem(await post(huge), 413, 'PAYLOAD_TOO_LARGE');
    assertProblem(await post(cart(), 'k', 'text/plain'), 415, 'UNSUPPORTED_MEDIA_TYPE');
    assertProblem(await post(cart(), 'k', 'application/x-www-form-urlencoded'), 415, 'UNSUPPORTED_MEDIA_TYPE');
    assertProblem(await post(cart(), 'k', 'application/json; charset=utf-16'), 415, 'UNSUPPORTED_MEDIA_TYPE');
    const zipped = post(cart(), 'k').set('Content-Encoding', 'gzip');
    assertProblem(await zipped, 415, 'UNSUPPORTED_MEDIA_TYPE');
  });

  it('every field that is missing, unknown, of another type or out of range, and says which', async () => {
    const line = (more: object) => cart({ items: [{ ...COASTER, ...more }] });
    const paid = (payment: unknown) => cart({ payment });
    const bad: Readonly<Record<string, object>> = {
      '/items': cart({ items: [] }),
      '/items ': cart({ items: Array(201).fill(COASTER) }),
      '/items  ': cart({ items: { length: 1 } }),
      '/items/0/quantity': line({ quantity: 0 }),
      '/items/0/quantity ': line({ quantity: 1_000 }),
      '/items/0/quantity  ': line({ quantity: 1.5 }),
      '/items/0/quantity   ': line({ quantity: '1' }),
      '/items/0/productId': line({ productId: 102 }),
      '/items/0/productId ': line({ productId: '9223372036854775808' }),
      '/items/0/productId  ': line({ productId: "1' or '1'='1" }),
      '/items/0/variantId': line({ variantId: '' }),
      '/items/0/locationCode': line({ locationCode: 'main; drop table' }),
      '/items/0': line({ price: 1 }),
      '/': cart({ total: { minor: 1, currency: 'KRW' } }),
      '/ ': cart({ status: 'PAID' }),
      '/  ': cart({ customerId: '2' }),
      '/payment/token': paid({ method: 'card' }),
      '/payment/token ': paid({ method: 'card', token: 'with blank' }),
      '/payment': paid({ method: 'card', token: 'tok_ok', number: '4111111111111111' }),
      '/payment ': paid('card'),
      '/payment/holdSeconds': paid({ method: 'bank_transfer', holdSeconds: 9 }),
      '/payment/holdSeconds ': paid({ method: 'bank_transfer', holdSeconds: 86_401 }),
      '/payment/holdSeconds  ': paid({ method: 'bank_transfer', holdSeconds: 10.5 }),
      '/payment  ': paid({ method: 'bank_transfer', token: 'tok_ok' }),
      '/payment   ': paid({ method: 'card', token: 'tok_ok', holdSeconds: 60 }),
      '/payment/method': paid({ token: 'tok_ok' }),
      '/expectedTotal/minor': cart({ expectedTotal: { minor: 2 ** 53, currency: 'KRW' } }),
      '/expectedTotal/currency': cart({ expectedTotal: { minor: 1, currency: 'won' } }),
    };
    for (const [where, body] of Object.entries(bad)) {
      const res = await post(body);
      assertProblem(res, 422, 'INVALID_REQUEST', where);
      const { errors } = JSON.parse(res.text) as { errors: { pointer: string; message: string }[] };
      assert.ok(
        errors.some(({ pointer }) => pointer === where.trim()),
        `${where}: ${res.text}`,
      );
    }
    assertProblem(await post({}), 422, 'INVALID_REQUEST');
    assertProblem(await post([]), 422, 'INVALID_REQUEST');
  });

  it('payment methods that it does not offer, and names those that it does', async () => {
    const res = await post(cart({ payment: { method: 'cash' } }));
    assertProblem(res, 422, 'PAYMENT_METHOD_INVALID');
    assert.deepEqual((JSON.parse(res.text) as { methods: unknown }).methods, ['card', 'bank_transfer']);
  });

  it('paths and methods that do not exist', async () => {
    assertProblem(await api.http.get('/v2/anything'), 404, 'NOT_FOUND');
    assertProblem(await api.http.get('/v1/products/%E0%A4%A'), 400, 'MALFORMED_REQUEST');
    for (const [path, allow] of [
      ['/v1/checkouts', 'POST'],
      ['/v1/products', 'GET, HEAD, POST'],
      ['/v1/products/102', 'GET, HEAD, PATCH'],
      ['/v1/users', 'POST'],
      ['/v1/users/1', 'PATCH'],
      [`/v1/orders/${randomUUID()}`, 'GET, HEAD'],
      [`/v1/orders/${randomUUID()}/cancel`, 'POST'],
      [`/v1/orders/${randomUUID()}/refunds`, 'POST'],
      ['/v1/payment-webhooks/simulated', 'POST'],
      ['/v1/admin/attention', 'GET, HEAD'],
      [`/v1/admin/orders/${randomUUID()}/resolve`, 'POST'],
      ['/v1/inventory/adjustments', 'POST'],
      ['/healthz', 'GET, HEAD'],
      ['/readyz', 'GET, HEAD'],
    ] as const) {
      const res = await api.http.delete(path);
      assertProblem(res, 405, 'METHOD_NOT_ALLOWED', path);
      assert.equal(res.headers['allow'], allow, path);
    }
  });

  it('orders that do not exist and ids that are none, alike', async () => {
    for (const id of [randomUUID(), '1', 'x', "'; select 1 --", '%00']) {
      const path = `/v1/orders/${encodeURIComponent(id)}`;
      assertProblem(await as(customer, api.http.get(path)), 404, 'NOT_FOUND', id);
      assertProblem(await as(customer, api.http.post(`${path}/cancel`)), 404, 'NOT_FOUND', id);
    }
  });

  it('more requests than a caller may send in a minute, without hurting the next caller', async () => {
    const strict = await openApi('127.0.0.1:1', { settings: { rateLimitPerMinute: 3 } });
    try {
      const get = (token: string) => as(token, strict.http.get('/v1/products'));
      for (let i = 0; i < 3; i++) assert.equal((await get(strict.tokens.customer)).status, 200);
      const refused = await get(strict.tokens.customer);
      assertProblem(refused, 429, 'TOO_MANY_REQUESTS');
      assert.ok(Number(refused.headers['retry-after']) > 0);
      assert.equal((await get(strict.tokens.otherCustomer)).status, 200);
      for (let i = 0; i < 3; i++) assertProblem(await get(`guess-${i}`), 401, 'UNAUTHENTICATED');
      assertProblem(await get('guess-4'), 429, 'TOO_MANY_REQUESTS', 'guessing tokens is limited by address');
      assert.equal((await strict.http.get('/healthz')).status, 200);
    } finally {
      await strict.close();
    }
  });
});
