import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { openViews } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { killedRebuild } from '../support/killed-rebuild.ts';
import { rowsOf } from '../support/views.ts';
import { orderEvents, type OrderStory, productEvents, stockLevels, userEvents } from '../support/views-history.ts';

const AT = '2026-11-20T03:00:00.000Z';
const LIMIT_MS = 60_000;
/** Enough for several pieces of the past. */
const ORDERS = 900;

const storyOf = (index: number): OrderStory => ({
  ...{ name: `command-${index}`, userId: String((index % 9) + 1), currency: 'KRW', placedAt: AT },
  lines: [{ productId: '10', quantity: 1, unitPriceMinor: 1_000 }],
  end: { kind: 'PAID', at: AT, refunds: index % 2 === 0 ? [{ at: '2026-11-21T16:00:00.000Z', minor: 300 }] : [] },
});
const PAST = [
  ...userEvents('1', ['Ada', 'Ada L.'], AT),
  ...productEvents('10', [1_000], AT),
  ...stockLevels('10', 'MAIN', [50, 40], AT),
  ...Array.from({ length: ORDERS }, (_, index) => orderEvents(storyOf(index))).flat(),
];

describe('npm run views:rebuild', function () {
  this.timeout(4 * LIMIT_MS);
  let databases: TestDatabases;
  let folder: string;
  let env: Record<string, string>;
  let before: Awaited<ReturnType<typeof rowsOf>>;
  beforeEach(async () => {
    databases = await freshDatabases();
    folder = await mkdtemp(join(tmpdir(), 'rebuild-'));
    const bus: EventBus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
    await bus.publish(PAST);
    await bus.close();
    await fillOutboxes(databases);
    const views = openViews(databases.urls.views, { poolSize: 2 });
    for (const view of VIEWS) await applyToView(views, view, PAST, { timeZone: 'Asia/Seoul' });
    await views.$disconnect();
    before = await live();
    env = { ...inheritedEnvironment(), NODE_ENV: 'test', DATA_DIR: folder, ...urlsOf('views', 'bus') };
  });
  afterEach(async () => {
    await databases.drop();
    await rm(folder, { recursive: true });
  });

  const urlsOf = (...names: (keyof TestDatabases['urls'])[]) =>
    Object.fromEntries(names.map((name) => [`${name.toUpperCase()}_DATABASE_URL`, databases.urls[name]]));
  const live = () => rowsOf(databases.adminUrl('views'));
  const damage = () =>
    query(databases.adminUrl('views'), 'update mv_orders set total_amount = 1 where order_number = $1', [
      'N-command-7',
    ]);
  const run = (...args: string[]) => runEntry('cli/views-rebuild.ts', args, env, LIMIT_MS);

  it('tells a dry run from a repair by its exit code, and names what was damaged', async () => {
    await damage();
    const dry = await run('orders', '--dry-run');
    assert.equal(dry.code, 1, dry.stderr);
    assert.match(dry.stdout, /^orders \(\d+ events from the log\): 1 rows differ; nothing was changed\./);
    assert.match(dry.stdout, /order_id [0-9a-f-]{36}: total_amount/);
    assert.notDeepEqual(await live(), before);

    const done = await run('orders');
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /1 rows differ; the rebuilt view is in place/);
    assert.deepEqual(await live(), before);

    const again = await run('orders', '--dry-run');
    assert.equal(again.code, 0, again.stdout);
  });

  it('takes the outboxes where the log has lost its beginning, and says what is missing without them', async () => {
    await query(databases.adminUrl('bus'), 'delete from event_log where position < 100');
    const without = await run('sales');
    assert.equal(without.code, 2);
    assert.match(without.stderr, /the log begins at position 100, and ORDER_DATABASE_URL is not set/);

    env = { ...env, ...urlsOf('platform', 'order', 'payment') };
    const all = await run();
    assert.equal(all.code, 0, all.stdout + all.stderr);
    for (const view of VIEWS) {
      assert.match(all.stdout, new RegExp(`^${view.name} \\(\\d+ events from outboxes\\): no row differs`, 'm'));
    }
    assert.deepEqual(await live(), before);
  });

  it('takes exported files with what the log has of later events, and refuses files that lack some', async () => {
    const file = join(folder, 'order.jsonl');
    const lines = PAST.filter(({ source }) => source === 'order').map(({ envelope }, index) =>
      JSON.stringify({ cursor: String(index + 1), event: envelope }),
    );
    await query(databases.adminUrl('bus'), 'delete from event_log where position <= 400');
    await writeFile(file, `${lines.slice(0, 50).join('\n')}\n`);
    const short = await run('sales', '--file', file);
    assert.equal(short.code, 1, short.stderr);
    assert.match(short.stdout, /NOT put in place: the events that were read lack \d+/);

    await writeFile(file, `${lines.slice(0, 600).join('\n')}\n`);
    const whole = await run('sales', '--from', 'files', '--file', file);
    assert.equal(whole.code, 0, whole.stdout + whole.stderr);
    assert.deepEqual(await live(), before);
  });

  it('goes on where it was when it was killed half-way, and nothing of it is left', async () => {
    await damage();
    const half = await killedRebuild(databases, env, 'orders');
    const going = await run('orders');
    assert.equal(going.code, 0, going.stderr);
    const [, applied] = /^orders \((\d+) events from the log, gone on with\): 1 rows differ/.exec(going.stdout) ?? [];
    assert.ok(Number(applied) >= half, going.stdout);
    assert.deepEqual(await live(), before);
    const left = await query(
      databases.adminUrl('views'),
      "select from pg_class where relnamespace = 'shadow'::regnamespace",
    );
    assert.equal(left.length, 0);
  });
});

/** As the services store them: those of each source in its outbox. */
async function fillOutboxes(databases: TestDatabases): Promise<void> {
  for (const source of ['platform', 'order', 'payment'] as const) {
    await query(
      databases.adminUrl(source),
      `insert into outbox (event_id, type, aggregate_type, aggregate_id, aggregate_version, envelope, published_at)
       select (e ->> 'id')::uuid, e ->> 'type', e ->> 'aggregateType', e ->> 'aggregateId',
         (e ->> 'aggregateVersion')::bigint, e -> 'envelope', now()
       from jsonb_array_elements($1::jsonb) as e`,
      [JSON.stringify(PAST.filter((event) => event.source === source))],
    );
  }
}
