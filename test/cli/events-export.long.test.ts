import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { readEvent } from '../../events/read-event.ts';
import { runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

const SCRIPT = 'cli/events-export.ts';
const LIMIT_MS = 60_000;

type Line = Readonly<{ cursor: string; event: Readonly<Record<string, unknown>> }>;
const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);

describe('npm run events:export', function () {
  this.timeout(LIMIT_MS);
  let databases: TestDatabases;
  let folder: string;
  before(async () => {
    databases = await freshDatabases({ seed: true });
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-export-'));
  });
  after(async () => {
    await databases.drop();
    await rm(folder, { recursive: true });
  });

  /** The credentials of one service and of no other. */
  const environment = (more: Readonly<Record<string, string>> = {}) => ({
    ...{ PATH: String(process.env['PATH']), DATA_DIR: folder, PLATFORM_DATABASE_URL: databases.urls.platform },
    ...more,
  });
  const run = (...args: string[]) => runEntry(SCRIPT, args, environment(), LIMIT_MS);
  const file = (name: string) => join(folder, name);
  const outbox = (where = 'true') =>
    query<{ id: string; type: string; envelope: unknown }>(
      databases.adminUrl('platform'),
      `select id::text, type, envelope from outbox where ${where} order by outbox.id`,
    );

  it('writes every event of the service, a line each, in their order, and how to go on', async () => {
    const { code, stdout, stderr } = await run('platform');
    assert.equal(code, 0, stderr);
    const stored = await outbox();
    const lines = linesOf(stdout);
    assert.deepEqual(
      lines.map(({ cursor, event }) => [cursor, event]),
      stored.map(({ id, envelope }) => [id, envelope]),
    );
    assert.ok(lines.length > 700);
    assert.match(
      stderr,
      new RegExp(`${lines.length} events of platform; go on with --after ${lines.at(-1)?.cursor}\\n$`),
    );
    for (const { event } of lines) {
      const { id, type, aggregateType, subject, aggregateVersion } = event as Record<string, string> & {
        aggregateVersion: number;
      };
      readEvent({
        ...({
          id,
          type,
          aggregateType,
          aggregateVersion,
          aggregateId: subject,
          source: 'platform',
          envelope: event,
        } as Parameters<typeof readEvent>[0]),
      });
    }
  });

  it('goes on after a cursor, from an instant on, or with some types only', async () => {
    const all = await outbox();
    const cursor = String(all[99]?.id);
    const after = linesOf((await run('platform', '--after', cursor)).stdout);
    assert.deepEqual([after.length, after[0]?.cursor], [all.length - 100, all[100]?.id]);

    const users = await run('platform', '--type', 'UserCreated,UserUpdated');
    assert.deepEqual(new Set(linesOf(users.stdout).map(({ event }) => event['type'])), new Set(['UserCreated']));
    assert.equal(linesOf(users.stdout).length, 100);

    assert.equal((await run('platform', '--from', '2000-01-01T00:00:00Z')).stdout.split('\n').length, all.length + 1);
    const none = await run('platform', '--from', '2999-01-01T00:00:00Z');
    assert.deepEqual([none.code, none.stdout], [0, '']);
    assert.match(none.stderr, new RegExp(`0 events of platform; go on with --after ${all.at(-1)?.id}\n$`));
  });

  it('goes on with a file that was broken off in the middle of a line, and comes to the same bytes', async () => {
    assert.equal((await run('platform', '--out', file('whole'))).code, 0);
    const whole = await readFile(file('whole'));
    for (const cut of [0, 1, 100, 70_000, whole.length - 1, whole.length]) {
      await writeFile(file('cut'), whole.subarray(0, cut));
      const { code, stderr } = await run('platform', '--out', file('cut'), '--resume');
      assert.equal(code, 0, stderr);
      assert.ok(whole.equals(await readFile(file('cut'))), `cut at ${cut}`);
    }
  });

  it('overwrites nothing, and touches no file that is no export of this service', async () => {
    await writeFile(file('other'), 'my notes\n');
    await writeFile(file('order'), '{"cursor":"7","event":{"source":"/commerce-saga/order"}}\n');
    for (const [args, message] of [
      [['--out', file('other')], /exists/],
      [['--out', file('other'), '--resume'], /is no export of events of \/commerce-saga\/platform/],
      [['--out', file('order'), '--resume'], /is no export/],
      [['--out', file('missing'), '--resume'], /does not exist/],
      [['--resume'], /add --out/],
      [['--out', join(folder, 'no-folder', 'x')], /broke off/],
    ] as const) {
      const { code, stderr } = await run('platform', ...args);
      assert.equal(code, 2);
      assert.match(stderr, message);
    }
    assert.equal(await readFile(file('other'), 'utf8'), 'my notes\n');
    assert.equal((await stat(file('order'))).size, 57);
  });

  it('waits for a transaction that was given a lower id and has not committed: nothing is skipped', async () => {
    const [slow, quick] = [
      new pg.Client(databases.adminUrl('platform')),
      new pg.Client(databases.adminUrl('platform')),
    ];
    await Promise.all([slow.connect(), quick.connect()]);
    const insert = (client: pg.Client, subject: string) =>
      client.query(
        `insert into outbox (event_id, type, aggregate_type, aggregate_id, aggregate_version, envelope)
         select gen_random_uuid(), type, aggregate_type, $1, 1, envelope from outbox order by id limit 1 returning id::text`,
        [subject],
      );
    try {
      await slow.query('begin');
      const { rows: low } = await insert(slow, 'slow');
      const { rows: high } = await insert(quick, 'quick');
      const running = run('platform', '--after', String((await outbox(`aggregate_id <> 'quick'`)).at(-1)?.id));
      const early = await Promise.race([running, sleep(4_000)]);
      assert.equal(early, undefined, 'it ended before the transaction did');
      await slow.query('commit');
      const { code, stdout, stderr } = await running;
      assert.equal(code, 0, stderr);
      const ids = [low, high].map((rows) => (rows as { id: string }[])[0]?.id);
      assert.deepEqual(
        linesOf(stdout).map(({ cursor }) => cursor),
        ids,
      );
    } finally {
      await Promise.all([slow.end(), quick.end()]);
    }
  });

  it('says so when nobody reads to the end', async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', SCRIPT, 'platform'], { env: environment() });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 2, stderr);
    assert.match(stderr, /the output broke off/);
  });

  it('writes more than its memory could hold', async () => {
    const url = databases.adminUrl('platform');
    await query(
      url,
      `insert into outbox (event_id, type, aggregate_type, aggregate_id, aggregate_version, envelope)
       select gen_random_uuid(), 'UserUpdated', 'user', 'big', n, jsonb_build_object('source', '/commerce-saga/platform', 'filler', repeat(md5(n::text), 100))
       from generate_series(1, 50000) n`,
    );
    const env = environment({ NODE_OPTIONS: '--max-old-space-size=64' });
    const { code, stderr } = await runEntry(
      SCRIPT,
      ['platform', '--type', 'UserUpdated', '--out', file('big')],
      env,
      LIMIT_MS,
    );
    assert.equal(code, 0, stderr);
    assert.ok((await stat(file('big'))).size > 150_000_000);
    await rm(file('big'));
  });

  it('needs no credentials but those of the service, and says what is missing', async () => {
    const { code, stdout, stderr } = await run('order');
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /ORDER_DATABASE_URL is not set/);
    for (const args of [['views'], [], ['platform', '--type', 'Nothing'], ['platform', '--from', 'today']]) {
      assert.equal((await run(...args)).code, 2, args.join(' '));
    }
    const gone = await runEntry(
      SCRIPT,
      ['platform'],
      environment({ PLATFORM_DATABASE_URL: 'postgresql://a:b@127.0.0.1:1/x' }),
      LIMIT_MS,
    );
    assert.equal(gone.code, 2);
    assert.match(gone.stderr, /Database platform \(127\.0\.0\.1:1\/x\) cannot be read/);
  });
});
