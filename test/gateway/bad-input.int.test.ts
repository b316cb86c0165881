import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';

import { call, type FreshGateway, freshGateway, won } from './running-gateway.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const amount = won(1_000);

const BAD_PREPARES: readonly (readonly [string, string])[] = [
  ['no object', '[]'],
  ['a bare value', '7'],
  ['nothing', ''],
  ['cut JSON', '{"orderId":"o-1","amount":{'],
  ['an unknown field', JSON.stringify({ orderId: 'o-1', amount, status: 'captured' })],
  ['an unknown field of the amount', JSON.stringify({ orderId: 'o-1', amount: { ...amount, taken: 1 } })],
  ['__proto__', '{"orderId":"o-1","amount":{"minor":1,"currency":"KRW"},"__proto__":{"status":"captured"}}'],
  ['zero', JSON.stringify({ orderId: 'o-1', amount: won(0) })],
  ['a negative amount', JSON.stringify({ orderId: 'o-1', amount: won(-1) })],
  ['a fraction', JSON.stringify({ orderId: 'o-1', amount: won(0.5) })],
  ['more than a safe integer', '{"orderId":"o-1","amount":{"minor":9007199254740993,"currency":"KRW"}}'],
  ['infinity', '{"orderId":"o-1","amount":{"minor":1e309,"currency":"KRW"}}'],
  ['an amount in text', JSON.stringify({ orderId: 'o-1', amount: { minor: '1000', currency: 'KRW' } })],
  ['a currency in small letters', JSON.stringify({ orderId: 'o-1', amount: { minor: 1, currency: 'krw' } })],
  ['NUL in the order', JSON.stringify({ orderId: 'o\u0000-1', amount })],
  ['a long order', JSON.stringify({ orderId: 'o'.repeat(101), amount })],
  ['deep JSON', `{"orderId":"o-1","amount":${'['.repeat(4_000)}${']'.repeat(4_000)}}`],
];

describe('bad input at the simulated gateway', function () {
  this.timeout(60_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];

  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
  });
  afterEach(async () => {
    assert.deepEqual(
      [
        await gateway.db.charge.count({ where: { orderId: { startsWith: 'o' } } }),
        await gateway.db.idempotencyKey.count({ where: { key: { startsWith: 'bad' } } }),
      ],
      [0, 0],
      'nothing may be written',
    );
  });
  after(() => gateway.close());

  const prepareRaw = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = JSON_TYPE) =>
    fetch(`${gateway.url}/charges`, { method: 'POST', headers: { ...headers, 'idempotency-key': 'bad-1' }, body });

  for (const [name, body] of BAD_PREPARES) {
    it(`answers ${name} with 400, a code and no echo`, async () => {
      const response = await prepareRaw(body);
      assert.equal(response.status, 400);
      assert.match(response.headers.get('content-type') ?? '', /^application\/problem\+json/);
      assert.equal(response.headers.get('x-powered-by'), null);
      const answer = (await response.json()) as Record<string, unknown>;
      assert.deepEqual(Object.keys(answer), ['code', 'message']);
      assert.equal(answer['code'], 'invalid_request');
    });
  }

  it('answers a body over 16 KiB with 413', async () => {
    const response = await prepareRaw(JSON.stringify({ orderId: 'o'.repeat(17 * 1024), amount }));
    assert.equal(response.status, 413);
  });

  it('answers packed bodies and other media types with 4xx', async () => {
    const packed = Uint8Array.from(gzipSync(JSON.stringify({ orderId: 'o-1', amount })));
    assert.equal((await prepareRaw(packed, { ...JSON_TYPE, 'content-encoding': 'gzip' })).status, 415);
    const text = await prepareRaw(JSON.stringify({ orderId: 'o-1', amount }), { 'content-type': 'text/plain' });
    assert.equal(text.status, 400);
  });

  it('answers charges that do not exist with 404 on every route, and keeps no key', async () => {
    const unknown = 'ch_00000000-0000-4000-8000-000000000000';
    for (const id of [unknown, 'ch_1', '..%2F..', "'%20or%20true--", '%00']) {
      const replies = await Promise.all([
        call(gateway.url, 'GET', `/charges/${id}`),
        call(gateway.url, 'POST', `/charges/${id}/cancel`, { body: {} }),
        call(gateway.url, 'POST', `/charges/${id}/confirm`, { key: 'bad-2', body: { token: 'tok_ok' } }),
        call(gateway.url, 'POST', `/charges/${id}/refunds`, { key: 'bad-3', body: { amount } }),
      ]);
      for (const { status, body } of replies) assert.deepEqual([status, body['code']], [404, 'unknown_charge'], id);
    }
    assert.equal((await call(gateway.url, 'GET', '/charges/%ZZ')).status, 400);
    assert.equal((await call(gateway.url, 'GET', '/elsewhere')).body['code'], 'not_found');
  });

  it('refuses unknown fields and wrong values at confirm, cancel, refund and the ledger', async () => {
    const charge = await calls.prepare(amount, '7-charge-of-bad-calls');
    const at = `/charges/${charge.providerId}`;
    const replies = [
      await call(gateway.url, 'POST', `${at}/confirm`, { key: 'bad-4', body: { token: 'tok_ok', amount } }),
      await call(gateway.url, 'POST', `${at}/confirm`, { key: 'bad-4', body: { token: 7 } }),
      await call(gateway.url, 'POST', `${at}/cancel`, { body: { force: true } }),
      await call(gateway.url, 'POST', `${at}/refunds`, { key: 'bad-5', body: { amount: won(0) } }),
      await call(gateway.url, 'POST', `${at}/refunds`, { key: 'bad-5', body: {} }),
      await call(gateway.url, 'GET', '/ledger?cursor=x'),
      await call(gateway.url, 'GET', '/ledger?limit=1001'),
      await call(gateway.url, 'GET', '/ledger?surprise=1'),
    ];
    for (const { status, body } of replies) assert.deepEqual([status, body['code']], [400, 'invalid_request']);
    assert.equal((await calls.lookup(charge)).status, 'open');
  });
});
