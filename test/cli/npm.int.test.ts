import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { hasEnded } from '../../infra/embedded/child.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { runEntry } from '../support/commands.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';

const LIMIT_MS = 60_000;
/** Nothing listens there: the port is reserved, and no unprivileged process may take it. */
const NOWHERE = '127.0.0.1:1';

describe('the commands of package.json', function () {
  this.timeout(LIMIT_MS);
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-npm-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** As on a machine where nothing runs and nothing is set. */
  const bare = (more: Record<string, string> = {}) => {
    const rest = Object.entries(inheritedEnvironment()).filter(([name]) => !name.startsWith('TEMPORAL_'));
    return { ...Object.fromEntries(rest), NODE_ENV: 'test', DATA_DIR: folder, XDG_CONFIG_HOME: folder, ...more };
  };

  describe('when npm is told to end', () => {
    let databases: TestDatabases;

    before(async () => {
      databases = await freshDatabases();
    });
    after(() => databases.drop());

    it('ends the API too, which drains', async () => {
      const env = bare({
        PORT: '0',
        TEMPORAL_ADDRESS: NOWHERE,
        PLATFORM_DATABASE_URL: databases.urls.platform,
        ORDER_DATABASE_URL: databases.urls.order,
        PAYMENT_DATABASE_URL: databases.urls.payment,
        BUS_DATABASE_URL: databases.urls.bus,
        VIEWS_DATABASE_URL: databases.urls.views,
      });
      const npm = spawn('npm', ['run', 'api'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      npm.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const ready = () => /"pid":(\d+),.*"msg":"ready"/.exec(output)?.[1];
      const pid = Number(await eventually('a ready API', () => Promise.resolve(ready()), LIMIT_MS));

      npm.kill('SIGTERM');
      await once(npm, 'exit');
      const ended = await hasEnded(pid, 10_000);
      if (!ended) process.kill(pid, 'SIGKILL');
      assert.ok(ended, output);
    });
  });

  for (const script of ['api/server.ts', 'gateway/server.ts', 'scripts/build.ts', 'cli/start.ts', 'workers/main.ts']) {
    it(`${script} explains itself, and starts nothing`, async () => {
      const { code, stdout, stderr } = await runEntry(script, ['--help'], bare(), LIMIT_MS);
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, /^Usage: npm /);
    });
  }

  for (const script of ['api/server.ts', 'gateway/server.ts', 'scripts/build.ts']) {
    it(`${script} refuses an option that it does not have`, async () => {
      const { code, stdout, stderr } = await runEntry(script, ['--bogus'], bare(), LIMIT_MS);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, /--bogus|^Usage: /);
    });
  }

  it('build makes no folder that is called like an option', () => {
    assert.deepEqual(
      readdirSync('.').filter((name) => name.startsWith('-')),
      [],
    );
  });

  const missing: [string, string[], RegExp][] = [
    ['api/server.ts', [], /^api: PLATFORM_DATABASE_URL is not set\..*\n$/],
    ['gateway/server.ts', [], /^gateway: GATEWAY_DATABASE_URL is not set\..*\n$/],
    ['workers/main.ts', ['payment-worker'], /^workers: PAYMENT_DATABASE_URL is not set\..*\n$/],
  ];
  for (const [script, args, line] of missing) {
    it(`${[script, ...args].join(' ')} says in one line which setting is missing`, async () => {
      const { code, stdout, stderr } = await runEntry(script, args, bare(), LIMIT_MS);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, line);
    });
  }

  it('audit and replay ask no server that nobody named', async () => {
    const url = 'postgresql://commerce:secret@127.0.0.1:1/none';
    const named = { PLATFORM_DATABASE_URL: url, ORDER_DATABASE_URL: url, PAYMENT_DATABASE_URL: url };
    const audit = await runEntry('cli/audit.ts', [], bare({ ...named, GATEWAY_URL: `http://${NOWHERE}` }), LIMIT_MS);
    assert.deepEqual([audit.code, audit.stdout], [2, '']);
    assert.match(
      audit.stderr,
      /^audit: Nothing is running on .*: run `npm start`, or set TEMPORAL_ADDRESS\. .*--no-temporal\.\n$/,
    );
    const replay = await runEntry('workers/replay.ts', ['checkout-nobody'], bare(), LIMIT_MS);
    assert.deepEqual([replay.code, replay.stdout], [2, '']);
    assert.match(replay.stderr, /^Nothing is running on .*: run `npm start`, or set TEMPORAL_ADDRESS\.\n$/);
  });
});
