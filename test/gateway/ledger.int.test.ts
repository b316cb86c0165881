import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ChargeJson } from '../../gateway/charges.ts';
import type { BookedCharge, GatewayLedger, LedgerQuery } from '../../infra/payment-gateway/ledger.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { simulatedLedger } from '../../infra/payment-gateway/simulated-ledger.ts';
import { call, type FreshGateway, freshGateway, won } from './running-gateway.ts';

describe('the ledger of the simulated gateway, as the adapter reads it', function () {
  this.timeout(60_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];
  let ledger: GatewayLedger;

  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
    ledger = simulatedLedger({ url: `${gateway.url}/`, timeoutMs: 5_000 });
  });
  after(() => gateway.close());

  const read = async (query: LedgerQuery = {}, from = ledger): Promise<BookedCharge[]> => {
    const charges: BookedCharge[] = [];
    for await (const charge of from.charges(query)) charges.push(charge);
    return charges;
  };
  const captured = async (): Promise<ChargeJson> => {
    const charge = await calls.prepare(won(10_000));
    await calls.confirm(charge, 'tok_ok');
    return charge;
  };
  const bookedAs = ({ providerId, orderId }: ChargeJson, refunded: number): BookedCharge => ({
    ...{ providerId, orderId, captured: 10_000, refunded, currency: 'KRW' },
  });

  it('sums each charge once over many pages, with refunds that came much later', async () => {
    const charges = await Promise.all(Array.from({ length: 60 }, () => captured()));
    const refunded = (key: string, minor: number) =>
      Promise.all(charges.map((charge) => calls.refund(charge, `${charge.orderId}:${key}`, won(minor))));
    await refunded('1', 1_000);
    await refunded('2', 500);
    await calls.prepare();
    let said = 0;
    const booked = await read({ say: (entries) => (said = entries) });
    const expected = charges.map((charge) => bookedAs(charge, 1_500));
    const byId = (a: BookedCharge, b: BookedCharge) => (a.providerId < b.providerId ? -1 : 1);
    assert.deepEqual(booked.sort(byId), expected.sort(byId));
    assert.equal(said, 180);
  });

  it('reads a few orders, whichever they are', async () => {
    const some = [await captured(), await captured()];
    const unpaid = await calls.prepare();
    const orderIds = [...some, unpaid].map(({ orderId }) => orderId);
    const booked = await read({ orderIds });
    assert.deepEqual(
      booked,
      some.map((charge) => bookedAs(charge, 0)),
    );
    assert.deepEqual(await read({ orderIds: [] }), []);
  });

  it('reads a few charges by their ids, also one that is unknown', async () => {
    const [some, other] = [await captured(), await captured()];
    const providerIds = [some.providerId, 'pi_of_somebody_else'];
    assert.deepEqual(await read({ providerIds }), [bookedAs(some, 0)]);
    assert.deepEqual(await read({ providerIds, orderIds: [other.orderId] }), []);
    assert.deepEqual(await read({ providerIds: [] }), []);
  });

  it('reads charges on which money moved since an instant, with all of their money', async () => {
    const [old, touched] = [await captured(), await captured()];
    await sleep(20);
    const since = new Date();
    await calls.refund(touched, `${touched.orderId}:1`, won(4_000));
    const fresh = await captured();
    const booked = await read({ since });
    assert.deepEqual(
      new Map(booked.map((charge) => [charge.providerId, charge])),
      new Map([
        [touched.providerId, bookedAs(touched, 4_000)],
        [fresh.providerId, bookedAs(fresh, 0)],
      ]),
    );
    assert.deepEqual(await read({ since, orderIds: [old.orderId] }), []);
    const whole = await call(gateway.url, 'GET', `/ledger?since=${since.toISOString()}`);
    assert.equal(Array.isArray(whole.body['items']) && whole.body['items'].length, 3);
    assert.equal((await call(gateway.url, 'GET', '/ledger?since=yesterday')).status, 400);
  });

  it('shows two charges of one order as two', async () => {
    const first = await captured();
    await call(gateway.url, 'DELETE', `/keys?orderId=${first.orderId}`);
    const second = await calls.prepare(won(10_000), first.orderId);
    await calls.confirm(second, 'tok_ok');
    assert.equal((await read({ orderIds: [first.orderId] })).length, 2);
  });

  it('shows money in two currencies on one charge as neither', async () => {
    const entry = { id: '1', providerId: 'ch_1', orderId: 'o-1', type: 'CAPTURE', amount: won(5) };
    const refund = { ...entry, id: '2', type: 'REFUND', amount: { minor: 5, currency: 'USD' } };
    const server = createServer((_req, res) => void res.end(JSON.stringify({ items: [entry, refund], next: null })));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      assert.deepEqual(await read({}, simulatedLedger({ url, timeoutMs: 1_000 })), [
        { providerId: 'ch_1', orderId: 'o-1', captured: 5, refunded: 5, currency: 'KRW+USD' },
      ]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('cannot be read to the end when the gateway fails or says something else', async () => {
    let asked = 0;
    const answers = ['[]', '{"items":[],"next":7}', '<html>'];
    const server = createServer((_req, res) => void res.end(answers[asked++ % answers.length]));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      await assert.rejects(read({}, simulatedLedger({ url, timeoutMs: 1_000 })), GatewayOutage);
      assert.equal(asked, 3, 'a call may fail and is repeated, not for ever');
    } finally {
      server.closeAllConnections();
      server.close();
    }
    await assert.rejects(read({}, simulatedLedger({ url, timeoutMs: 1_000 })), GatewayOutage);
  });

  it('stops to read when the caller gives up', async () => {
    const caller = new AbortController();
    caller.abort();
    await assert.rejects(read({ signal: caller.signal }), { message: 'gateway ledger: the caller gave up' });
  });
});
