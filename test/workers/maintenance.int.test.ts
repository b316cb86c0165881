import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';

import { readConfig } from '../../infra/config.ts';
import { ensureSchedule } from '../../infra/temporal-schedule.ts';
import { openCheckoutWorker } from '../../workers/checkout-worker.ts';
import { maintenanceSchedule } from '../../workers/maintenance-schedule.ts';
import { openPaymentWorker } from '../../workers/payment-worker.ts';
import type { OpenWorker } from '../../workers/temporal-worker.ts';
import { openViewsWorker } from '../../workers/views-worker.ts';
import { MAINTENANCE_WORKFLOW, QUEUES } from '../../workflows/contract.ts';
import type { maintenance } from '../../workflows/maintenance.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { temporalServer } from '../support/servers.ts';

const OLD = "now() - interval '200 days'";

describe('upkeep, every night', function () {
  this.timeout(120_000);
  let databases: TestDatabases;
  let connection: Connection;
  let nativeConnection: NativeConnection;
  let client: Client;
  let workers: OpenWorker[];
  let running: Promise<unknown>;
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(line) });

  before(async () => {
    quietRuntime();
    databases = await freshDatabases();
    const { address } = await temporalServer();
    connection = await Connection.connect({ address });
    nativeConnection = await NativeConnection.connect({ address });
    client = new Client({ connection });
    const { views, bus, payment } = databases.urls;
    const config = readConfig({
      ...{ VIEWS_DATABASE_URL: views, BUS_DATABASE_URL: bus, PAYMENT_DATABASE_URL: payment },
      GATEWAY_URL: 'http://127.0.0.1:9', // nobody asks it
    });
    const context = { config, connection: nativeConnection, namespace: 'default', dataConverter: {}, log };
    workers = await Promise.all([openCheckoutWorker, openViewsWorker, openPaymentWorker].map((open) => open(context)));
    running = Promise.all(workers.map(({ worker }) => worker.run()));
  });
  after(async () => {
    for (const { worker } of workers) worker.shutdown();
    await running;
    await Promise.all(workers.map(({ close }) => close()));
    await connection.close();
    await nativeConnection.close();
    await databases.drop();
  });

  const on = (database: 'bus' | 'views' | 'payment', sql: string) =>
    query<Record<string, unknown>>(databases.adminUrl(database), sql);
  /** An old month of the log, an old event of an inbox, and old and young webhooks with and without an outcome. */
  const fill = async (): Promise<string> => {
    await on('bus', `select create_event_log_month((${OLD})::date)`);
    await on(
      'bus',
      `insert into event_log (appended_at, source, event_id, type, subject, aggregate_version, envelope)
       select at, 'order', gen_random_uuid(), 'OrderPaid', 'order/' || n, 1, '{}'
       from (values (1, ${OLD}), (2, ${OLD}), (3, now())) as e (n, at) order by n`,
    );
    await on('bus', "insert into group_offsets (group_name, position) values ('view-orders', 3)");
    await on(
      'views',
      `insert into projection_inbox (view, event_id, applied_at)
       values ('orders', gen_random_uuid(), ${OLD}), ('orders', gen_random_uuid(), now())`,
    );
    await on(
      'payment',
      `insert into payment_webhooks (provider, event_id, type, provider_payment_id, fields, body_hash, received_at,
         outcome, handled_at)
       select 'somebody', id, 't', 'c', '{}', repeat('0', 64), ${OLD}, outcome, at
       from (values ('old', 'APPLIED', ${OLD}), ('late', 'UNCHANGED', now()), ('open', null, null::timestamptz))
         as w (id, outcome, at)`,
    );
    const [row] = await on('bus', `select 'event_log_' || to_char((${OLD}) at time zone 'utc', 'YYYY_MM') as part`);
    return String(row?.['part']);
  };
  const left = async () => ({
    log: (await on('bus', 'select position::int from event_log order by 1')).map(({ position }) => position),
    inbox: (await on('views', 'select count(*)::int as n from projection_inbox'))[0]?.['n'],
    webhooks: (await on('payment', 'select event_id from payment_webhooks order by 1')).map((row) => row['event_id']),
  });

  it('takes away what is old and was handled, and nothing else, when its schedule starts it', async () => {
    const month = await fill();
    const wanted = maintenanceSchedule({ shopTimeZone: 'Asia/Seoul' });
    assert.equal(await ensureSchedule({ client }, wanted, log), true);
    const schedule = client.schedule.getHandle('maintenance');
    const { spec, policies, action } = await schedule.describe();
    assert.deepEqual([spec.timezone, spec.calendars?.length, policies.overlap], ['Asia/Seoul', 1, 'SKIP']);
    assert.deepEqual([action.workflowType, action.args], [MAINTENANCE_WORKFLOW, [{ dryRun: false }]]);

    const before = await left();
    const found = await client.workflow.execute<typeof maintenance>(MAINTENANCE_WORKFLOW, {
      ...{ taskQueue: QUEUES.checkout, workflowId: `maintenance-${randomUUID()}`, args: [{ dryRun: true }] },
    });
    const tables = [
      { table: 'projection_inbox_orders', rows: 1 },
      { table: month, rows: 2 },
      { table: 'payment_webhooks', rows: 1 },
    ];
    assert.deepEqual(found, { dryRun: true, tables, held: [], unreachable: [] });
    assert.deepEqual(await left(), before);

    await schedule.trigger();
    const workflowId = await eventually('the schedule has started it', async () => {
      const [started] = (await schedule.describe()).info.recentActions;
      return started?.action.workflow.workflowId;
    });
    await schedule.delete();
    const result = await client.workflow.getHandle<typeof maintenance>(workflowId).result();
    assert.deepEqual(result, { dryRun: false, tables, held: [], unreachable: [] });
    assert.deepEqual(await left(), { log: [3], inbox: 1, webhooks: ['late', 'open'] });
    assert.ok(lines.some((line) => line.includes('upkeep: log of the bus') && line.includes(month)));
  });

  it('goes on by itself when a database could not be asked for a moment', async () => {
    const renamed = (from: string, to: string) => on('payment', `alter table ${from} rename to ${to}`);
    await renamed('payment_webhooks', 'away');
    const handle = await client.workflow.start<typeof maintenance>(MAINTENANCE_WORKFLOW, {
      ...{ taskQueue: QUEUES.checkout, workflowId: `maintenance-${randomUUID()}`, args: [{ dryRun: false }] },
    });
    await eventually('an attempt of it has failed', async () => {
      const { raw } = await handle.describe();
      return raw.pendingActivities?.some(({ attempt }) => (attempt ?? 0) > 1);
    });
    await renamed('away', 'payment_webhooks');
    assert.deepEqual(await handle.result(), { dryRun: false, tables: [], held: [], unreachable: [] });
  });
});
