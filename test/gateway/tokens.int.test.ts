import assert from 'node:assert/strict';

import { type FreshGateway, freshGateway, won } from './running-gateway.ts';

const CAPTURED = [['CAPTURE', 39_000, 'KRW']];

describe('a card token at the simulated gateway', function () {
  this.timeout(60_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];

  before(async () => {
    gateway = await freshGateway({ slowMs: 1_500, hangMs: 700 });
    ({ calls } = gateway);
  });
  after(() => gateway.close());

  it('tok_ok takes the whole amount once, and a repeat gets the same answer', async () => {
    const charge = await calls.prepare();
    assert.equal(charge.status, 'open');
    const first = await calls.confirm(charge, 'tok_ok');
    const second = await calls.confirm(charge, 'tok_ok');
    assert.equal(first.status, 200);
    assert.deepEqual(first.body, { ...charge, status: 'captured', captured: won(39_000) });
    assert.deepEqual(second.body, first.body);
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  for (const [token, declineCode] of [
    ['tok_declined', 'card_declined'],
    ['tok_insufficient_funds', 'insufficient_funds'],
  ] as const) {
    it(`${token} is an answer, and final: another token under another key takes nothing`, async () => {
      const charge = await calls.prepare();
      const { status, body } = await calls.confirm(charge, token);
      assert.equal(status, 200);
      assert.deepEqual(body, { ...charge, status: 'declined', declineCode });
      assert.equal((await calls.confirm(charge, 'tok_ok', `${charge.orderId}:other`)).body['status'], 'declined');
      assert.deepEqual(await calls.moved(charge), []);
    });
  }

  it('tok_slow is seen processing, cannot be cancelled meanwhile, and captures', async () => {
    const charge = await calls.prepare();
    const answer = calls.confirm(charge, 'tok_slow');
    while ((await calls.lookup(charge)).status === 'open');
    assert.equal((await calls.cancel(charge)).body['status'], 'processing');
    assert.equal((await calls.confirm(charge, 'tok_slow')).body['code'], 'key_in_use');
    assert.equal((await answer).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('tok_slow captures although its caller hung up', async () => {
    const charge = await calls.prepare();
    await assert.rejects(calls.confirm(charge, 'tok_slow', undefined, 100));
    let repeat = await calls.confirm(charge, 'tok_slow');
    // The gateway learns a moment later that the first caller is gone; until then the key is in use.
    while (repeat.status === 409) repeat = await calls.confirm(charge, 'tok_slow');
    assert.equal(repeat.body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('tok_timeout_after_charge takes the money and stays silent; a repeat is told', async () => {
    const charge = await calls.prepare();
    const since = Date.now();
    await assert.rejects(calls.confirm(charge, 'tok_timeout_after_charge'), { message: 'fetch failed' });
    assert.ok(Date.now() - since >= 690, 'the connection stays open for a while');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
    assert.equal((await calls.confirm(charge, 'tok_timeout_after_charge')).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('tok_timeout_before_charge takes nothing at the first attempt and charges at the second', async () => {
    const charge = await calls.prepare();
    await assert.rejects(calls.confirm(charge, 'tok_timeout_before_charge'));
    assert.deepEqual(await calls.moved(charge), []);
    assert.equal((await calls.confirm(charge, 'tok_timeout_before_charge')).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('tok_error_500 fails twice with nothing taken, then captures', async () => {
    const charge = await calls.prepare();
    for (const expected of [500, 500]) {
      assert.equal((await calls.confirm(charge, 'tok_error_500')).status, expected);
      assert.deepEqual(await calls.moved(charge), []);
    }
    assert.equal((await calls.confirm(charge, 'tok_error_500')).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('tok_wrong_amount takes another amount than was asked, and says so', async () => {
    const charge = await calls.prepare();
    const { body } = await calls.confirm(charge, 'tok_wrong_amount');
    assert.deepEqual(body, { ...charge, status: 'captured', captured: won(39_001) });
    assert.deepEqual(await calls.moved(charge), [['CAPTURE', 39_001, 'KRW']]);
  });

  it('tok_requires_confirmation takes nothing and leaves the charge to be confirmed or cancelled', async () => {
    const charge = await calls.prepare();
    assert.equal((await calls.confirm(charge, 'tok_requires_confirmation')).body['status'], 'requires_confirmation');
    assert.deepEqual(await calls.moved(charge), []);
    assert.equal((await calls.cancel(charge)).body['status'], 'cancelled');

    const other = await calls.prepare();
    await calls.confirm(other, 'tok_requires_confirmation');
    assert.equal((await calls.confirm(other, 'tok_ok', `${other.orderId}:agreed`)).body['status'], 'captured');
  });

  it('an unknown token is refused, keeps no key, and is not repeated in the answer', async () => {
    const charge = await calls.prepare();
    const { status, body } = await calls.confirm(charge, 'tok_from_elsewhere');
    assert.equal(status, 400);
    assert.deepEqual(body, { code: 'invalid_payment_method', message: 'no such payment method' });
    assert.equal((await calls.confirm(charge, 'tok_ok')).body['status'], 'captured');
  });
});
