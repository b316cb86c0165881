import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { call, callsOf, type FreshGateway, freshGateway, listenInProcess, won } from './running-gateway.ts';

const KEY_TTL_MS = 3_000;

describe('an idempotency key at the simulated gateway', function () {
  this.timeout(60_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];

  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
  });
  after(() => gateway.close());

  it('belongs to its request: another body or another charge is refused and changes nothing', async () => {
    const [charge, other] = [await calls.prepare(won(5_000)), await calls.prepare(won(5_000))];
    const body = { orderId: charge.orderId, amount: won(5_001) };
    const replies = [await call(gateway.url, 'POST', '/charges', { key: `${charge.orderId}:prepare`, body })];
    await calls.confirm(charge, 'tok_ok');
    replies.push(await calls.confirm(charge, 'tok_declined'));
    replies.push(await calls.confirm(other, 'tok_ok', `${charge.orderId}:confirm`));
    await calls.refund(charge, 'r-belongs', won(1_000));
    replies.push(await calls.refund(charge, 'r-belongs', won(1_001)));
    for (const reply of replies) {
      assert.deepEqual([reply.status, reply.body['code']], [422, 'idempotency_key_reused']);
    }
    assert.equal((await calls.lookup(other)).status, 'open');
    assert.equal((await calls.lookup(charge)).refundedMinor, 1_000);
  });

  it('is answered as it was stored, whatever has happened to the charge since', async () => {
    const charge = await calls.prepare();
    const confirmed = await calls.confirm(charge, 'tok_ok');
    await calls.refund(charge, 'r-since', won(39_000));
    assert.deepEqual((await calls.confirm(charge, 'tok_ok')).body, confirmed.body);
    assert.equal((await calls.prepare(won(39_000), charge.orderId)).status, 'open');
  });

  it('that was told no is never paid later', async () => {
    const charge = await calls.prepare();
    assert.equal((await calls.refund(charge, 'r-early', won(1))).body['code'], 'not_captured');
    await calls.confirm(charge, 'tok_ok');
    assert.equal((await calls.refund(charge, 'r-early', won(1))).body['code'], 'not_captured');
    assert.equal((await calls.lookup(charge)).refundedMinor, 0);
  });

  it('is required, and must be printable and short', async () => {
    const body = { orderId: 'order-without-key', amount: won(1) };
    const missing = await call(gateway.url, 'POST', '/charges', { body });
    assert.deepEqual([missing.status, missing.body['code']], [400, 'idempotency_key_missing']);
    for (const key of ['two words', 'k'.repeat(256)]) {
      assert.equal((await call(gateway.url, 'POST', '/charges', { key, body })).status, 400);
    }
    assert.equal(await gateway.db.charge.count({ where: { orderId: body.orderId } }), 0);
  });

  it('expires: then a prepare opens a second charge, but a confirm never takes the money twice', async () => {
    const short = await listenInProcess(gateway.databaseUrl, { keyTtlMs: KEY_TTL_MS });
    try {
      const brief = callsOf(short.url);
      const charge = await brief.prepare();
      await brief.confirm(charge, 'tok_ok');
      assert.deepEqual(await brief.prepare(won(39_000), charge.orderId), charge);
      await sleep(KEY_TTL_MS + 100);
      assert.notEqual((await brief.prepare(won(39_000), charge.orderId)).providerId, charge.providerId);
      assert.equal((await brief.confirm(charge, 'tok_ok')).body['status'], 'captured');
      assert.deepEqual(await brief.moved(charge), [['CAPTURE', 39_000, 'KRW']]);
    } finally {
      await short.close();
    }
  });

  it('can be forgotten early, for one order only', async () => {
    const [charge, other] = [await calls.prepare(), await calls.prepare()];
    assert.deepEqual((await call(gateway.url, 'DELETE', `/keys?orderId=${charge.orderId}`)).body, { forgotten: 1 });
    assert.notEqual((await calls.prepare(won(39_000), charge.orderId)).providerId, charge.providerId);
    assert.equal((await calls.prepare(won(39_000), other.orderId)).providerId, other.providerId);
  });
});
