import assert from 'node:assert/strict';

import fc from 'fast-check';

import { call, type FreshGateway, freshGateway, type Reply, won } from './running-gateway.ts';

const times = <T>(n: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: n }, (_, i) => make(i)));

describe('calls at the same time at the simulated gateway', function () {
  this.timeout(120_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];

  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
  });
  after(() => gateway.close());

  it('20 confirms with one key take the money once; each is told the result or that the key is in use', async () => {
    const charge = await calls.prepare();
    const replies = await times(20, () => calls.confirm(charge, 'tok_ok'));
    for (const { status, body } of replies) {
      if (status === 409) assert.equal(body['code'], 'key_in_use');
      else assert.deepEqual([status, body['status']], [200, 'captured']);
    }
    assert.ok(replies.some(({ status }) => status === 200));
    assert.deepEqual(await calls.moved(charge), [['CAPTURE', 39_000, 'KRW']]);
  });

  it('20 confirms with 20 keys take the money once', async () => {
    const charge = await calls.prepare();
    const replies = await times(20, (i) => calls.confirm(charge, 'tok_ok', `${charge.orderId}:confirm-${i}`));
    assert.deepEqual(new Set(replies.map(({ body }) => body['status'])), new Set(['captured']));
    assert.deepEqual(await calls.moved(charge), [['CAPTURE', 39_000, 'KRW']]);
  });

  it('20 prepares with one key open one charge', async () => {
    const orderId = 'order-prepared-20-times';
    const body = { orderId, amount: won(1_000) };
    const replies = await times(20, () => call(gateway.url, 'POST', '/charges', { key: `${orderId}:prepare`, body }));
    const opened = replies.filter(({ status }) => status === 201).map((reply) => reply.body['providerId']);
    assert.equal(new Set(opened).size, 1);
    assert.equal(await gateway.db.charge.count({ where: { orderId } }), 1);
  });

  it('20 partial refunds of twice the capture give back the capture and no more', async () => {
    const charge = await calls.prepare(won(10_000));
    await calls.confirm(charge, 'tok_ok');
    const replies = await times(20, (i) => calls.refund(charge, `${charge.orderId}:refund-${i}`, won(1_000)));
    assert.equal(replies.filter(({ status }) => status === 200).length, 10);
    const refused = replies.filter(({ status }) => status === 422);
    assert.deepEqual(new Set(refused.map(({ body }) => body['code'])), new Set(['refund_exceeds_capture']));
    const refunds = (await calls.moved(charge)).filter(([type]) => type === 'REFUND');
    assert.equal(refunds.length, 10);
    assert.equal((await calls.lookup(charge)).refundedMinor, 10_000);
  });

  it('20 refunds with one key give back once', async () => {
    const charge = await calls.prepare();
    await calls.confirm(charge, 'tok_ok');
    await times(20, () => calls.refund(charge, `${charge.orderId}:settle-refund`, won(39_000)));
    assert.deepEqual(await calls.moved(charge), [
      ['CAPTURE', 39_000, 'KRW'],
      ['REFUND', 39_000, 'KRW'],
    ]);
  });

  it('whatever the order of confirms and cancels, a charge is captured or cancelled, never both', async () => {
    const act = fc.record({ cancel: fc.boolean(), waitMs: fc.integer({ min: 0, max: 15 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 2, maxLength: 6 }), async (acts) => {
        const charge = await calls.prepare();
        const replies = await Promise.all(
          acts.map(async ({ cancel, waitMs }, i): Promise<Reply> => {
            await new Promise((resolve) => setTimeout(resolve, waitMs));
            return cancel ? calls.cancel(charge) : calls.confirm(charge, 'tok_ok', `${charge.orderId}:${i}`);
          }),
        );
        const { status } = await calls.lookup(charge);
        assert.ok(status === 'captured' || status === 'cancelled', status);
        for (const reply of replies) assert.deepEqual([reply.status, reply.body['status']], [200, status]);
        assert.equal((await calls.moved(charge)).length, status === 'captured' ? 1 : 0);
      }),
      { numRuns: 30 },
    );
  });

  it('pages of the ledger hold every entry once, in the order of the whole', async () => {
    const all = await call(gateway.url, 'GET', '/ledger?limit=1000');
    const seen: unknown[] = [];
    let cursor: unknown = '0';
    while (typeof cursor === 'string') {
      const page = await call(gateway.url, 'GET', `/ledger?limit=7&cursor=${cursor}`);
      const { items, next } = page.body;
      assert.ok(Array.isArray(items) && items.length <= 7);
      seen.push(...(items as unknown[]));
      cursor = next;
    }
    assert.ok(seen.length > 14);
    assert.deepEqual(seen, all.body['items']);
  });
});
