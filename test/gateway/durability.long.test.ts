import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { call, callsOf, type GatewayProcess, startProcess, stopProcess, won } from './running-gateway.ts';

const CAPTURED = [['CAPTURE', 39_000, 'KRW']];

describe('the process of the simulated gateway', function () {
  this.timeout(120_000);
  let databases: TestDatabases;
  const started: GatewayProcess[] = [];
  const start = async (env: NodeJS.ProcessEnv = {}) => {
    const gateway = await startProcess(databases.urls.gateway, env);
    started.push(gateway);
    return { gateway, calls: callsOf(gateway.url) };
  };

  before(async () => {
    databases = await freshDatabases();
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((gateway) => stopProcess(gateway, 'SIGKILL')));
  });

  after(() => databases.drop());

  it('keeps ledger, charges and stored answers over a restart, and ends cleanly when asked', async () => {
    const { gateway, calls } = await start();
    assert.deepEqual((await call(gateway.url, 'GET', '/healthz')).body, { status: 'ok' });
    const charge = await calls.prepare();
    const confirmed = await calls.confirm(charge, 'tok_ok');
    const refunded = await calls.refund(charge, 'r-restart', won(4_000));
    assert.equal(await stopProcess(gateway, 'SIGTERM'), 0);

    const { gateway: restarted, calls: later } = await start();
    assert.deepEqual(await later.prepare(won(39_000), charge.orderId), charge);
    assert.deepEqual((await later.confirm(charge, 'tok_ok')).body, confirmed.body);
    assert.deepEqual((await later.refund(charge, 'r-restart', won(4_000))).body, refunded.body);
    const { refund, ...after } = refunded.body;
    assert.deepEqual(await later.lookup(charge), after);
    const listed = await call(restarted.url, 'GET', `/charges/${charge.providerId}/refunds?refundKey=r-restart`);
    assert.deepEqual(listed.body, { items: [refund] });
    assert.deepEqual(await later.moved(charge), [...CAPTURED, ['REFUND', 4_000, 'KRW']]);
  });

  it('killed between commit and answer, tells the repeat what was stored', async () => {
    const { gateway, calls } = await start();
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'hold' });
    const unanswered = assert.rejects(calls.confirm(charge, 'tok_ok'));
    await calls.untilHeld();
    await stopProcess(gateway, 'SIGKILL');
    await unanswered;

    const { calls: later } = await start();
    assert.deepEqual(await later.moved(charge), CAPTURED);
    assert.equal((await later.confirm(charge, 'tok_ok')).body['status'], 'captured');
    assert.deepEqual(await later.moved(charge), CAPTURED);
  });

  it('killed while a slow charge is processing, still captures it once, and its key is free again', async () => {
    const { gateway, calls } = await start();
    const charge = await calls.prepare();
    const unanswered = assert.rejects(calls.confirm(charge, 'tok_slow'));
    while ((await calls.lookup(charge)).status !== 'processing') await sleep(20);
    await stopProcess(gateway, 'SIGKILL');
    await unanswered;

    const { calls: later } = await start();
    assert.equal((await later.confirm(charge, 'tok_slow')).body['status'], 'captured');
    assert.deepEqual(await later.moved(charge), CAPTURED);
  });

  it('killed while a refund is pending and a charge is about to land, ends both on time', async () => {
    const { gateway, calls } = await start();
    const [refunded, landing] = [await calls.prepare(), await calls.prepare()];
    await calls.confirm(refunded, 'tok_ok');
    await calls.script({ route: 'refund', kind: 'pending', ms: 1_000 });
    await calls.script({ route: 'confirm', kind: 'land_anyway', ms: 1_000 });
    const { body } = await calls.refund(refunded, 'r-pending', won(4_000));
    assert.equal((body['refund'] as { status: string }).status, 'pending');
    await assert.rejects(calls.confirm(landing, 'tok_ok'));
    await stopProcess(gateway, 'SIGKILL');

    const { calls: later } = await start();
    await sleep(1_000);
    assert.deepEqual(await later.moved(refunded), [...CAPTURED, ['REFUND', 4_000, 'KRW']]);
    assert.deepEqual(await later.moved(landing), CAPTURED);
  });

  it('takes its times from the environment', async () => {
    const { gateway, calls } = await start({ GATEWAY_SLOW_MS: '50', GATEWAY_KEY_TTL_MS: '1', GATEWAY_HANG_MS: '100' });
    const [slow, silent] = [await calls.prepare(), await calls.prepare()];
    const since = Date.now();
    assert.equal((await calls.confirm(slow, 'tok_slow')).body['status'], 'captured');
    await assert.rejects(calls.confirm(silent, 'tok_timeout_after_charge'));
    assert.ok(Date.now() - since < 2_500);
    assert.notEqual((await calls.prepare(won(39_000), slow.orderId)).providerId, slow.providerId);
    const card = await calls.prepare();
    const { body } = await calls.confirm(card, 'tok_requires_confirmation');
    assert.equal((body['instructions'] as { url: string }).url, `${gateway.url}/pay/${card.providerId}`);
    assert.equal(await stopProcess(gateway, 'SIGTERM'), 0);

    const { calls: behind } = await start({ GATEWAY_PUBLIC_URL: 'https://bank.example/' });
    const other = await behind.prepare();
    const answer = await behind.confirm(other, 'tok_requires_confirmation');
    assert.equal((answer.body['instructions'] as { url: string }).url, `https://bank.example/pay/${other.providerId}`);
  });

  it('ends within seconds although an answer is held back', async () => {
    const { gateway, calls } = await start();
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'hold' });
    const unanswered = assert.rejects(calls.confirm(charge, 'tok_ok'));
    await calls.untilHeld();
    const since = Date.now();
    assert.equal(await stopProcess(gateway, 'SIGTERM'), 0);
    assert.ok(Date.now() - since < 5_000);
    await unanswered;
  });

  it('owns a ledger that nobody can change, not even the owner of its tables', async () => {
    const { calls } = await start();
    const charge = await calls.prepare();
    await calls.confirm(charge, 'tok_ok');
    for (const sql of [
      'update ledger_entries set amount = 1',
      'delete from ledger_entries',
      'truncate ledger_entries',
    ]) {
      await assert.rejects(query(databases.urls.gateway, sql), /permission denied/);
      await assert.rejects(query(databases.adminUrl('gateway'), sql), /ledger_entries is append-only/);
    }
    const over = 'update charges set refunded_amount = captured_amount + 1';
    await assert.rejects(query(databases.urls.gateway, over), /chk_charges_refunded/);
    assert.deepEqual(await calls.moved(charge), CAPTURED);
  });

  it('has no /faults in production', async () => {
    const { gateway } = await start({ NODE_ENV: 'production' });
    const body = { route: 'confirm', kind: 'hold' };
    assert.equal((await call(gateway.url, 'PUT', '/faults', { body })).status, 404);
  });
});
