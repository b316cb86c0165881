import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ChargeJson } from '../../gateway/charges.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal, type PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { call, type FreshGateway, freshGateway, won } from './running-gateway.ts';

const SUCCEEDED = { status: 'succeeded', failureCode: null };
const refusedWith = (code: string) => (error: unknown) => error instanceof GatewayRefusal && error.gatewayCode === code;

describe('a refund at the simulated gateway', function () {
  this.timeout(60_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];
  let client: PaymentGateway;

  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
    client = simulatedGateway({ url: gateway.url, timeoutMs: 5_000, maxProcessingMs: 1_000 });
  });
  after(() => gateway.close());

  const captured = async (minor = 39_000): Promise<ChargeJson> => {
    const charge = await calls.prepare(won(minor));
    await calls.confirm(charge, 'tok_ok');
    return charge;
  };
  const refundedOf = async (charge: ChargeJson): Promise<number[]> =>
    (await calls.moved(charge)).filter(([type]) => type === 'REFUND').map(([, minor]) => minor);
  const forget = (charge: ChargeJson) => call(gateway.url, 'DELETE', `/keys?orderId=${charge.orderId}`);

  it('is paid once per key by the adapter, also when the gateway has forgotten the key', async () => {
    const charge = await captured();
    const key = `${charge.orderId}:settle-refund`;
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await client.refund(charge.providerId, key, won(9_000)), SUCCEEDED);
      await forget(charge);
    }
    assert.deepEqual(await refundedOf(charge), [9_000]);

    // The danger is real: whoever does not look first pays twice.
    await calls.refund(charge, key, won(9_000));
    assert.deepEqual(await refundedOf(charge), [9_000, 9_000]);
  });

  it('whose answer was lost is found by the adapter, also when the key is forgotten meanwhile', async () => {
    for (const kind of ['drop_after', 'invalid_json', 'hang_after'] as const) {
      const charge = await captured();
      await calls.script({ route: 'refund', kind, orderId: charge.orderId });
      await assert.rejects(client.refund(charge.providerId, `${charge.orderId}:r`, won(9_000)), GatewayOutage);
      await forget(charge);
      assert.deepEqual(await client.refund(charge.providerId, `${charge.orderId}:r`, won(9_000)), SUCCEEDED);
      assert.deepEqual(await refundedOf(charge), [9_000], kind);
    }
  });

  it('is not started by the adapter when it cannot look first', async () => {
    const charge = await captured();
    await calls.script({ route: 'list_refunds', kind: 'status', status: 503, orderId: charge.orderId });
    await assert.rejects(client.refund(charge.providerId, `${charge.orderId}:r`, won(9_000)), GatewayOutage);
    assert.deepEqual(await refundedOf(charge), []);
  });

  it('under a key that paid another amount leaves the adapter in doubt', async () => {
    const charge = await captured();
    await client.refund(charge.providerId, `${charge.orderId}:r`, won(9_000));
    await assert.rejects(client.refund(charge.providerId, `${charge.orderId}:r`, won(9_001)), {
      message: 'gateway refunds: the answer is about another refund',
    });
    assert.deepEqual(await refundedOf(charge), [9_000]);
  });

  it('that is refused for good can be asked for again with the same key when the bank agrees', async () => {
    const charge = await captured();
    await calls.script({ route: 'refund', kind: 'refuse', times: 2, orderId: charge.orderId });
    for (let i = 0; i < 2; i++) {
      const attempt = client.refund(charge.providerId, `${charge.orderId}:r`, won(39_000));
      await assert.rejects(attempt, refusedWith('refund_refused'));
    }
    assert.deepEqual(await client.refund(charge.providerId, `${charge.orderId}:r`, won(39_000)), SUCCEEDED);
    assert.deepEqual(await refundedOf(charge), [39_000]);
  });

  it('that is pending moves no money until it succeeds, and counts against the capture meanwhile', async () => {
    const charge = await captured(10_000);
    await calls.script({ route: 'refund', kind: 'pending', ms: 1_000, orderId: charge.orderId });
    const ask = () => client.refund(charge.providerId, `${charge.orderId}:r`, won(6_000));
    assert.deepEqual(await ask(), { status: 'pending', failureCode: null });
    assert.deepEqual(await ask(), { status: 'pending', failureCode: null });
    assert.deepEqual(await refundedOf(charge), []);
    const more = client.refund(charge.providerId, `${charge.orderId}:more`, won(4_001));
    await assert.rejects(more, refusedWith('refund_exceeds_capture'));
    await sleep(1_050);
    assert.deepEqual(await ask(), SUCCEEDED);
    assert.deepEqual(await refundedOf(charge), [6_000]);
    assert.equal((await calls.lookup(charge)).refundedMinor, 6_000);
  });

  it('that fails after a while moves no money, says why, and its amount is free again', async () => {
    const charge = await captured(10_000);
    await calls.script({ route: 'refund', kind: 'pending', ms: 300, mode: 'failed', orderId: charge.orderId });
    const ask = () => client.refund(charge.providerId, `${charge.orderId}:r`, won(10_000));
    assert.equal((await ask()).status, 'pending');
    await sleep(350);
    assert.deepEqual(await ask(), { status: 'failed', failureCode: 'account_closed' });
    assert.deepEqual(await refundedOf(charge), []);
    assert.deepEqual(await client.refund(charge.providerId, `${charge.orderId}:other`, won(10_000)), SUCCEEDED);
  });

  it('that is pending succeeds although nobody asks again', async () => {
    const charge = await captured();
    await calls.script({ route: 'refund', kind: 'pending', ms: 200, orderId: charge.orderId });
    await client.refund(charge.providerId, `${charge.orderId}:r`, won(39_000));
    await sleep(1_200);
    assert.equal(await gateway.db.ledgerEntry.count({ where: { orderId: charge.orderId, type: 'REFUND' } }), 1);
  });

  it('of a cancel: a refused one leaves the charge open, and says so for good', async () => {
    const charge = await calls.awaitingTransfer();
    await calls.script({ route: 'cancel', kind: 'refuse', orderId: charge.orderId });
    await assert.rejects(client.cancel(charge.providerId), refusedWith('cancel_refused'));
    assert.equal((await client.lookup(charge.providerId))?.status, 'requires_confirmation');
    assert.equal((await client.cancel(charge.providerId)).status, 'cancelled');
  });
});
