import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';

import { daysBefore, daysUpTo } from '../../domain/daily-sales.ts';
import { readConfig } from '../../infra/config.ts';
import { type Databases, openViews } from '../../infra/databases.ts';
import { ensureSchedule } from '../../infra/temporal-schedule.ts';
import { viewNamed } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { shopToday } from '../../projections/daily-sums.ts';
import { openCheckoutWorker } from '../../workers/checkout-worker.ts';
import { dailySalesSchedule } from '../../workers/daily-sales-schedule.ts';
import type { OpenWorker } from '../../workers/temporal-worker.ts';
import { openViewsWorker } from '../../workers/views-worker.ts';
import { DAILY_SALES_WORKFLOW, QUEUES } from '../../workflows/contract.ts';
import type { dailySales } from '../../workflows/daily-sales.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { temporalServer } from '../support/servers.ts';
import { rowsOf } from '../support/views.ts';
import { orderEvents } from '../support/views-history.ts';

const SEOUL = { timeZone: 'Asia/Seoul' };
const HOUR_MS = 3_600_000;

describe('the daily sales, every night', function () {
  this.timeout(120_000);
  let databases: TestDatabases;
  let views: Databases['views'];
  let connection: Connection;
  let nativeConnection: NativeConnection;
  let client: Client;
  let workers: OpenWorker[];
  let running: Promise<unknown>;
  let lines: string[];
  let today: string;
  const log = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });

  before(async () => {
    quietRuntime();
    databases = await freshDatabases();
    views = openViews(databases.urls.views, { poolSize: 2 });
    const { address } = await temporalServer();
    connection = await Connection.connect({ address });
    nativeConnection = await NativeConnection.connect({ address });
    client = new Client({ connection });
    const { views: viewsUrl, bus } = databases.urls;
    const config = readConfig({ VIEWS_DATABASE_URL: viewsUrl, BUS_DATABASE_URL: bus });
    const context = { config, connection: nativeConnection, namespace: 'default', dataConverter: {}, log };
    workers = await Promise.all([openCheckoutWorker(context), openViewsWorker(context)]);
    running = Promise.all(workers.map(({ worker }) => worker.run()));
    today = await shopToday(views, SEOUL.timeZone);
    await applyToView(views, viewNamed('sales'), [0, 3, 20].flatMap(paidDaysAgo), SEOUL);
  });
  beforeEach(() => (lines = []));
  after(async () => {
    for (const { worker } of workers) worker.shutdown();
    await running;
    await Promise.all(workers.map(({ close }) => close()));
    await views.$disconnect();
    await connection.close();
    await nativeConnection.close();
    await databases.drop();
  });

  const paidDaysAgo = (days: number) => {
    const at = `${daysBefore(today, days)}T03:00:00.000Z`;
    const lines = [{ productId: '10', quantity: 2, unitPriceMinor: 5_000 }];
    const end = { kind: 'PAID' as const, at, refunds: [] };
    return orderEvents({ name: `${days} days ago`, userId: '7', currency: 'KRW', lines, placedAt: at, end });
  };
  const sums = async () => (await rowsOf(databases.urls.views, ['mv_daily_sales']))['mv_daily_sales'];
  const asOwner = (sql: string) => query(databases.adminUrl('views'), sql);
  const run = (days: number) =>
    client.workflow.execute<typeof dailySales>(DAILY_SALES_WORKFLOW, {
      taskQueue: QUEUES.checkout,
      workflowId: `daily-sales-${randomUUID()}`,
      args: [{ days }],
    });

  it('are recomputed for the last week at ten past three by the clock of the shop, or when somebody asks', async () => {
    const wanted = dailySalesSchedule({ shopTimeZone: SEOUL.timeZone });
    assert.equal(await ensureSchedule({ client }, wanted, log), true);
    const schedule = client.schedule.getHandle('daily-sales');
    const { spec, policies, action, info } = await schedule.describe();
    const [calendar] = spec.calendars ?? [];
    assert.deepEqual(
      [spec.calendars?.length, spec.intervals ?? [], spec.timezone, calendar?.hour, calendar?.minute, calendar?.second],
      [1, [], 'Asia/Seoul', ...[3, 10, 0].map((start) => [{ start, end: start, step: 1 }])],
    );
    assert.deepEqual(
      [calendar?.dayOfMonth, calendar?.month, calendar?.dayOfWeek],
      [
        [1, 31],
        ['JANUARY', 'DECEMBER'],
        ['SUNDAY', 'SATURDAY'],
      ].map(([start, end]) => [{ start, end, step: 1 }]),
    );
    assert.equal(info.nextActionTimes[0]?.toISOString().slice(11), '18:10:00.000Z');
    assert.deepEqual([policies.overlap, policies.catchupWindow], ['SKIP', 12 * HOUR_MS]);
    assert.deepEqual([action.workflowType, action.args], ['dailySales', [{ days: 7 }]]);

    const right = await sums();
    await asOwner(`update mv_daily_sales set gross = 1 where date >= '${daysBefore(today, 3)}'`);
    await asOwner(`insert into mv_daily_sales (date, currency) values ('${daysBefore(today, 1)}', 'KRW')`);
    await schedule.trigger();
    const workflowId = await eventually('the schedule has started it', async () => {
      const [started] = (await schedule.describe()).info.recentActions;
      return started?.action.workflow.workflowId;
    });
    await schedule.delete();
    assert.match(workflowId, /^daily-sales-/);

    const handle = client.workflow.getHandle<typeof dailySales>(workflowId);
    const { differing, differences, count, repaired, ...range } = await handle.result();
    assert.deepEqual(range, daysUpTo(today, 7));
    assert.deepEqual(
      differing,
      [3, 1, 0].map((days) => daysBefore(today, days)),
    );
    assert.deepEqual([count, differences.length, repaired], [8, 8, 8]);
    const first = { day: daysBefore(today, 3), currency: 'KRW', column: 'gross', was: '1', is: '10000' };
    assert.deepEqual(differences[0], first);
    assert.deepEqual(await sums(), right);

    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    assert.match(currentDetails, /\*\*8 sums of 3 days were wrong\*\*, 8 were put right\n/);
    assert.ok(currentDetails.includes(`- ${first.day} KRW gross: was 1, is 10000\n`), currentDetails);
    const logged = lines.map((line) => JSON.parse(line) as { day?: string; differences?: unknown[]; msg: string });
    assert.deepEqual(
      logged.map(({ day }) => day),
      differing,
    );
    assert.deepEqual(logged[0]?.differences, [first]);
  });

  it('are left alone where they are right, and where nobody asked for them', async () => {
    await asOwner(`update mv_daily_sales set gross = 1 where date = '${daysBefore(today, 20)}'`);
    const nothing = { differing: [], count: 0, differences: [], repaired: 0 };
    assert.deepEqual(await run(20), { ...daysUpTo(today, 20), ...nothing });
    assert.equal((await run(21)).repaired, 1);
    assert.equal((await run(21)).count, 0);
  });

  it('say at once that there is nothing to be had of no day, and of more than ten years', async () => {
    for (const days of [0, 1.5, 3_661]) {
      await assert.rejects(run(days), (error: unknown) => {
        assert.ok(error instanceof WorkflowFailedError);
        assert.match(String(error.cause?.cause), new RegExp(`days must be 1 to 3660, and not ${days}`));
        return true;
      });
    }
  });

  it('are counted beyond the first three hundred differences, which are kept by name', async () => {
    const [from, to] = [daysBefore(today, 159), daysBefore(today, 100)];
    await asOwner(
      `insert into mv_daily_sales (date, currency) select d, 'KRW' from generate_series('${from}'::date, '${to}', '1 day') d`,
    );
    const { differing, count, differences, repaired } = await run(160);
    assert.deepEqual([differing.length, count, differences.length, repaired], [60, 360, 300, 360]);
    const left = await asOwner(`select from mv_daily_sales where date between '${from}' and '${to}'`);
    assert.equal(left.length, 0);
  });
});
