import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openBus, openViews } from '../../infra/databases.ts';
import { viewNamed, VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { compareView } from '../../projections/compare.ts';
import { type RebuildOptions, rebuildView } from '../../projections/rebuild.ts';
import { readRebuilds, register, release, renew } from '../../projections/rebuild-row.ts';
import type { View } from '../../projections/view.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { gate } from '../support/gate.ts';
import { rowsOf } from '../support/views.ts';
import { orderEvents, type OrderStory, productEvents, stockLevels, userEvents } from '../support/views-history.ts';

const OPTIONS = { timeZone: 'Asia/Seoul' };
const AT = '2026-11-20T03:00:00.000Z';

/** Nobody wakes whoever waits on it. */
const NOTHING = new Int32Array(new SharedArrayBuffer(4));

/** Two users, two products with stock, and orders that were paid, refunded on another day, failed or are open. */
const PAST: readonly StoredEvent[] = [
  ...userEvents('1', ['Ada', 'Ada L.'], AT),
  ...userEvents('2', ['Bo'], AT),
  ...productEvents('10', [1_000, 1_200], AT),
  ...productEvents('11', [2_000], AT),
  ...stockLevels('10', 'MAIN', [50, 40], AT),
  ...stockLevels('11', 'MAIN', [5], AT),
  ...Array.from({ length: 30 }, (_, index) => orderEvents(storyOf(index))).flat(),
];

function storyOf(index: number): OrderStory {
  const refunds = index % 6 === 0 ? [{ at: '2026-11-21T16:00:00.000Z', minor: 500 }] : [];
  const ends = [
    { kind: 'PAID', at: AT, refunds } as const,
    { kind: 'FAILED', at: AT } as const,
    { kind: 'OPEN' } as const,
  ];
  return {
    ...{ name: `past-${index}`, userId: String((index % 2) + 1), currency: 'KRW', placedAt: AT },
    lines: [{ productId: index % 4 === 0 ? '11' : '10', quantity: 1 + (index % 3), unitPriceMinor: 1_000 }],
    end: ends[index % 3] ?? { kind: 'OPEN' },
  };
}

describe('the rebuild of a view', () => {
  let databases: TestDatabases;
  let bus: EventBus;
  let log: Databases['bus'];
  let views: Databases['views'];
  beforeEach(async () => {
    databases = await freshDatabases();
    bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
    log = openBus(databases.urls.bus, { poolSize: 2 });
    views = openViews(databases.urls.views, { poolSize: 5 });
    await bus.publish(PAST);
    for (const view of VIEWS) await applyToView(views, view, PAST, OPTIONS);
  });
  afterEach(async () => {
    await Promise.all([views.$disconnect(), log.$disconnect(), bus.close()]);
    await databases.drop();
  });

  const rebuild = (view: View, options: Partial<RebuildOptions> = {}) =>
    rebuildView(view, {
      ...{ views, places: { bus: log }, options: OPTIONS, holder: randomUUID() },
      ...{ signal: new AbortController().signal, onStep: () => undefined },
      ...options,
    });
  const live = () => rowsOf(databases.adminUrl('views'));
  const asAdmin = (sql: string) => query<Record<string, unknown>>(databases.adminUrl('views'), sql);
  const shadowTables = () =>
    asAdmin("select relname from pg_class where relnamespace = 'shadow'::regnamespace and relkind = 'r'");

  for (const view of VIEWS) {
    it(`makes ${view.name} what it was, from the log, and leaves no traces`, async () => {
      const before = await live();
      const report = await rebuild(view);
      assert.equal(report.result, 'SWAPPED');
      assert.equal(report.source, 'log');
      for (const { table, live: rows, rebuilt, ...differences } of report.tables) {
        assert.deepEqual({ table, ...differences }, { table, onlyLive: 0, onlyRebuilt: 0, differing: 0, samples: [] });
        assert.equal(rebuilt, rows);
        assert.ok(rows > 0, table);
      }
      assert.deepEqual(await live(), before);
      assert.deepEqual(await shadowTables(), []);
      const { rebuiltAt, rebuild: running } = (await readRebuilds(views))[view.name];
      assert.ok(rebuiltAt !== null);
      assert.equal(running, null);
    });
  }

  it('finds and repairs damaged, missing and invented rows, and names their keys and columns', async () => {
    const before = await live();
    await asAdmin("update mv_users set full_name = 'Eve', email = 'eve@shop.test' where user_id = 1");
    await asAdmin('delete from mv_users where user_id = 2');
    await asAdmin("insert into mv_user_totals (user_id, currency) values (99, 'USD')");

    const dry = await rebuild(viewNamed('users'), { dryRun: true });
    assert.equal(dry.result, 'COMPARED');
    const samples = dry.tables.flatMap((table) => table.samples.map((sample) => ({ table: table.table, ...sample })));
    assert.deepEqual(samples, [
      { table: 'mv_users', kind: 'differing', key: { user_id: '1' }, columns: ['email', 'full_name'] },
      { table: 'mv_users', kind: 'onlyRebuilt', key: { user_id: '2' }, columns: [] },
      { table: 'mv_user_totals', kind: 'onlyLive', key: { user_id: '99', currency: 'USD' }, columns: [] },
    ]);
    assert.notDeepEqual(await live(), before);
    assert.deepEqual(await shadowTables(), []);

    assert.equal((await rebuild(viewNamed('users'))).result, 'SWAPPED');
    assert.deepEqual(await live(), before);
  });

  it('has what the projection applies meanwhile, and applies nothing twice after it', async () => {
    const late = orderEvents({ ...storyOf(0), name: 'late', userId: '2' });
    const fed = gate();
    const running = rebuild(viewNamed('sales'), {
      onStep: ({ step }) => {
        if (step === 'events') fed.open();
      },
    });
    await fed.passed;
    await bus.publish(late);
    await applyToView(views, viewNamed('sales'), late, OPTIONS);
    const { result } = await running;
    assert.equal(result, 'SWAPPED');
    const after = await live();
    assert.equal(await applyToView(views, viewNamed('sales'), [...PAST, ...late], OPTIONS), 0);
    assert.deepEqual(await live(), after);
  });

  it('refuses a second one of the same view while the first lives, and lets another view be rebuilt', async () => {
    const first = { view: 'orders', holder: 'the first' } as const;
    await register(views, first, 'log', false);
    const living = setInterval(() => void renew(views, first), 300);
    try {
      assert.equal((await readRebuilds(views)).orders.rebuild?.running, true);
      await assert.rejects(rebuild(viewNamed('orders')), /AlreadyRebuilding: orders is being rebuilt by the first/);
      assert.equal((await rebuild(viewNamed('payments'))).result, 'SWAPPED');
    } finally {
      clearInterval(living);
    }
    await release(views, first);
    assert.equal((await rebuild(viewNamed('orders'))).result, 'SWAPPED');
  });

  it('leaves out and names what cannot be applied, and puts the rest in place', async () => {
    const [created, ...rest] = orderEvents({ ...storyOf(0), name: 'of the future' });
    assert.ok(created !== undefined);
    await bus.publish([{ ...created, envelope: { ...created.envelope, dataschema: 'no version at all' } }, ...rest]);
    for (const view of VIEWS) await applyToView(views, view, rest, OPTIONS);
    const before = await live();
    const { result, leftOut } = await rebuild(viewNamed('orders'));
    assert.equal(result, 'SWAPPED');
    assert.deepEqual(
      leftOut.map(({ id, type }) => ({ id, type })),
      [{ id: created.id, type: 'OrderCreated' }],
    );
    assert.match(leftOut[0]?.reason ?? '', /names no version of its type/);
    assert.deepEqual(await live(), before);
  });

  it('compares for as long as it needs, whatever limit transactions of the service have', async () => {
    const url = new URL(databases.urls.views);
    url.searchParams.set('options', '-c transaction_timeout=1000');
    const limited = openViews(url.href, { poolSize: 1 });
    await views.$queryRaw`select open_shadow('users')::text`;
    try {
      const { tables } = await compareView(limited, 'users', () => void Atomics.wait(NOTHING, 0, 0, 500));
      assert.deepEqual(
        tables.map(({ table, onlyLive }) => [table, onlyLive > 0]),
        ['mv_users', 'mv_user_orders', 'mv_user_totals'].map((table) => [table, true]),
      );
      await assert.rejects(
        limited.$transaction(async (tx) => {
          await tx.$queryRaw`select pg_sleep(1.5)::text`;
        }),
      );
    } finally {
      await limited.$disconnect();
    }
  });

  it('leaves the live view in its place when the past lacks something that it has applied', async () => {
    await query(databases.adminUrl('bus'), "delete from event_log where type = 'OrderRefunded'");
    const before = await live();
    const report = await rebuild(viewNamed('sales'));
    assert.equal(report.result, 'REFUSED');
    assert.equal(report.lacking, 5);
    assert.deepEqual(await live(), before);
    assert.deepEqual(await shadowTables(), []);
    assert.equal((await readRebuilds(views)).sales.rebuild, null);
  });
});
