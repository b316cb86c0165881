import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';

import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal, type PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { call, callsOf, type ListeningGateway, listenInProcess, won } from './running-gateway.ts';

const AMOUNT = won(39_000);
/** Long enough for a busy machine to charge in time, short enough to wait for. */
const TIMEOUT_MS = 2_000;
const UNKNOWN = 'ch_00000000-0000-4000-8000-000000000000';

describe('the client of the simulated gateway', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let gateway: ListeningGateway;
  let calls: ReturnType<typeof callsOf>;
  let client: PaymentGateway;

  before(async () => {
    databases = await freshDatabases();
    gateway = await listenInProcess(databases.urls.gateway, { hangMs: 20_000 });
    calls = callsOf(gateway.url);
    client = simulatedGateway({ url: `${gateway.url}/`, timeoutMs: TIMEOUT_MS, maxProcessingMs: 1_000 });
  });
  after(async () => {
    await gateway.close();
    await databases.drop();
  });

  const prepared = async () => {
    const orderId = randomUUID();
    return { orderId, providerId: await client.prepare({ orderId, amount: AMOUNT, method: 'card' }) };
  };
  const outage = async (attempt: Promise<unknown>): Promise<GatewayOutage> => {
    const error = await attempt.then(
      (value) => assert.fail(`answered ${inspect(value)}`),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof GatewayOutage, inspect(error));
    return error;
  };
  const refusedWith = (gatewayCode: string) => (error: unknown) =>
    error instanceof GatewayRefusal && error.gatewayCode === gatewayCode;

  it('prepares, confirms, looks up and refunds, and repeating each does nothing more', async () => {
    const { orderId, providerId } = await prepared();
    assert.equal(await client.prepare({ orderId, amount: AMOUNT, method: 'card' }), providerId);
    const captured = {
      ...{ providerId, status: 'captured', captured: AMOUNT, refundedMinor: 0, declineCode: null },
      instructions: null,
    };
    assert.deepEqual(await client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' }), captured);
    assert.deepEqual(await client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' }), captured);
    assert.deepEqual(await client.cancel(providerId), captured);
    const succeeded = { status: 'succeeded', failureCode: null };
    assert.deepEqual(await client.refund(providerId, `${orderId}:r1`, won(9_000)), succeeded);
    assert.deepEqual(await client.refund(providerId, `${orderId}:r1`, won(9_000)), succeeded);
    assert.deepEqual(await client.lookup(providerId), { ...captured, refundedMinor: 9_000 });
  });

  it('hears a decline as an answer', async () => {
    const { orderId, providerId } = await prepared();
    const { status, declineCode, captured } = await client.confirm(orderId, providerId, {
      method: 'card',
      token: 'tok_insufficient_funds',
    });
    assert.deepEqual([status, declineCode, captured], ['declined', 'insufficient_funds', null]);
  });

  it('cancels an open charge', async () => {
    const { providerId } = await prepared();
    assert.equal((await client.cancel(providerId)).status, 'cancelled');
    assert.equal((await client.cancel(providerId)).status, 'cancelled');
  });

  it('knows a final no from an outage, and finds no charge where there is none', async () => {
    const { orderId, providerId } = await prepared();
    await assert.rejects(
      client.confirm(orderId, providerId, { method: 'card', token: 'tok_unheard_of' }),
      refusedWith('invalid_payment_method'),
    );
    await assert.rejects(
      client.confirm(orderId, UNKNOWN, { method: 'card', token: 'tok_ok' }),
      refusedWith('unknown_charge'),
    );
    await assert.rejects(client.cancel(UNKNOWN), refusedWith('unknown_charge'));
    await assert.rejects(client.refund(providerId, randomUUID(), won(1)), refusedWith('not_captured'));
    await client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' });
    await assert.rejects(client.refund(providerId, randomUUID(), won(39_001)), refusedWith('refund_exceeds_capture'));
    const dollars = { minor: 1, currency: 'USD' };
    await assert.rejects(client.refund(providerId, randomUUID(), dollars), refusedWith('currency_mismatch'));
    assert.equal(await client.lookup(UNKNOWN), undefined);
  });

  it('is in doubt when the key was used for another request, because that one may have charged', async () => {
    const { orderId, providerId } = await prepared();
    await client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' });
    const error = await outage(client.confirm(orderId, providerId, { method: 'card', token: 'tok_declined' }));
    assert.equal(error.message, 'gateway confirm: HTTP 422 idempotency_key_reused');
  });

  it('is in doubt after its time limit, and the repeat learns of the capture', async () => {
    const { orderId, providerId } = await prepared();
    const error = await outage(
      client.confirm(orderId, providerId, { method: 'card', token: 'tok_timeout_after_charge' }),
    );
    assert.equal(error.message, 'gateway confirm: no answer within 2000 ms');
    assert.equal(
      (await client.confirm(orderId, providerId, { method: 'card', token: 'tok_timeout_after_charge' })).status,
      'captured',
    );
  });

  it('is in doubt when the caller gives up', async () => {
    const { orderId, providerId } = await prepared();
    await calls.script({ route: 'confirm', kind: 'hold', orderId });
    const caller = new AbortController();
    const attempt = outage(client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' }, caller.signal));
    await calls.untilHeld();
    caller.abort();
    assert.equal((await attempt).message, 'gateway confirm: the caller gave up');
    assert.equal((await client.lookup(providerId))?.status, 'captured');
  });

  it('hands on how long a 429 asks to wait, and is in doubt', async () => {
    const { orderId, providerId } = await prepared();
    await calls.script({ route: 'confirm', kind: 'status', status: 429, retryAfterSeconds: 3, orderId });
    const error = await outage(client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' }));
    assert.deepEqual([error.message, error.retryAfterMs], ['gateway confirm: HTTP 429 rate_limited', 3_000]);
  });

  for (const [fault, message] of [
    [{ kind: 'status', status: 500 }, 'gateway confirm: HTTP 500 server_error'],
    [{ kind: 'status', status: 503 }, 'gateway confirm: HTTP 503 unavailable'],
    [{ kind: 'key_in_use' }, 'gateway confirm: HTTP 409 key_in_use'],
    [{ kind: 'invalid_json' }, 'gateway confirm: the answer is not JSON after HTTP 200'],
    [{ kind: 'drop_before' }, 'gateway confirm: the connection failed'],
    [{ kind: 'drop_after' }, 'gateway confirm: the connection failed'],
    [{ kind: 'land_late', ms: 0 }, 'gateway confirm: the connection failed'],
  ] as const) {
    it(`is in doubt after ${Object.values(fault).join(' ')}, and one more attempt captures once`, async () => {
      const { orderId, providerId } = await prepared();
      await calls.script({ route: 'confirm', orderId, ...fault });
      const error = await outage(client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' }));
      assert.equal(error.message, message);
      assert.equal(error.retryAfterMs, undefined);
      assert.equal((await client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' })).status, 'captured');
      const { items } = (await call(gateway.url, 'GET', `/ledger?orderId=${orderId}`)).body;
      assert.equal(Array.isArray(items) && items.length, 1);
    });
  }

  it('is in doubt when the gateway denies the charge whose earlier refunds it is asked for', async () => {
    const { orderId, providerId } = await prepared();
    await client.confirm(orderId, providerId, { method: 'card', token: 'tok_ok' });
    await calls.script({ route: 'refund', kind: 'drop_after', orderId });
    await calls.script({ route: 'list_refunds', kind: 'status', status: 500, orderId });
    await calls.script({ route: 'list_refunds', kind: 'not_found', orderId });
    const refund = () => client.refund(providerId, `${orderId}:r1`, won(9_000));
    assert.equal((await outage(refund())).message, 'gateway refunds: HTTP 500 server_error');
    assert.equal((await outage(refund())).message, 'gateway refunds: HTTP 404 unknown_charge');
    assert.equal((await outage(refund())).message, 'gateway refund: the connection failed');
    await calls.script({ route: 'list_refunds', kind: 'not_found', orderId });
    assert.equal((await outage(refund())).message, 'gateway refunds: HTTP 404 unknown_charge');
    assert.deepEqual(await refund(), { status: 'succeeded', failureCode: null });
    assert.equal((await client.lookup(providerId))?.refundedMinor, 9_000);
  });

  it('never shows a token in an error', async () => {
    const { orderId, providerId } = await prepared();
    await calls.script({ route: 'confirm', kind: 'invalid_json', orderId });
    for (const token of ['tok_ok', 'tok_unheard_of']) {
      const error = await client
        .confirm(orderId, providerId, { method: 'card', token })
        .catch((reason: unknown) => reason);
      assert.ok(error instanceof Error);
      assert.ok(!inspect(error, { depth: 10 }).includes(token));
    }
  });
});
