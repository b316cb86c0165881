import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { Client } from 'pg';

import { hasEnded } from '../../infra/embedded/child.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { type EmbeddedPostgresServer, startPostgres } from '../../infra/embedded/postgres.ts';
import { everyoneReaches } from '../../infra/embedded/postgres-place.ts';
import { serverFolder } from '../support/servers.ts';

describe('the embedded PostgreSQL', () => {
  let dataDir: string;
  const started: EmbeddedPostgresServer[] = [];

  async function start(options: { dataDir: string; port?: number; log?: (line: string) => void }) {
    const server = await startPostgres({ port: 0, ...options });
    started.push(server);
    return server;
  }

  beforeEach(async () => {
    dataDir = await serverFolder();
  });

  afterEach(async () => {
    for (const server of started.splice(0)) await server.stop();
    await rm(dataDir, { recursive: true });
  });

  it('keeps data and password from one start to the next', async () => {
    const first = await start({ dataDir });
    await query(first.adminUrl, 'create table kept as select 42 as answer');
    await first.stop();

    const second = await start({ dataDir });

    assert.deepEqual(await query(second.adminUrl, 'select answer from kept'), [{ answer: 42 }]);
  });

  it('speaks UTF-8, sorts by code point and listens on 127.0.0.1 alone', async () => {
    const { adminUrl } = await start({ dataDir });

    const [row] = await query(
      adminUrl,
      `select current_setting('server_encoding') as encoding, 'a' > 'B' as by_code_point,
              current_setting('listen_addresses') as addresses`,
    );

    assert.deepEqual(row, { encoding: 'UTF8', by_code_point: true, addresses: '127.0.0.1' });
  });

  it('knows the letters of other scripts, so that an index finds parts of their words', async () => {
    const { adminUrl } = await start({ dataDir });
    await query(adminUrl, 'create extension pg_trgm');

    const [row] = await query(adminUrl, `select cardinality(show_trgm('커피잔')) as groups`);

    assert.deepEqual(row, { groups: 4 });
  });

  it('refuses a wrong password', async () => {
    const { adminUrl } = await start({ dataDir });
    const wrong = new URL(adminUrl);
    wrong.password = 'guessed';

    await assert.rejects(query(wrong.href, 'select 1'), /password authentication failed/);
  });

  it('recovers committed rows after its postmaster was killed', async () => {
    const first = await start({ dataDir });
    await query(first.adminUrl, 'create table kept as select 42 as answer');
    process.kill(first.pid, 'SIGKILL');
    assert.ok(await hasEnded(first.pid, 5_000));

    const second = await start({ dataDir });

    assert.notEqual(second.pid, first.pid);
    assert.deepEqual(await query(second.adminUrl, 'select answer from kept'), [{ answer: 42 }]);
  });

  it('takes over the server that a killed run left behind', async () => {
    const left = await leaveBehind(dataDir);
    const lines: string[] = [];

    const taken = await start({ dataDir, log: (line) => lines.push(line) });

    assert.equal(taken.pid, left.pid);
    assert.equal(taken.port, left.port);
    assert.deepEqual(await query(taken.adminUrl, 'select answer from kept'), [{ answer: 42 }]);
    assert.match(lines.join('\n'), /Took over/);
    await taken.stop();
    assert.ok(await hasEnded(left.pid, 0), 'stop ends a server that was taken over, too');
  });

  it('replaces the server that a killed run left behind when another port is asked for', async () => {
    const left = await leaveBehind(dataDir);
    const port = await freePort();

    const server = await start({ dataDir, port });

    assert.equal(server.port, port);
    assert.ok(await hasEnded(left.pid, 0));
    assert.deepEqual(await query(server.adminUrl, 'select answer from kept'), [{ answer: 42 }]);
  });

  it('is not fooled by a stale lock whose process id belongs to another program now', async () => {
    const first = await start({ dataDir });
    process.kill(first.pid, 'SIGKILL');
    assert.ok(await hasEnded(first.pid, 5_000));
    const lock = join(first.clusterDir, 'postmaster.pid');
    const other = spawn('sleep', ['60']);
    try {
      await writeFile(lock, (await readFile(lock, 'utf8')).replace(/^\d+/, String(other.pid)));

      const second = await start({ dataDir });

      assert.deepEqual(await query(second.adminUrl, 'select 1 as one'), [{ one: 1 }]);
      assert.equal(other.exitCode, null, 'the other program is left alone');
    } finally {
      other.kill();
      await once(other, 'exit');
    }
  });

  it('refuses a port that was asked for and is taken, and names the variable', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const address = holder.address();
    assert.ok(address !== null && typeof address === 'object');
    try {
      await assert.rejects(start({ dataDir, port: address.port }), /is taken.*POSTGRES_PORT/);
    } finally {
      holder.close();
    }
  });

  it('says what the server said when it cannot start', async () => {
    const server = await start({ dataDir });
    await server.stop();

    const broken = startPostgres({ dataDir, port: 0, settings: { shared_buffers: 'plenty' } });

    await assert.rejects(broken, /invalid value for parameter "shared_buffers"/);
  });

  it('starts below a folder that only its owner can enter', async () => {
    await chmod(dataDir, 0o700);
    const closed = join(dataDir, 'postgres');
    await mkdir(closed);

    const server = await start({ dataDir: closed });

    try {
      assert.deepEqual(await query(server.adminUrl, 'select 1 as one'), [{ one: 1 }]);
      if (process.getuid?.() === 0) assert.ok(everyoneReaches(join(server.clusterDir, '..')));
      else assert.equal(server.clusterDir, join(closed, 'cluster'));
    } finally {
      await server.stop();
      await rm(server.clusterDir, { recursive: true });
    }
  });

  it('starts empty when the folder was deleted, wherever the data had to be put', async () => {
    await chmod(dataDir, 0o700);
    const closed = join(dataDir, 'postgres');
    const first = await start({ dataDir: closed });
    await query(first.adminUrl, 'create table kept as select 42 as answer');
    await first.stop();
    await rm(closed, { recursive: true });

    const second = await start({ dataDir: closed });

    try {
      await assert.rejects(query(second.adminUrl, 'select answer from kept'), /does not exist/);
    } finally {
      await second.stop();
      await rm(second.clusterDir, { recursive: true });
    }
  });
});

/** A process that starts the server, puts a row into it, and is killed. */
async function leaveBehind(dataDir: string): Promise<{ pid: number; port: number }> {
  const program = `
    import { startPostgres } from '${new URL('../../infra/embedded/postgres.ts', import.meta.url).href}';
    const { pid, port, adminUrl } = await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, port: 0 });
    const { Client } = (await import('pg')).default;
    const client = new Client({ connectionString: adminUrl });
    await client.connect();
    await client.query('create table kept as select 42 as answer');
    console.log(JSON.stringify({ pid, port }));
    setInterval(() => undefined, 1_000);`;
  const run = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(run.stdout, 'data')) as [Buffer];
  run.kill('SIGKILL');
  await once(run, 'exit');
  return JSON.parse(line.toString()) as { pid: number; port: number };
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
