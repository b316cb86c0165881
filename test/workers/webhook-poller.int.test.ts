import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';

import type { PageInput } from '../../activities/payments/contract.ts';
import { openWebhooks, recordOutcome, storeWebhook } from '../../activities/payments/webhook-store.ts';
import { webhookWorkflowId } from '../../domain/workflow-ids.ts';
import { openPayment } from '../../infra/databases.ts';
import { type PollerDeps, startWebhookPoller } from '../../workers/webhook-poller.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { Gate, type Script } from '../support/fake-services.ts';
import { temporalServer } from '../support/servers.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

const PROVIDER = 'simulated';
const INTERVAL_MS = 50;

describe('the poller of stored events', () => {
  let bench: WorkflowBench;
  let databases: TestDatabases;
  let payment: ReturnType<typeof openPayment>;
  let proxy: TcpProxy;
  let connection: NativeConnection;
  let client: Client;

  before(async () => {
    bench = await WorkflowBench.onDevServer();
    const { address } = await temporalServer();
    proxy = await tcpProxy(Number(address.split(':')[1]));
    connection = await NativeConnection.connect({ address: `127.0.0.1:${proxy.port}` });
    client = new Client({ connection });
  });
  after(async () => {
    await connection?.close();
    await proxy?.close();
    await bench?.close();
  });
  beforeEach(async () => {
    databases = await freshDatabases();
    payment = openPayment(databases.urls.payment, { poolSize: 5 });
  });
  afterEach(async () => {
    await payment.$disconnect();
    await databases.drop();
  });

  /** Events as the API stores them, about charges that nobody knows. */
  async function stored(count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, () => `evt_${randomUUID()}`);
    for (const eventId of ids) {
      const event = { provider: PROVIDER, eventId, type: 'charge.captured', providerPaymentId: 'ch_1', fields: {} };
      await storeWebhook(payment, { ...event, bodyHash: 'a'.repeat(64) });
    }
    return ids;
  }

  /** A payment service whose events are rows, and whose gateway knows nothing. */
  const rows = (script: Script = {}): Script => ({
    closeWebhook: async ({ outcome, ...ref }) => void (await recordOutcome(payment, ref, outcome)),
    ...script,
  });

  const open = async (): Promise<number> => {
    const [row] = await query<{ count: number }>(
      databases.adminUrl('payment'),
      'select count(*)::int as count from payment_webhooks where outcome is null',
    );
    return row?.count ?? 0;
  };
  const untilOpen = (count: number) =>
    eventually(`${count} events are open`, async () => ((await open()) === count ? true : undefined));

  /** What a poller logs, as pairs of level and message. */
  function polling(deps: Partial<PollerDeps> = {}) {
    const lines: [number, string][] = [];
    const write = (line: string): void => {
      const { level, msg } = JSON.parse(line) as { level: number; msg: string };
      lines.push([level, msg]);
    };
    const log = pino({ level: 'info' }, { write });
    const find = (page: PageInput) => openWebhooks(payment, page);
    return { ...startWebhookPoller({ client, find, log, intervalMs: INTERVAL_MS, ...deps }), lines };
  }

  it('hands every stored event to its workflow, pages of them, and each once', async function () {
    this.timeout(60_000);
    const ids = await stored(120);
    const calls = bench.expect(rows(), ids);
    const poller = polling();
    await untilOpen(0);
    const [late = ''] = await stored(1);
    const callsOfLate = bench.expect(rows(), [late]);
    await untilOpen(0);
    await sleep(3 * INTERVAL_MS);
    await poller.stop();
    for (const step of ['applyWebhook', 'closeWebhook'] as const) {
      assert.equal(calls().filter((call) => call.step === step).length, ids.length, step);
    }
    assert.equal(callsOfLate().length, 2);
    assert.deepEqual(poller.lines, []);
  });

  it('gives each event one outcome, however many pollers there are', async function () {
    this.timeout(60_000);
    const ids = await stored(40);
    const calls = bench.expect(rows(), ids);
    const pollers = [polling(), polling(), polling()];
    await untilOpen(0);
    await Promise.all(pollers.map(({ stop }) => stop()));
    const applied = calls().filter(({ step }) => step === 'applyWebhook');
    // A poller may have read a page before an event was closed, and start it again after: that does nothing new.
    const outcomes = await query(databases.adminUrl('payment'), 'select distinct outcome from payment_webhooks');
    assert.deepEqual(outcomes, [{ outcome: 'UNKNOWN_CHARGE' }]);
    assert.ok(applied.length >= ids.length && applied.length <= 3 * ids.length, `${applied.length} times`);
    assert.deepEqual(
      pollers.flatMap(({ lines }) => lines),
      [],
    );
  });

  it('is not held up by an event that takes long, and leaves its workflow alone', async () => {
    const gate = new Gate();
    const [slow = ''] = await stored(1);
    const calls = bench.expect(
      rows({ applyWebhook: gate.before(() => ({ outcome: 'UNKNOWN_CHARGE' as const, orderId: null })) }),
      [slow],
    );
    const poller = polling({ restartAfterMs: INTERVAL_MS });
    await gate.reached;
    bench.expect(rows(), await stored(5));
    await untilOpen(1);
    await sleep(5 * INTERVAL_MS);
    gate.open();
    await untilOpen(0);
    await poller.stop();
    assert.deepEqual(
      calls().map(({ step }) => step),
      ['applyWebhook', 'closeWebhook'],
    );
  });

  it('starts an event again whose workflow was ended by force', async () => {
    const gate = new Gate();
    const [eventId = ''] = await stored(1);
    bench.expect(
      rows({
        applyWebhook: async (_input, call) => {
          if (call === 1) await gate.before(() => undefined)();
          return { outcome: 'UNKNOWN_CHARGE', orderId: null };
        },
      }),
      [eventId],
    );
    const poller = polling({ restartAfterMs: 200 });
    await gate.reached;
    await client.workflow.getHandle(webhookWorkflowId(PROVIDER, eventId)).terminate('by an operator');
    await untilOpen(0);
    gate.open();
    await poller.stop();
  });

  it('waits out an outage of Temporal, says so once, and goes on', async function () {
    this.timeout(60_000);
    proxy.cutOff();
    bench.expect(rows(), await stored(3));
    const poller = polling();
    await eventually('it said so', () => Promise.resolve(poller.lines.length > 0 ? true : undefined));
    await sleep(1_000);
    assert.equal(await open(), 3);
    proxy.restore();
    await untilOpen(0);
    await eventually('it said so', () => Promise.resolve(poller.lines.length > 1 ? true : undefined));
    await poller.stop();
    assert.deepEqual(poller.lines, [
      [40, 'events of the payment provider wait: trying again until it works'],
      [30, 'events of the payment provider are worked off again'],
    ]);
  });

  it('waits out an outage of PostgreSQL in the same way', async () => {
    bench.expect(rows(), await stored(3));
    let isDown = true;
    const nowhere = openPayment('postgresql://nobody:nothing@127.0.0.1:1/db_payment', { poolSize: 1 });
    const find = (page: PageInput) => openWebhooks(isDown ? nowhere : payment, page);
    const poller = polling({ find });
    await eventually('it said so', () => Promise.resolve(poller.lines.length > 0 ? true : undefined));
    isDown = false;
    await untilOpen(0);
    await poller.stop();
    await nowhere.$disconnect();
    assert.deepEqual(
      poller.lines.map(([level]) => level),
      [40, 30],
    );
  });

  it('stops at once, in the middle of a pause, and starts nothing afterwards', async () => {
    const poller = polling({ intervalMs: 60_000 });
    await sleep(200);
    const before = performance.now();
    await poller.stop();
    assert.ok(performance.now() - before < 1_000);
    const calls = bench.expect(rows(), await stored(1));
    await sleep(3 * INTERVAL_MS);
    assert.deepEqual([await open(), calls()], [1, []]);
  });
});
