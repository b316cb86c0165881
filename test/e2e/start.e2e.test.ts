import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from 'pg';

import { identify, type ProcessIdentity, stillRuns } from '../../infra/embedded/supervisor/process-identity.ts';
import { type Endpoints, findEndpoints, NothingIsRunning, readEndpoints } from '../../infra/endpoints.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { runEntry } from '../support/commands.ts';

const START_LIMIT_MS = 120_000;
const BACK_LIMIT_MS = 60_000;
const FREE_PORTS = {
  ...{ PORT: '0', GATEWAY_PORT: '0', TEMPORAL_PORT: '0', TEMPORAL_UI_PORT: '0', POSTGRES_PORT: '0', METRICS_PORT: '0' },
};

type Start = Readonly<{ process: ChildProcess; output: () => string; exit: Promise<number | null> }>;

describe('npm start', function () {
  this.timeout(300_000);
  const starts: Start[] = [];
  const folders: string[] = [];

  function dataDir(): string {
    const folder = mkdtempSync(join(tmpdir(), 'start-'));
    chmodSync(folder, 0o755); // PostgreSQL's account must get in
    folders.push(folder);
    return folder;
  }

  function start(folder: string, env: Record<string, string> = {}, ...args: string[]): Start {
    const child = spawn(process.execPath, ['--import', 'tsx', 'cli/start.ts', ...args], {
      env: { ...inheritedEnvironment(), ...FREE_PORTS, DATA_DIR: folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += String(chunk)));
    const exit = once(child, 'close').then(([code]) => code as number | null);
    const begun = { process: child, output: () => output, exit };
    starts.push(begun);
    return begun;
  }

  /** A command beside `npm start`. @returns its exit code and what it printed */
  async function command(folder: string, script: string, ...args: string[]): Promise<[number, string]> {
    const env = { ...inheritedEnvironment(), DATA_DIR: folder };
    const { code, stdout, stderr } = await runEntry(script, args, env, BACK_LIMIT_MS);
    return [code, stdout + stderr];
  }

  async function ready(folder: string, begun: Start): Promise<Endpoints> {
    await until('ready', () => begun.output().includes('Ready in') || begun.process.exitCode !== null, START_LIMIT_MS);
    assert.equal(begun.process.exitCode, null, begun.output());
    return readEndpoints(folder);
  }

  after(async () => {
    for (const { process: child, exit } of starts) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exit;
    }
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  describe('once it is ready', () => {
    let folder: string;
    let begun: Start;

    before(async () => {
      folder = dataDir();
      begun = start(folder);
      await ready(folder, begun);
    });

    it('says where everything is, in a file that only its owner can read', async () => {
      const { api, gateway, metrics = '', pids } = readEndpoints(folder);
      assert.equal(statSync(join(folder, 'endpoints.json')).mode & 0o777, 0o600);
      assert.equal((await fetch(`${api}/readyz`)).status, 200);
      assert.equal((await fetch(`${gateway}/healthz`)).status, 200);
      assert.match(await (await fetch(metrics)).text(), /^outbox_unpublished\{service="order"\} \d+$/m);
      const parts = ['api', 'events', 'gateway', 'postgres', 'supervisor', 'temporal', 'workers'];
      assert.deepEqual(Object.keys(pids).sort(), parts);
      for (const [name, pid] of Object.entries(pids)) assert.ok(identify(pid), `${name} does not run`);
    });

    it('prints commands that place an order of two lines and read it', async () => {
      const [place = '', read = ''] = begun.output().match(/^curl(?:.*\\\n)*.*$/gm) ?? [];
      const placed = JSON.parse(await shell(place)) as { orderId: string; items: unknown[] };
      assert.equal(placed.items.length, 2);
      let order = { orderId: '', status: '' };
      await until('a paid order', async () => {
        order = JSON.parse(await shell(read)) as typeof order;
        return order.status === 'COMPLETED' || order.status === 'PAID';
      });
      assert.equal(order.orderId, placed.orderId);
      assert.doesNotMatch(begun.output(), /not polling/); // the SDK's remark on workers that do one thing only
    });

    it('hands the events of that order to the bus', async () => {
      const client = new Client({ connectionString: readEndpoints(folder).databases.bus });
      await client.connect();
      try {
        const of = (type: string) => client.query('select 1 from event_log where type = $1', [type]);
        for (const type of ['InventoryReserved', 'OrderCreated', 'PaymentCompleted', 'OrderPaid', 'InventoryCommitted'])
          await until(`${type} on the bus`, async () => (await of(type)).rowCount !== 0);
      } finally {
        await client.end();
      }
    });

    it("hears of money by the gateway's webhooks, signed with a secret that only its owner can read", async () => {
      const secret = join(folder, 'webhooks', 'secret');
      assert.equal(statSync(secret).mode & 0o777, 0o600);
      assert.match(readFileSync(secret, 'utf8'), /^whsec_[A-Za-z0-9+/]{43}=$/);
      const client = new Client({ connectionString: readEndpoints(folder).databases.payment });
      await client.connect();
      try {
        await until('a webhook of the paid order that was worked off', async () => {
          const { rowCount } = await client.query(
            "select 1 from payment_webhooks where provider = 'simulated' and outcome is not null",
          );
          return rowCount !== 0;
        });
      } finally {
        await client.end();
      }
    });

    it('refuses to start a second time on the same data, in one line with the addresses of the first', async () => {
      const second = start(folder);
      assert.equal(await second.exit, 1);
      const { api } = readEndpoints(folder);
      assert.match(second.output(), /^npm start: process \d+ already runs the system on .*\n$/);
      assert.ok(second.output().includes(api));
      assert.equal((await fetch(`${api}/readyz`)).status, 200);
    });

    for (const part of ['api', 'events', 'postgres', 'temporal'] as const) {
      it(`brings ${part} back on the same address after it was killed`, async () => {
        const before = readEndpoints(folder);
        const killed = pidOf(before, part);
        process.kill(killed, 'SIGKILL');
        await until(`another ${part}`, () => pidOf(readEndpoints(folder), part) !== killed, BACK_LIMIT_MS);
        await until('readiness', () => isReady(before.api), BACK_LIMIT_MS);
        const { pids, ...places } = readEndpoints(folder);
        assert.deepEqual({ ...places, pids: before.pids }, before);
        assert.equal(pids['supervisor'], before.pids.supervisor);
        assert.match(begun.output(), new RegExp(`${part} ended .*: starting it again in 1 s`));
      });
    }
  });

  it('takes over what a killed run has left, and leaves nothing behind after Ctrl-C', async () => {
    const folder = dataDir();
    const first = await ready(folder, start(folder));
    const left = identitiesOf(first);
    process.kill(first.pids.supervisor, 'SIGKILL');
    await until('the end of the first run', () => findEndpoints(folder) === undefined);
    assert.throws(() => readEndpoints(folder), NothingIsRunning);

    const again = start(folder);
    const second = await ready(folder, again);
    assert.deepEqual(left.filter(stillRuns), []);
    assert.match(again.output(), /ending temporal \(pid \d+\), left by a run that was killed/);
    assert.equal((await fetch(`${second.api}/readyz`)).status, 200);

    const running = identitiesOf(second);
    assert.equal(running.length, 7);
    again.process.kill('SIGINT');
    assert.equal(await again.exit, 0);
    assert.deepEqual(running.filter(stillRuns), []);
    assert.equal(existsSync(join(folder, 'endpoints.json')), false);
    assert.equal(existsSync(join(folder, 'run.json')), false);
  });

  it('says what to run first when the catalogue is empty, and so does the demo', async () => {
    const folder = dataDir();
    const begun = start(folder, {}, '--no-seed');
    await ready(folder, begun);
    assert.match(begun.output(), /The catalogue is empty, .*`npm run seed` fills it\.\n[^]*curl/);
    assert.deepEqual(await command(folder, 'cli/demo.ts', '--orders', '1'), [
      1,
      'demo: the catalogue is empty: run `npm run seed`.\n',
    ]);

    assert.deepEqual((await command(folder, 'cli/seed.ts'))[0], 0);
    begun.process.kill('SIGTERM');
    assert.equal(await begun.exit, 0);
  });

  it('ends with one line and stops what it had started when a port that was asked for is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    assert.ok(address !== null && typeof address === 'object');
    const folder = dataDir();
    try {
      const begun = start(folder, { GATEWAY_PORT: String(address.port) });
      assert.equal(await begun.exit, 1);
      const lines = begun.output().split('\n');
      assert.deepEqual(
        lines.filter((line) => line.startsWith('npm start:')),
        [`npm start: Port ${address.port} is taken. End what listens there, or set GATEWAY_PORT to another port.`],
      );
      assert.equal(existsSync(join(folder, 'run.json')), false);
      assert.equal(existsSync(join(folder, 'postgres/cluster/postmaster.pid')), false);
    } finally {
      taken.close();
    }
  });

  it('names the databases that are missing when only some are set', async () => {
    const begun = start(dataDir(), { ORDER_DATABASE_URL: 'postgresql://order@127.0.0.1:1/db_order' });
    assert.equal(await begun.exit, 1);
    assert.match(begun.output(), /ORDER_DATABASE_URL set, but not PLATFORM_DATABASE_URL, PAYMENT_DATABASE_URL/);
  });
});

async function until(what: string, condition: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<void> {
  for (const deadline = Date.now() + limitMs; !(await condition()); await sleep(100)) {
    assert.ok(Date.now() < deadline, `not within ${limitMs} ms: ${what}`);
  }
}

async function isReady(api: string): Promise<boolean> {
  try {
    return (await fetch(`${api}/readyz`)).ok;
  } catch {
    return false; // it does not listen yet
  }
}

async function shell(command: string): Promise<string> {
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, `${command}\n${output}`);
  return output;
}

function pidOf({ pids }: Endpoints, name: string): number {
  const pid = (pids as Record<string, number | undefined>)[name];
  assert.ok(pid !== undefined, `${name} is not in endpoints.json`);
  return pid;
}

const identitiesOf = ({ pids }: Endpoints): ProcessIdentity[] =>
  Object.values(pids).flatMap((pid) => identify(pid) ?? []);
