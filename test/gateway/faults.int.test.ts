import assert from 'node:assert/strict';

import { freshDatabases } from '../support/databases.ts';
import { call, callsOf, type FreshGateway, freshGateway, listenInProcess, won } from './running-gateway.ts';

const CAPTURED = [['CAPTURE', 39_000, 'KRW']];

describe('a scripted fault of the simulated gateway', function () {
  this.timeout(60_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];

  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
  });
  afterEach(() => call(gateway.url, 'DELETE', '/faults'));
  after(() => gateway.close());

  it('delay answers late, the given number of times', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'lookup', kind: 'delay', ms: 700, times: 2 });
    const took: boolean[] = [];
    for (let i = 0; i < 3; i++) {
      const since = Date.now();
      await calls.lookup(charge);
      took.push(Date.now() - since >= 690);
    }
    assert.deepEqual(took, [true, true, false]);
  });

  it('drop_before cuts the connection with nothing done', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'drop_before' });
    await assert.rejects(calls.confirm(charge, 'tok_ok'), { message: 'fetch failed' });
    assert.equal((await calls.lookup(charge)).status, 'open');
    assert.equal((await calls.confirm(charge, 'tok_ok')).body['status'], 'captured');
  });

  it('drop_after cuts the connection with the money taken, and the repeat is told', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'drop_after' });
    await assert.rejects(calls.confirm(charge, 'tok_ok'), { message: 'fetch failed' });
    assert.deepEqual(await calls.moved(charge), CAPTURED);
    assert.equal((await calls.confirm(charge, 'tok_ok')).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('drop_after on every writing route leaves one effect once repeated', async () => {
    const orderId = 'order-whose-answers-get-lost';
    for (const route of ['prepare', 'confirm', 'refund', 'cancel']) {
      await calls.script({ route, kind: 'drop_after', orderId });
    }
    await assert.rejects(calls.prepare(won(39_000), orderId));
    const charge = await calls.prepare(won(39_000), orderId);
    await assert.rejects(calls.confirm(charge, 'tok_ok'));
    await calls.confirm(charge, 'tok_ok');
    await assert.rejects(calls.refund(charge, 'r-lost', won(9_000)));
    assert.equal((await calls.refund(charge, 'r-lost', won(9_000))).body['refundedMinor'], 9_000);
    await assert.rejects(calls.cancel(charge));
    assert.equal((await calls.cancel(charge)).body['status'], 'captured');
    assert.equal(await gateway.db.charge.count({ where: { orderId } }), 1);
    assert.deepEqual(await calls.moved(charge), [...CAPTURED, ['REFUND', 9_000, 'KRW']]);
  });

  it('hang_before says nothing and does nothing, at whichever attempt it is scripted', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'status', status: 500 });
    await calls.script({ route: 'confirm', kind: 'hang_before', times: 2 });
    assert.equal((await calls.confirm(charge, 'tok_ok')).status, 500);
    for (let i = 0; i < 2; i++) {
      await assert.rejects(calls.confirm(charge, 'tok_ok', undefined, 300), { name: 'TimeoutError' });
      assert.deepEqual(await calls.moved(charge), []);
    }
    assert.equal((await calls.confirm(charge, 'tok_ok')).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('hang_after takes the money and says nothing, at every attempt', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'hang_after', times: 3 });
    for (let i = 0; i < 3; i++) {
      await assert.rejects(calls.confirm(charge, 'tok_ok', undefined, 400), { name: 'TimeoutError' });
      assert.deepEqual(await calls.moved(charge), CAPTURED);
    }
    assert.equal((await calls.confirm(charge, 'tok_ok')).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('land_anyway captures a charge that looked open and was cancelled meanwhile', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'land_anyway', ms: 800 });
    await assert.rejects(calls.confirm(charge, 'tok_ok'), { message: 'fetch failed' });
    assert.equal((await calls.lookup(charge)).status, 'open');
    assert.equal((await calls.cancel(charge)).body['status'], 'cancelled');
    assert.deepEqual(await calls.moved(charge), []);
    await new Promise((resolve) => setTimeout(resolve, 850));
    assert.equal((await calls.lookup(charge)).status, 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('land_anyway takes the money once when a repeat takes it first', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'land_anyway', ms: 300 });
    await assert.rejects(calls.confirm(charge, 'tok_ok'));
    assert.equal((await calls.confirm(charge, 'tok_ok')).body['status'], 'captured');
    await new Promise((resolve) => setTimeout(resolve, 900));
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  for (const [status, code] of [
    [429, 'rate_limited'],
    [500, 'server_error'],
    [502, 'bad_gateway'],
    [503, 'unavailable'],
  ] as const) {
    it(`status ${status} is answered with nothing done, and says when to come back`, async () => {
      const charge = await calls.prepare();
      await calls.script({ route: 'confirm', kind: 'status', status, retryAfterSeconds: 7 });
      const reply = await calls.confirm(charge, 'tok_ok');
      assert.deepEqual([reply.status, reply.body['code']], [status, code]);
      assert.equal(reply.headers.get('retry-after'), '7');
      assert.match(reply.headers.get('content-type') ?? '', /^application\/problem\+json/);
      assert.deepEqual(await calls.moved(charge), []);
    });
  }

  it('key_in_use is answered with nothing done', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'key_in_use' });
    const { status, body } = await calls.confirm(charge, 'tok_ok');
    assert.deepEqual([status, body['code']], [409, 'key_in_use']);
    assert.equal((await calls.lookup(charge)).status, 'open');
  });

  it('invalid_json garbles the answer of an effect that stands', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'invalid_json' });
    await assert.rejects(calls.confirm(charge, 'tok_ok'), SyntaxError);
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('wrong_amount and wrong_currency really take something else, and only that can be refunded', async () => {
    const amount = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'wrong_amount', orderId: amount.orderId });
    assert.deepEqual((await calls.confirm(amount, 'tok_ok')).body['captured'], won(39_001));

    const currency = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'wrong_currency', orderId: currency.orderId });
    const taken = { minor: 39_000, currency: 'USD' };
    assert.deepEqual((await calls.confirm(currency, 'tok_ok')).body['captured'], taken);
    assert.equal((await calls.refund(currency, 'r-won', won(39_000))).body['code'], 'currency_mismatch');
    assert.equal((await calls.refund(currency, 'r-usd', taken)).body['refundedMinor'], 39_000);
    assert.deepEqual(await calls.moved(currency), [
      ['CAPTURE', 39_000, 'USD'],
      ['REFUND', 39_000, 'USD'],
    ]);
  });

  it('not_found denies a charge that exists, and land_late captures it afterwards', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'land_late', ms: 1_500, orderId: charge.orderId });
    await calls.script({ route: 'lookup', kind: 'not_found', orderId: charge.orderId });
    await assert.rejects(calls.confirm(charge, 'tok_ok'));
    assert.equal((await call(gateway.url, 'GET', `/charges/${charge.providerId}`)).body['code'], 'unknown_charge');
    assert.deepEqual(await calls.moved(charge), []);
    assert.equal((await calls.cancel(charge)).body['status'], 'processing');
    await new Promise((resolve) => setTimeout(resolve, 1_550));
    assert.deepEqual(await calls.moved(charge), CAPTURED);
    assert.equal((await calls.lookup(charge)).status, 'captured');
  });

  it('hold commits, shows who is held, and answers when it is released', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'hold' });
    const held = calls.confirm(charge, 'tok_ok');
    await calls.untilHeld();
    assert.deepEqual((await call(gateway.url, 'GET', '/faults')).body['holding'], [
      { route: 'confirm', orderId: charge.orderId },
    ]);
    assert.deepEqual(await calls.moved(charge), CAPTURED);
    assert.equal((await calls.confirm(charge, 'tok_ok')).body['status'], 'captured');
    await call(gateway.url, 'DELETE', '/faults');
    assert.equal((await held).body['status'], 'captured');
  });

  it('hold ends by itself when its time is over or its caller is gone', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'lookup', kind: 'hold', ms: 200 });
    assert.equal((await calls.lookup(charge)).status, 'open');
    await calls.script({ route: 'confirm', kind: 'hold' });
    await assert.rejects(calls.confirm(charge, 'tok_ok', undefined, 300));
    for (;;) {
      const { body } = await call(gateway.url, 'GET', '/faults');
      if (Array.isArray(body['holding']) && body['holding'].length === 0) break;
    }
  });

  it('touches only the order and the route that it names', async () => {
    const [meant, other] = [await calls.prepare(), await calls.prepare()];
    await calls.script({ route: 'confirm', kind: 'status', status: 500, orderId: meant.orderId });
    assert.equal((await calls.confirm(other, 'tok_ok')).status, 200);
    assert.equal((await calls.lookup(meant)).status, 'open');
    assert.equal((await calls.confirm(meant, 'tok_ok')).status, 500);
    assert.equal((await calls.confirm(meant, 'tok_ok')).status, 200);
  });

  it('scripts run in the order they were written, and n of them meet exactly n calls at once', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'lookup', kind: 'status', status: 500, times: 3 });
    await calls.script({ route: 'lookup', kind: 'status', status: 503, times: 4 });
    const statuses = await Promise.all(
      Array.from({ length: 12 }, async () => (await call(gateway.url, 'GET', `/charges/${charge.providerId}`)).status),
    );
    assert.deepEqual(statuses.sort(), [200, 200, 200, 200, 200, 500, 500, 500, 503, 503, 503, 503]);
  });

  it('is refused when it cannot be played', async () => {
    for (const body of [
      { route: 'lookup', kind: 'wrong_amount' },
      { route: 'cancel', kind: 'key_in_use' },
      { route: 'confirm', kind: 'status', status: 200 },
      { route: 'confirm', kind: 'delay' },
      { route: 'confirm', kind: 'delay', ms: -1 },
      { route: 'confirm', kind: 'hold', times: 0 },
      { route: 'confirm', kind: 'hold', surprise: true },
      { route: 'nowhere', kind: 'hold' },
      { kind: 'meteor', route: 'confirm' },
      { route: 'confirm', kind: 'refuse' },
      { route: 'refund', kind: 'pending', ms: 1, mode: 'lost' },
      { route: 'confirm', kind: 'webhook', mode: 'lose' },
      { kind: 'webhook', mode: 'duplicate', copies: 1 },
      { kind: 'webhook', mode: 'shuffle' },
    ]) {
      assert.equal((await call(gateway.url, 'PUT', '/faults', { body })).status, 400, JSON.stringify(body));
    }
    assert.deepEqual((await call(gateway.url, 'GET', '/faults')).body['faults'], []);
  });
});

describe('the simulated gateway outside development', function () {
  this.timeout(60_000);

  it('has no route for faults or keys, and obeys no script that was left in its database', async () => {
    const { urls, drop } = await freshDatabases();
    const open = await listenInProcess(urls.gateway);
    await callsOf(open.url).script({ route: 'prepare', kind: 'status', status: 500, times: 9 });
    await open.close();

    const gateway = await listenInProcess(urls.gateway, {}, { faultsEnabled: false });
    try {
      for (const [method, path] of [
        ['PUT', '/faults'],
        ['GET', '/faults'],
        ['DELETE', '/faults'],
        ['DELETE', '/keys'],
        ['POST', '/charges/ch_00000000-0000-4000-8000-000000000000/transfer'],
        ['POST', '/charges/ch_00000000-0000-4000-8000-000000000000/authorize'],
        ['POST', '/charges/ch_00000000-0000-4000-8000-000000000000/expire'],
        ['GET', '/pay/ch_00000000-0000-4000-8000-000000000000'],
      ] as const) {
        const { status, body } = await call(gateway.url, method, path);
        assert.deepEqual([status, body['code']], [404, 'not_found'], `${method} ${path}`);
      }
      assert.equal((await callsOf(gateway.url).prepare()).status, 'open');
    } finally {
      await gateway.close();
      await drop();
    }
  });
});
