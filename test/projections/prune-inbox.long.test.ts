import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openBus, openViews } from '../../infra/databases.ts';
import { viewNamed, VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { historyOf } from '../../projections/history.ts';
import { NoHistory } from '../../projections/history-stream.ts';
import { noteCaughtUp } from '../../projections/progress.ts';
import { pruneInboxes } from '../../projections/prune-inbox.ts';
import { type RebuildOptions, rebuildView } from '../../projections/rebuild.ts';
import { register, release } from '../../projections/rebuild-row.ts';
import type { View } from '../../projections/view.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { rowsOf } from '../support/views.ts';
import { orderEvents, productEvents, stockLevels, userEvents } from '../support/views-history.ts';

const OPTIONS = { timeZone: 'Asia/Seoul' };
const BUS_DAYS = 90;
const AT = '2026-11-20T03:00:00.000Z';
/** After the beginning of any rebuild of these tests. */
const IN_TIME = '2999-01-01T00:00:00Z';

/** Paid orders, some refunded on two later days, so that sums of several kinds and days come of them. */
const PAST = [
  ...userEvents('1', ['Ada', 'Ada L.'], AT),
  ...productEvents('10', [1_000, 1_200], AT),
  ...stockLevels('10', 'MAIN', [50, 40], AT),
  ...Array.from({ length: 12 }, (_, index) =>
    orderEvents({
      ...{ name: `pruned-${index}`, userId: '1', currency: 'KRW', placedAt: AT },
      lines: [{ productId: '10', quantity: 1 + (index % 3), unitPriceMinor: 1_000 }],
      end: {
        ...{ kind: 'PAID', at: AT },
        refunds:
          index % 2 === 0
            ? ['2026-11-21', '2026-11-23'].map((day) => ({ at: `${day}T16:00:00.000Z`, minor: 300 }))
            : [],
      },
    }),
  ).flat(),
];

describe('pruning the inboxes of the views', () => {
  let databases: TestDatabases;
  let bus: EventBus;
  let log: Databases['bus'];
  let views: Databases['views'];
  let folder: string;
  before(async () => void (folder = await mkdtemp(join(tmpdir(), 'prune-'))));
  after(() => rm(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    databases = await freshDatabases();
    bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
    log = openBus(databases.urls.bus, { poolSize: 2 });
    views = openViews(databases.urls.views, { poolSize: 5 });
    await bus.publish(PAST);
    await applyAll();
  });
  afterEach(async () => {
    await Promise.all([views.$disconnect(), log.$disconnect(), bus.close()]);
    await databases.drop();
  });

  const applyAll = async (events = PAST): Promise<void> => {
    for (const view of VIEWS) await applyToView(views, view, events, OPTIONS);
  };
  const asAdmin = (sql: string) => query<Record<string, unknown>>(databases.adminUrl('views'), sql);
  const live = () => rowsOf(databases.adminUrl('views'));
  const prune = (options: Partial<Parameters<typeof pruneInboxes>[1]> = {}) =>
    pruneInboxes(
      { views },
      {
        ...{ busDays: BUS_DAYS, dryRun: false, pauseMs: 0, signal: new AbortController().signal },
        ...{ onPruned: () => undefined },
        ...options,
      },
    );
  const inboxes = async (): Promise<Record<string, number>> => {
    const rows = await asAdmin('select view, count(*)::int as n from projection_inbox group by 1 order by 1');
    return Object.fromEntries(rows.map(({ view, n }) => [String(view), Number(n)]));
  };
  const age = (days: number) => asAdmin(`update projection_inbox set applied_at = now() - interval '${days} days'`);
  const rebuild = (view: View, options: Partial<RebuildOptions> = {}) =>
    rebuildView(view, {
      ...{ views, places: { bus: log }, options: OPTIONS, holder: randomUUID() },
      ...{ signal: new AbortController().signal, onStep: () => undefined },
      ...options,
    });

  it('keeps every event for as long as the bus does, and for the rest of its month', async () => {
    const before = await inboxes();
    await age(BUS_DAYS + 31);
    assert.deepEqual(await prune(), { tables: [], held: [], readingLog: [] });
    assert.deepEqual(await inboxes(), before);
  });

  it('forgets in batches what is older, and of a dry run only says it', async () => {
    const before = await inboxes();
    await age(BUS_DAYS + 33);
    await asAdmin("update projection_inbox set applied_at = now() where view = 'products'");
    const { products = 0, ...old } = before;
    const expected = Object.entries(old).map(([view, rows]) => ({ table: `projection_inbox_${view}`, rows }));
    const byTable = (tables: readonly { table: string; rows: number }[]) =>
      [...tables].sort((a, b) => a.table.localeCompare(b.table));

    assert.deepEqual(byTable((await prune({ dryRun: true })).tables), expected);
    assert.deepEqual(await inboxes(), before);
    const batches: number[] = [];
    const { tables } = await prune({ batchRows: 10, onPruned: (_, rows) => batches.push(rows) });
    assert.deepEqual(byTable(tables), expected);
    assert.equal(Math.max(...batches), 10);
    assert.deepEqual(await inboxes(), { products });
    assert.deepEqual((await prune()).tables, []);
  });

  it('looks at what it forgets alone, however much is old', async () => {
    await asAdmin(`insert into projection_inbox (view, event_id)
      select 'users', gen_random_uuid() from generate_series(1, 20000)`);
    await age(BUS_DAYS + 33);
    await asAdmin('vacuum analyze projection_inbox_users');
    /** A session tells what it has read when it ends. */
    const readWhen = (changed: 'n_tup_upd' | 'n_tup_del', atLeast: number) =>
      eventually('the server has counted', async () => {
        const [row] = await asAdmin(`select ${changed}::int as changed, (seq_tup_read + (
            select sum(idx_tup_read) from pg_stat_user_indexes i where i.relid = t.relid
          ))::int as read
          from pg_stat_user_tables t where relname = 'projection_inbox_users'`);
        return Number(row?.['changed']) >= atLeast ? Number(row?.['read']) : undefined;
      });
    const before = await readWhen('n_tup_upd', 20_000);
    const stopping = new AbortController();
    const mine = openViews(databases.urls.views, { poolSize: 1 });
    const how = { busDays: BUS_DAYS, dryRun: false, pauseMs: 0, batchRows: 10, signal: stopping.signal };
    await assert.rejects(pruneInboxes({ views: mine }, { ...how, onPruned: () => stopping.abort() }));
    await mine.$disconnect();
    const read = (await readWhen('n_tup_del', 10)) - before;
    assert.ok(read < 1_000, `${read} rows were read to forget 10`);
  });

  it('changes no row of any view when every forgotten event comes again, in any order', async () => {
    const before = await live();
    for (const again of [PAST, [...PAST].reverse()]) {
      await age(BUS_DAYS + 33);
      await prune();
      assert.deepEqual(await inboxes(), {});
      for (let i = 0; i < again.length; i += 7) await applyAll(again.slice(i, i + 7));
      assert.deepEqual(await live(), before);
    }
  });

  it('leaves a view alone that is being rebuilt, and says which rebuilds read the log', async () => {
    await age(BUS_DAYS + 33);
    const before = await inboxes();
    await register(views, { view: 'sales', holder: 'a test' }, 'log', false);
    await register(views, { view: 'users', holder: 'a test' }, 'outboxes', false);
    const { held, readingLog } = await prune();
    assert.deepEqual(
      held.map(({ table }) => table),
      ['projection_inbox_users', 'projection_inbox_sales'],
    );
    assert.match(held[1]?.fix ?? '', /npm run views:rebuild -- sales$/);
    assert.deepEqual(readingLog, ['sales']);
    const { sales = 0, users = 0 } = before;
    assert.deepEqual(await inboxes(), { sales, users });
  });

  for (const view of VIEWS) {
    it(`rebuilds ${view.name} as it was after its inbox was forgotten`, async () => {
      const before = await live();
      await age(BUS_DAYS + 33);
      await prune();
      const { result, lacking, tables } = await rebuild(view);
      assert.deepEqual({ result, lacking }, { result: 'SWAPPED', lacking: 0 });
      for (const { onlyLive, onlyRebuilt, differing } of tables) {
        assert.deepEqual({ onlyLive, onlyRebuilt, differing }, { onlyLive: 0, onlyRebuilt: 0, differing: 0 });
      }
      assert.deepEqual(await live(), before);
      assert.deepEqual(await asAdmin(`select forgotten::int from projection_progress where view = '${view.name}'`), [
        { forgotten: 0 },
      ]);
    });
  }

  it('does not believe files that lack what was forgotten', async () => {
    const before = await live();
    await age(BUS_DAYS + 33);
    await prune();
    await query(databases.adminUrl('bus'), 'delete from event_log');
    const fromFiles = async (events: readonly StoredEvent[]) => {
      const file = join(folder, `${randomUUID()}.jsonl`);
      const lines = events.map(({ envelope }, index) => JSON.stringify({ cursor: String(index + 1), event: envelope }));
      await writeFile(file, `${lines.join('\n')}\n`);
      return rebuild(viewNamed('orders'), { from: 'files', restart: true, places: { bus: log, files: [file] } });
    };
    const isBehind = (error: unknown) => error instanceof NoHistory && /is behind.*npm run events/.test(error.message);
    await assert.rejects(fromFiles(PAST.slice(0, -8)), isBehind);
    await noteCaughtUp(views, ['orders'], IN_TIME);
    const short = await fromFiles(PAST.slice(0, -8));
    assert.equal(short.result, 'REFUSED');
    assert.ok(short.lacking > 0);
    assert.deepEqual(await live(), before);

    const whole = await fromFiles(PAST);
    assert.deepEqual([whole.result, whole.lacking], ['SWAPPED', 0]);
    assert.deepEqual(await live(), before);
  });

  it('does not believe a log whose beginning goes while it is read, nor goes on with such a rebuild', async () => {
    const view = viewNamed('orders');
    const { streams } = await historyOf(view, { bus: log });
    await register(views, { view: view.name, holder: 'a test' }, 'log', false);
    await release(views, { view: view.name, holder: 'a test' });
    await query(databases.adminUrl('bus'), 'delete from event_log where position <= 3');
    const [stream] = streams;
    assert.ok(stream !== undefined);
    const isNamed = (error: unknown) =>
      error instanceof NoHistory && /the log begins at position 4.* --restart/.test(error.message);
    await assert.rejects(stream.read(0n, await stream.end()), isNamed);
    await assert.rejects(rebuild(view), isNamed);
  });
});
