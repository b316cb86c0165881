import type { ChildProcess } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Context } from 'mocha';

import { hasEnded, lastLines, runCommand, signalProcess, spawnServer } from '../../infra/embedded/child.ts';
import { freePort, isListening } from '../../infra/embedded/ports.ts';
import { foundOrSkip, report } from './found.ts';
import { findKafka, KAFKA_FIX } from './kafka-jars.ts';
import { noteServer, serverFolder, stopAtEnd } from './servers.ts';

const FORMAT_LIMIT_MS = 60_000;
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 20_000;
const POLL_MS = 100;
/** Of one test broker; it means nothing beyond its folder. */
const CLUSTER_ID = 'Y29tbWVyY2Utc2FnYS0wMQ';
const JAVA = ['-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];

/** A Kafka broker of its own, which a test may break. */
export type KafkaBroker = Readonly<{
  /** For KAFKA_BROKERS. */
  brokers: readonly string[];
  /** SIGKILL. Resolves when it is gone. */
  kill: () => Promise<void>;
  /** Starts it again on its data and its port. Resolves when it takes connections. */
  restart: () => Promise<void>;
  /** SIGSTOP: connections stay open and nobody answers. */
  freeze: () => void;
  thaw: () => void;
  /** Ends it and removes its data. */
  stop: () => Promise<void>;
}>;

let shared: Promise<KafkaBroker> | undefined;

/**
 * The broker of this mocha process, started by whoever asks first and ended with it. Use topics of your own.
 * Where there is no Java, the suite of the hook that calls this is skipped by name with the fix; with CI set it fails.
 */
export async function kafkaBroker(context: Context): Promise<KafkaBroker> {
  const classPath = await classPathOrSkip(context);
  shared ??= startBroker(classPath).then((broker) => {
    stopAtEnd(broker);
    return broker;
  });
  return shared;
}

/** A broker for one test that breaks it. Stop it afterwards. Skipped or failed like `kafkaBroker`. */
export const fragileKafka = async (context: Context): Promise<KafkaBroker> =>
  startBroker(await classPathOrSkip(context));

/** A broker for what is no test. Stop it afterwards. @throws when there is no Java */
export const startKafka = async (): Promise<KafkaBroker> => startBroker(await findKafka({ report }));

const classPathOrSkip = (context: Context): Promise<string> =>
  foundOrSkip(context, `no Kafka broker: ${KAFKA_FIX}`, () => findKafka({ report }));

async function startBroker(classPath: string): Promise<KafkaBroker> {
  const folder = await serverFolder();
  const port = await freePort();
  const properties = join(folder, 'server.properties');
  await mkdir(join(folder, 'data'));
  await writeFile(properties, settings(port, await freePort(), join(folder, 'data')));
  const format = ['-cp', classPath, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', properties];
  const { code, output } = await runCommand('java', [...JAVA, ...format], FORMAT_LIMIT_MS);
  if (code !== 0) throw new Error(`Kafka's folder could not be formatted: ${output}`);

  let server = await run(classPath, properties, folder, port);
  return {
    brokers: [`127.0.0.1:${port}`],
    kill: () => end(server.pid, 'SIGKILL'),
    async restart() {
      server = await run(classPath, properties, folder, port);
    },
    freeze: () => signalProcess(server.pid, 'SIGSTOP'),
    thaw: () => signalProcess(server.pid, 'SIGCONT'),
    async stop() {
      signalProcess(server.pid, 'SIGCONT');
      await end(server.pid, 'SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function run(classPath: string, properties: string, folder: string, port: number): Promise<{ pid: number }> {
  const log = join(folder, 'kafka.log');
  const child = spawnServer('java', [...JAVA, '-cp', classPath, 'kafka.Kafka', properties], log, { cwd: folder });
  const { pid } = child;
  if (pid === undefined) throw new Error('java could not be started');
  noteServer({ pid }, folder);
  try {
    await listening(child, port);
  } catch (error) {
    await end(pid, 'SIGKILL');
    throw new Error(`Kafka did not start: ${lastLines(log)}`, { cause: error });
  }
  return { pid };
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  for (const deadline = Date.now() + START_LIMIT_MS; !(await isListening(port)); await sleep(POLL_MS)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended');
    if (Date.now() > deadline) throw new Error(`nobody listens on ${port} after ${START_LIMIT_MS / 1_000} s`);
  }
}

/** A broker that does not end when it is asked to, for example because it is still loading, is killed. */
async function end(pid: number, signal: NodeJS.Signals): Promise<void> {
  signalProcess(pid, signal);
  if (await hasEnded(pid, STOP_LIMIT_MS)) return;
  signalProcess(pid, 'SIGKILL');
  if (!(await hasEnded(pid, STOP_LIMIT_MS))) throw new Error(`Kafka (${pid}) survived a SIGKILL`);
}

/** One node that is broker and controller. Waits that only help big clusters are off. */
const settings = (port: number, controllerPort: number, dataDir: string): string => `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=${dataDir}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
num.network.threads=2
num.io.threads=2
`;
