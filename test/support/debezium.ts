import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { hasEnded, lastLines, signalProcess, spawnServer } from '../../infra/embedded/child.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { eventually } from './eventually.ts';
import { report } from './found.ts';
import { findDebezium } from './kafka-jars.ts';
import { noteServer, serverFolder } from './servers.ts';

const START_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 20_000;

/** Kafka Connect with the connector of one outbox. */
export type Debezium = Readonly<{ kill: () => Promise<void>; restart: () => Promise<void>; stop: () => Promise<void> }>;

/**
 * Runs Kafka Connect with a connector of `deploy/debezium`, as it is written but for where the servers are and who asks.
 *
 * @param adminUrl of the outbox's database, of a role that may replicate
 * @param changes settings of the connector that differ
 */
export async function startDebezium(
  service: 'platform' | 'order' | 'payment',
  adminUrl: string,
  brokers: readonly string[],
  changes: Readonly<Record<string, string>>,
): Promise<Debezium> {
  const classPath = await findDebezium({ report });
  const folder = await serverFolder();
  const port = await freePort();
  const { hostname, port: databasePort, username, password, pathname } = new URL(adminUrl);
  const config = {
    name: `outbox-${service}`,
    ...(JSON.parse(readFileSync(`deploy/debezium/${service}.json`, 'utf8')) as Record<string, string>),
    ...{ 'database.hostname': hostname, 'database.port': databasePort, 'database.dbname': pathname.slice(1) },
    ...{ 'database.user': decodeURIComponent(username), 'database.password': decodeURIComponent(password) },
    ...changes,
  };
  const [worker, connector] = [join(folder, 'worker.properties'), join(folder, 'connector.properties')];
  await writeFile(worker, properties(workerSettings(brokers, port, folder)));
  await writeFile(connector, properties(config));
  const command = ['-Xmx512m', '-cp', classPath, 'org.apache.kafka.connect.cli.ConnectStandalone', worker, connector];

  let pid = await run(command, folder, port, config.name);
  return {
    kill: () => end(pid, 'SIGKILL'),
    async restart() {
      pid = await run(command, folder, port, config.name);
    },
    async stop() {
      await end(pid, 'SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function run(command: readonly string[], folder: string, port: number, name: string): Promise<number> {
  const log = join(folder, 'connect.log');
  const { pid } = spawnServer('java', command, log, { cwd: folder });
  if (pid === undefined) throw new Error('java could not be started');
  noteServer({ pid }, folder);
  try {
    await eventually('the connector runs', () => running(port, name), START_LIMIT_MS);
    return pid;
  } catch (error) {
    await end(pid, 'SIGKILL');
    throw new Error(`Kafka Connect did not start: ${lastLines(log)}`, { cause: error });
  }
}

async function running(port: number, name: string): Promise<true | undefined> {
  const url = `http://127.0.0.1:${port}/connectors/${name}/status`;
  const answer = await fetch(url).catch(() => undefined); // nobody listens yet
  if (answer?.ok !== true) return undefined;
  const { tasks = [] } = (await answer.json()) as { tasks?: { state: string; trace?: string }[] };
  const failed = tasks.find(({ state }) => state === 'FAILED');
  if (failed !== undefined) throw new Error(failed.trace);
  return tasks.length > 0 && tasks.every(({ state }) => state === 'RUNNING') ? true : undefined;
}

async function end(pid: number, signal: NodeJS.Signals): Promise<void> {
  signalProcess(pid, signal);
  if (await hasEnded(pid, STOP_LIMIT_MS)) return;
  signalProcess(pid, 'SIGKILL');
  if (!(await hasEnded(pid, STOP_LIMIT_MS))) throw new Error(`Kafka Connect (${pid}) survived a SIGKILL`);
}

const workerSettings = (brokers: readonly string[], port: number, folder: string) => ({
  'bootstrap.servers': brokers.join(','),
  listeners: `http://127.0.0.1:${port}`,
  'offset.storage.file.filename': join(folder, 'offsets'),
  'offset.flush.interval.ms': '1000',
  'connector.client.config.override.policy': 'All',
  'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
  'value.converter': 'org.apache.kafka.connect.storage.StringConverter',
});

const properties = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
