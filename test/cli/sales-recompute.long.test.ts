import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openViews } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { viewNamed } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { shopToday } from '../../projections/daily-sums.ts';
import { runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { rowsOf } from '../support/views.ts';
import { orderEvents } from '../support/views-history.ts';

const LIMIT_MS = 60_000;
/** Nothing listens there: the port is reserved, and no unprivileged process may take it. */
const NOWHERE = 'postgresql://commerce:secret@127.0.0.1:1/none';

const paidAt = (name: string, at: string, currency: string) =>
  orderEvents({
    ...{ name, userId: '7', currency, placedAt: at, end: { kind: 'PAID', at, refunds: [] } },
    lines: [{ productId: '10', quantity: 2, unitPriceMinor: 5_000 }],
  });

describe('npm run sales:recompute', function () {
  this.timeout(2 * LIMIT_MS);
  let databases: TestDatabases;
  let folder: string;
  let env: Record<string, string>;
  let today: string;
  let right: unknown;

  before(async () => {
    databases = await freshDatabases();
    folder = await mkdtemp(join(tmpdir(), 'recompute-'));
    env = { ...inheritedEnvironment(), NODE_ENV: 'test', DATA_DIR: folder, VIEWS_DATABASE_URL: databases.urls.views };
    const views = openViews(databases.urls.views, { poolSize: 1 });
    today = await shopToday(views, 'Asia/Seoul');
    const events = [
      ...paidAt('1', '2026-02-27T15:30:00.000Z', 'KRW'), // the 28th in Seoul
      ...paidAt('2', '2026-03-02T03:00:00.000Z', 'USD'),
      ...paidAt('3', `${today}T00:30:00.000Z`, 'KRW'),
    ];
    await applyToView(views, viewNamed('sales'), events, { timeZone: 'Asia/Seoul' });
    await views.$disconnect();
    right = await sums();
  });
  after(async () => {
    await databases.drop();
    await rm(folder, { recursive: true });
  });

  const sums = () => rowsOf(databases.urls.views, ['mv_daily_sales']);
  const asOwner = (sql: string) => query(databases.adminUrl('views'), sql);
  const run = (...args: string[]) => runEntry('cli/sales-recompute.ts', args, env, LIMIT_MS);

  it('names what differs in a dry run, repairs it without one, and is then content', async () => {
    await asOwner(`update mv_daily_sales set gross = 123 where date = '2026-02-28'`);
    await asOwner(`insert into mv_daily_sales (date, currency, items) values ('2026-03-01', 'KRW', 7)`);
    const range = ['--from', '2026-02-20', '--to', '2026-03-02'];
    const dry = await run(...range, '--dry-run');
    assert.equal(dry.code, 1, dry.stderr);
    const lines = dry.stdout.trimEnd().split('\n');
    assert.equal(lines[0]?.trimEnd().replace(/ +/g, ' '), 'day currency sum was is');
    assert.equal(lines[1]?.replace(/ +/g, ' '), '2026-02-28 KRW gross 123 10000');
    assert.match(lines[2] ?? '', /^2026-03-01 +KRW +total_orders +0 +no row$/);
    assert.match(
      lines.at(-1) ?? '',
      /^2026-02-20 to 2026-03-02 \(11 days\): 7 sums of 2 days differed; nothing was changed/,
    );
    assert.notDeepEqual(await sums(), right);

    const done = await run(...range);
    assert.equal(done.code, 0, done.stderr);
    assert.equal(done.stdout.split('\n')[1], lines[1]);
    assert.match(done.stdout, /7 sums of 2 days differed; repaired\n$/);
    assert.deepEqual(await sums(), right);

    const again = await run(...range, '--dry-run', '--json');
    assert.equal(again.code, 0, again.stdout);
    const result = { from: '2026-02-20', to: '2026-03-02', dryRun: true, days: 11, differences: [] };
    assert.deepEqual(JSON.parse(again.stdout), result);
  });

  it('looks at the last seven days when it is not told which, and leaves all others alone', async () => {
    await asOwner(`delete from mv_daily_sales where date = '${today}'`);
    await asOwner(`update mv_daily_sales set items = 9 where date = '2026-02-28'`);
    const done = await run('--json');
    assert.equal(done.code, 0, done.stderr);
    const { to, days, differences } = JSON.parse(done.stdout) as {
      to: string;
      days: number;
      differences: Record<string, unknown>[];
    };
    assert.deepEqual([to, days], [today, 7]);
    assert.deepEqual(differences[0], { day: today, currency: 'KRW', column: 'total_orders', was: null, is: '1' });
    assert.equal(differences.length, 6);
    const old = await run('--to', '2026-02-28', '--from', '2026-02-28');
    assert.match(old.stdout, /\(1 day\): 1 sum of 1 day differed; repaired/);
    assert.deepEqual(await sums(), right);
  });

  it('takes ten years at once', async () => {
    const done = await run('--from', '2016-11-14', '--to', '2026-11-21', '--dry-run');
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /^2016-11-14 to 2026-11-21 \(3660 days\): every sum is what its orders come to\n$/);
  });

  const refused: [string, string[], RegExp][] = [
    [
      'a day that the calendar has not',
      ['--from', '2026-02-30'],
      /^error: --from must be a day such as .*: 2026-02-30\n$/,
    ],
    ['a day before all sales', ['--from', '0000-01-01'], /^error: --from must be a day such as .*: 0000-01-01\n$/],
    ['a day in another form', ['--to', '22.11.2026'], /^error: --to must be a day such as 2026-11-22: 22\.11\.2026\n$/],
    [
      'an end before the beginning',
      ['--from', '2026-03-02', '--to', '2026-03-01'],
      /^error: --from 2026-03-02 is after/,
    ],
    [
      'more days than anybody means',
      ['--from', '1976-11-22', '--to', '2026-11-22'],
      /^error: \d+ days .* at most 3660/,
    ],
    ['what it does not know', ['--form', '2026-03-02'], /^error: unknown option '--form'/],
  ];
  for (const [what, args, line] of refused) {
    it(`refuses ${what}, in one line`, async () => {
      const { code, stdout, stderr } = await run(...args);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, line);
    });
  }

  it('says in one line that the database is not there, or not set', async () => {
    env = { ...env, VIEWS_DATABASE_URL: NOWHERE };
    for (const args of [[], ['--from', '2026-03-01', '--to', '2026-03-02']]) {
      const away = await run(...args);
      assert.deepEqual([away.code, away.stdout], [2, '']);
      assert.match(away.stderr, /^sales:recompute: .*; what was repaired is repaired, run it again\n$/);
    }
    env = { ...env, VIEWS_DATABASE_URL: '' };
    const unset = await run();
    assert.deepEqual([unset.code, unset.stdout], [2, '']);
    assert.match(unset.stderr, /^sales:recompute: VIEWS_DATABASE_URL is not set\..*\n$/);
  });

  it('explains itself', async () => {
    const { code, stdout } = await run('--help');
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: npm run sales:recompute -- \[options\]\n/);
    assert.match(stdout, /Exit codes: 0 /);
  });
});
