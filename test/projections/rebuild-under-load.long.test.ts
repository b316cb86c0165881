import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';
import { pino } from 'pino';

import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { openBus, openViews } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { VIEWS } from '../../projections/all.ts';
import { type RebuildStep, rebuildView } from '../../projections/rebuild.ts';
import { freshDatabases } from '../support/databases.ts';
import { killedRebuild } from '../support/killed-rebuild.ts';
import { projectionOf, untilCaughtUp } from '../support/projection.ts';
import { VIEW_TABLES } from '../support/views.ts';
import { orderEvents, type OrderStory, productEvents, stockLevels, userEvents } from '../support/views-history.ts';

const AT = '2026-11-20T03:00:00.000Z';
const LIMIT_MS = 240_000;
const FIRST_ORDERS = 1_500;
/** Between two orders of the load, milliseconds. */
const PAUSE_MS = 30;
const LOOK_MS = 10;
const TIME_ZONE = 'Asia/Seoul';

const storyOf = (index: number): OrderStory => ({
  ...{ name: `load-${index}`, userId: String((index % 20) + 1), currency: 'KRW', placedAt: AT },
  lines: [{ productId: String(10 + (index % 5)), quantity: 1 + (index % 3), unitPriceMinor: 1_000 }],
  end: { kind: 'PAID', at: AT, refunds: index % 3 === 0 ? [{ at: '2026-11-21T16:00:00.000Z', minor: 300 }] : [] },
});

describe('views that are rebuilt while orders come and readers read', function () {
  this.timeout(LIMIT_MS);

  it('never miss a row, and are right afterwards, although each rebuild is killed and then cut off', async () => {
    const databases = await freshDatabases();
    const bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
    const log = openBus(databases.urls.bus, { poolSize: 2 });
    const views = openViews(databases.urls.views, { poolSize: 6 });
    const projection = projectionOf(databases, VIEWS);
    const env = {
      ...{ ...inheritedEnvironment(), NODE_ENV: 'test', SHOP_TIME_ZONE: TIME_ZONE },
      ...{ VIEWS_DATABASE_URL: databases.urls.views, BUS_DATABASE_URL: databases.urls.bus },
    };
    const ending = new AbortController();
    try {
      for (let user = 1; user <= 20; user++) await bus.publish(userEvents(String(user), ['A', 'B'], AT));
      for (let product = 10; product < 15; product++) {
        await bus.publish([
          ...productEvents(String(product), [1, 2], AT),
          ...stockLevels(String(product), 'MAIN', [9, 8], AT),
        ]);
      }
      for (let index = 0; index < FIRST_ORDERS; index += 50) {
        await bus.publish(Array.from({ length: 50 }, (_, at) => orderEvents(storyOf(index + at))).flat());
      }
      await untilCaughtUp(databases, ...VIEWS.map(({ name }) => name));

      const loading = load(
        async (index) => void (await bus.publish(orderEvents(storyOf(FIRST_ORDERS + index)))),
        ending.signal,
      );
      // No row is ever deleted, so no look may find fewer than the one before.
      const looking = look(databases.urls.views, ending.signal);
      const killed = await Promise.all(VIEWS.map(({ name }) => killedRebuild(databases, env, name)));
      for (const [index, view] of VIEWS.entries()) {
        const cut = new AbortController();
        const run = (signal: AbortSignal, onStep: (at: RebuildStep) => unknown, dryRun = false) =>
          rebuildView(view, {
            ...{ views, places: { bus: log }, options: { timeZone: TIME_ZONE }, holder: randomUUID(), dryRun },
            ...{ signal, onStep },
          });
        await assert.rejects(
          run(cut.signal, ({ step }) => step === 'events' && cut.abort()),
          { name: 'AbortError' },
        );
        const report = await run(ending.signal, () => undefined);
        assert.deepEqual([report.result, report.resumed, report.leftOut], ['SWAPPED', true, []], view.name);
        assert.ok(report.applied > (killed[index] ?? Infinity), `${view.name} was killed after all of its events`);
        for (const { table, onlyLive, onlyRebuilt, differing } of report.tables) {
          assert.deepEqual([table, onlyLive, onlyRebuilt, differing], [table, 0, 0, 0], JSON.stringify(report));
        }
      }
      ending.abort();
      assert.ok((await loading) > 10);
      assert.ok((await looking) > 50);

      await untilCaughtUp(databases, ...VIEWS.map(({ name }) => name));
      assert.deepEqual(projection.failures, {});
      for (const view of VIEWS) {
        const signal = new AbortController().signal;
        const report = await rebuildView(view, {
          ...{ views, places: { bus: log }, options: { timeZone: TIME_ZONE }, holder: randomUUID(), dryRun: true },
          ...{ signal, onStep: () => undefined },
        });
        assert.deepEqual([report.lacking, report.ahead], [0, 0]);
        for (const { samples } of report.tables) assert.deepEqual(samples, []);
      }
    } finally {
      ending.abort();
      await projection.close();
      await Promise.all([bus.close(), log.$disconnect(), views.$disconnect()]);
      await databases.drop();
    }
  });
});

/** Does it again and again, from 0 on. @returns how often */
async function load(one: (index: number) => Promise<void>, signal: AbortSignal): Promise<number> {
  for (let index = 0; ; index++) {
    if (signal.aborted) return index;
    await one(index);
    await sleep(PAUSE_MS);
  }
}

/** Counts the rows of every table again and again. @returns how often */
async function look(url: string, signal: AbortSignal): Promise<number> {
  const reader = new pg.Client({ connectionString: url });
  await reader.connect();
  const counting = `select ${VIEW_TABLES.map((table) => `(select count(*)::int from ${table}) as ${table}`).join(', ')}`;
  try {
    let seen: Readonly<Record<string, number>> = {};
    for (let times = 1; ; times++) {
      const [row = {}] = (await reader.query<Record<string, number>>(counting)).rows;
      for (const table of VIEW_TABLES) {
        assert.ok((row[table] ?? -1) >= (seen[table] ?? 1), `${table} had ${seen[table]} rows and then ${row[table]}`);
      }
      seen = row;
      if (signal.aborted) return times;
      await sleep(LOOK_MS);
    }
  } finally {
    await reader.end();
  }
}
