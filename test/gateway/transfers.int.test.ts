import assert from 'node:assert/strict';

import { call, type FreshGateway, freshGateway, won } from './running-gateway.ts';

describe('money that a bank sends to an account of the simulated gateway', function () {
  this.timeout(60_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];
  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
  });
  after(() => gateway.close());

  const send = (body: unknown) => call(gateway.url, 'POST', '/transfers', { body });
  const awaiting = async () => {
    const charge = await calls.awaitingTransfer();
    const { instructions } = await calls.lookup(charge);
    assert.ok(instructions?.type === 'bank_transfer');
    return { charge, account: instructions.account };
  };

  it('pays the charge that has the account, once', async () => {
    const { charge, account } = await awaiting();
    assert.equal((await send({ account })).body['status'], 'captured');
    assert.equal((await send({ account })).body['code'], 'not_awaiting_payment');
    assert.deepEqual(await calls.moved(charge), [['CAPTURE', 39_000, 'KRW']]);
  });

  it('is taken as it comes when it is another amount', async () => {
    const { charge, account } = await awaiting();
    assert.equal((await send({ account, amount: won(100) })).status, 200);
    assert.deepEqual(await calls.moved(charge), [['CAPTURE', 100, 'KRW']]);
  });

  it('goes back from a closed account, unless it was on its way before', async () => {
    const { charge, account } = await awaiting();
    assert.equal((await calls.cancel(charge)).body['status'], 'cancelled');
    assert.equal((await send({ account })).body['code'], 'not_awaiting_payment');
    assert.deepEqual(await calls.moved(charge), []);
    assert.equal((await send({ account, late: true })).body['status'], 'captured');
    assert.deepEqual(await calls.moved(charge), [['CAPTURE', 39_000, 'KRW']]);
  });

  it('finds no charge behind an account that does not exist', async () => {
    const { status, body } = await send({ account: '000-000000-000000' });
    assert.deepEqual([status, body['code']], [404, 'unknown_charge']);
    assert.equal((await send({})).body['code'], 'invalid_request');
  });
});
