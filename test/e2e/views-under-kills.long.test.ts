import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { VIEW_NAMES, type ViewName } from '../../projections/view.ts';
import type { Child } from '../support/child.ts';
import { audited, runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { untilCaughtUp } from '../support/projection.ts';
import { recomputedViews } from '../support/recomputed-views.ts';
import { startSystem, type TestSystem } from '../support/system.ts';
import { rowsOf, VIEW_TABLES } from '../support/views.ts';

/**
 * `KILL_TEST_SHOPPERS=2000 npm run test:long -- <this file>` takes as many as the design asks for. On two cores that is a
 * quarter of an hour, more than the long suite has left.
 */
const SHOPPERS = Number(process.env['KILL_TEST_SHOPPERS'] ?? 400);
const AT_ONCE = 32;
const CUSTOMERS = 20;
/** Time to cancel an order before it is paid, also where requests take long; and no limit on what one customer may ask. */
const SETTINGS = { GATEWAY_SLOW_MS: '6000', MAX_OPEN_CHECKOUTS: '1000', RATE_LIMIT_PER_MINUTE: '100000' };
/** Several times what a machine needs that has nothing else to do; this is for one that has. */
const DEMO_LIMIT_MS = 10 * 60_000 + SHOPPERS * 1_000;
const DRAIN_LIMIT_MS = 120_000;
const BETWEEN_KILLS_MS = 8_000;
const LEAST_KILLS = 10;
const SERVICES = ['platform', 'order', 'payment'] as const;
const TIME_ZONE = 'Asia/Seoul';

type Pair = Readonly<{ parts: readonly string[]; running: Child[] }>;

describe('a shop whose relays and projectors are killed again and again', function () {
  this.timeout(DEMO_LIMIT_MS + 4 * DRAIN_LIMIT_MS);
  let databases: TestDatabases;
  let system: TestSystem;

  before(async () => {
    databases = await freshDatabases({ seed: true });
    system = await startSystem({ databases, env: { ...SETTINGS, SHOP_TIME_ZONE: TIME_ZONE } });
    await system.startWorkers();
  });
  after(() => system.stop());

  const demo = async () => {
    const customers = await system.query<{ id: string }>(
      'platform',
      `select id::text from users where status = 'ACTIVE' order by id limit ${CUSTOMERS}`,
    );
    const tokens = await Promise.all(customers.map(({ id }) => system.tokenOf(id)));
    const env = { ...system.env, API_URL: system.shop.url, API_TOKENS: tokens.join(',') };
    const args = ['--orders', String(SHOPPERS), '--concurrency', String(AT_ONCE)];
    return runEntry('cli/demo.ts', [...args, '--admin-token', system.shop.tokens.admin], env, DEMO_LIMIT_MS);
  };
  const startPair = async (...parts: string[]): Promise<Pair> => {
    return { parts, running: [await system.startEvents(...parts), await system.startEvents(...parts)] };
  };
  /** The older one of each pair is killed, and another one takes its place. @returns how many were */
  async function killWhile(going: () => boolean, pairs: readonly Pair[]): Promise<number> {
    let kills = 0;
    for (; going(); kills += pairs.length) {
      await sleep(BETWEEN_KILLS_MS);
      await Promise.all(
        pairs.map(async ({ parts, running }) => {
          await running.shift()?.kill();
          running.push(await system.startEvents(...parts));
        }),
      );
    }
    return kills;
  }
  const waiting = async (): Promise<number> => {
    const sql = 'select count(*)::int as n from outbox where published_at is null';
    const counts = await Promise.all(SERVICES.map((service) => system.query<{ n: number }>(service, sql)));
    return counts.flat().reduce((sum, { n }) => sum + n, 0);
  };
  /** What was written up to now is in the views. */
  const untilShown = async (...views: readonly ViewName[]): Promise<void> => {
    await eventually('nothing waits', async () => ((await waiting()) === 0 ? true : undefined), DRAIN_LIMIT_MS);
    await untilCaughtUp(databases, ...views);
  };

  it('serves every shopper as expected; its views equal what is computed anew from the events, and its books agree', async () => {
    const pairs = [await startPair(...SERVICES), await startPair('views')];
    await untilShown('products');
    let going = true;
    const since = performance.now();
    const [{ code, stdout, stderr }, kills] = await Promise.all([
      demo().finally(() => (going = false)),
      killWhile(() => going, pairs),
    ]);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, new RegExp(`^All ${SHOPPERS} fared as expected\\.$`, 'm'));
    assert.ok(kills >= LEAST_KILLS, `only ${kills} were killed`);
    const seconds = Math.round((performance.now() - since) / 1_000);
    process.stdout.write(`      ${SHOPPERS} shoppers in ${seconds} s, ${kills} kills\n`);

    await eventually('every saga has ended', async () => {
      const { count } = await system.temporal.workflow.count('ExecutionStatus = "Running"');
      return count === 0 ? true : undefined;
    });
    await untilShown(...VIEW_NAMES);
    const letters = await query(databases.adminUrl('bus'), 'select group_name, subject, error from dead_letters');
    assert.deepEqual(letters, [], 'nothing was set aside');

    const [shown, recomputed] = [
      await rowsOf(databases.adminUrl('views')),
      await recomputedViews(databases, TIME_ZONE),
    ];
    for (const table of VIEW_TABLES) assert.deepEqual(shown[table], recomputed[table], table);
    assert.ok((shown['mv_orders']?.length ?? 0) > SHOPPERS / 2);
    assert.ok((shown['mv_daily_sales']?.length ?? 0) > 0);

    const verdict = await audited(system, { relays: true });
    assert.equal(verdict.code, 0, `${verdict.stdout}\n${verdict.stderr}`);
    assert.match(verdict.stdout, /^audit: clean$/m);
  });
});
