import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';

import { freePort } from '../../infra/embedded/ports.ts';
import { type EmbeddedTemporalServer, startTemporal } from '../../infra/embedded/temporal-server.ts';
import type { TemporalClient } from '../../infra/temporal.ts';
import { keepTemporalPrepared } from '../../workers/prepare-temporal.ts';
import { reconcileSchedule } from '../../workers/reconcile-schedule.ts';
import { eventually } from '../support/eventually.ts';
import { noteServer, serverFolder, temporalCliPath } from '../support/servers.ts';

const EVERY_MS = 200;
/** The development server is started with ours already, so one that it does not know shows who made it. */
const ATTRIBUTES = [{ name: 'KeptByWorkers', type: 'KEYWORD' }] as const;

describe("what a checkout worker keeps in Temporal's database", function () {
  this.timeout(60_000);
  let folder: string;
  let port: number;
  let server: EmbeddedTemporalServer;
  let temporal: TemporalClient;
  let lines: string[];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(line) });

  const startServer = async () => {
    const dbFile = join(folder, 'temporal.db');
    server = await startTemporal({ cliPath: await temporalCliPath(), dbFile, port, uiPort: false });
    noteServer(server, folder);
  };
  const loseData = () => Promise.all(['', '-wal', '-shm'].map((end) => rm(join(folder, `temporal.db${end}`))));
  const schedule = () => temporal.client.schedule.getHandle('reconcile');
  const isThere = async (): Promise<true | undefined> => {
    const request = { namespace: temporal.namespace };
    const { customAttributes } = await temporal.connection.operatorService.listSearchAttributes(request);
    if (customAttributes?.['KeptByWorkers'] === undefined) return undefined;
    return schedule()
      .describe()
      .then(
        () => true,
        () => undefined,
      );
  };
  const keep = (reconcileIntervalMs = 300_000) => {
    const needs = { attributes: ATTRIBUTES, schedules: [reconcileSchedule({ reconcileIntervalMs })], log };
    return keepTemporalPrepared(temporal, { ...needs, everyMs: EVERY_MS });
  };

  before(async () => {
    folder = await serverFolder();
    port = await freePort();
    await startServer();
    const connection = Connection.lazy({ address: server.address });
    temporal = { client: new Client({ connection }), connection, namespace: 'default' };
  });
  beforeEach(() => (lines = []));
  after(async () => {
    await temporal?.connection.close();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('comes back after Temporal has lost all its data, with two lines in the log', async () => {
    const keeper = await keep();
    assert.equal(await isThere(), true);
    process.kill(server.pid, 'SIGKILL');
    await eventually('the outage is noticed', () => Promise.resolve(lines.length > 0 || undefined));
    await loseData();
    await startServer();
    await eventually('both are there again', isThere);
    await eventually('the log says so', () => Promise.resolve(lines.length > 1 || undefined));
    await keeper.stop();
    const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    assert.equal(messages.length, 2, messages.join('\n'));
    assert.match(messages[0] ?? '', /trying again until it works/);
    assert.match(messages[1] ?? '', /looked after again/);
  });

  it('is corrected by a worker that starts, and left alone by those that run', async () => {
    const old = await keep(300_000);
    const fresh = await keep(60_000);
    const every = async () => (await schedule().describe()).spec.intervals?.map(({ every }) => every);
    assert.deepEqual(await every(), [60_000]);
    await new Promise((resolve) => setTimeout(resolve, 4 * EVERY_MS));
    assert.deepEqual(await every(), [60_000]);
    await Promise.all([old.stop(), fresh.stop()]);
  });

  it('is not made again by a worker that has stopped, also while Temporal is away', async () => {
    const keeper = await keep();
    await schedule().delete();
    await eventually('it is made again', isThere);
    process.kill(server.pid, 'SIGKILL');
    await eventually('the outage is noticed', () => Promise.resolve(lines.length > 0 || undefined));
    const startedAt = performance.now();
    await keeper.stop();
    assert.ok(performance.now() - startedAt < 3_000);
    await loseData();
    await startServer();
    await new Promise((resolve) => setTimeout(resolve, 4 * EVERY_MS));
    assert.equal(await isThere(), undefined);
  });
});
