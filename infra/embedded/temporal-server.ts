import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Connection } from '@temporalio/client';

import { inheritedEnvironment } from '../inherited-environment.ts';
import { commandLine, hasEnded, isAlive, lastLines, signalProcess, spawnServer } from './child.ts';
import { choosePort, freePort, isFree, isListening } from './ports.ts';

const PREFERRED_PORT = 7233;
const PREFERRED_UI_PORT = 8233;
const NAMESPACE = 'default';
const START_LIMIT_MS = 60_000;
const MOST_ATTEMPTS = 3;
const CALL_LIMIT_MS = 3_000;
const STOP_LIMIT_MS = 15_000;
const KILL_LIMIT_MS = 5_000;
const POLL_MS = 100;

/** What our workflows are found by in Temporal Web. */
const SEARCH_ATTRIBUTES = {
  CheckoutStatus: 'Keyword',
  CustomerId: 'Keyword',
  FailureCode: 'Keyword',
  OrderTotalMinor: 'Int',
} as const;

/**
 * The server's defaults are for a cluster with many shards. On its single shard 20 polls a second make every task wait up
 * to 50 ms; with these a checkout is six times faster, and the file is as fast as memory and still survives SIGKILL.
 */
const TUNING = [
  '--dynamic-config-value=history.transferProcessorMaxPollRPS=2000',
  '--dynamic-config-value=history.timerProcessorMaxPollRPS=2000',
  '--dynamic-config-value=history.visibilityProcessorMaxPollRPS=1000',
  '--sqlite-pragma=journal_mode=wal',
  '--sqlite-pragma=synchronous=normal',
];

export type TemporalOptions = Readonly<{
  /** The executable that `findTemporalCli` found. */
  cliPath: string;
  /** SQLite file with all workflows; kept between starts. The log is beside it, as `<dbFile>.log`. */
  dbFile: string;
  /** Undefined: 7233 or, when that is taken, a free one. 0: any free one. */
  port?: number | undefined;
  /** The same for Temporal Web, with 8233. False: no Temporal Web. */
  uiPort?: number | false | undefined;
  /** Where Temporal Web has payloads decrypted, unless a browser says otherwise; undefined where none are encrypted. */
  codecEndpoint?: string | undefined;
  /** Told what differs from the ordinary, a line at a time. */
  log?: (line: string) => void;
}>;

export type EmbeddedTemporalServer = Readonly<{
  /** host:port for TEMPORAL_ADDRESS. */
  address: string;
  /** Temporal Web; undefined without it. */
  uiUrl: string | undefined;
  /** SIGKILL it to crash the server; `startTemporal` on the same file recovers. */
  pid: number;
  /** Asks it to end, and kills it after 15 s. Repeating it does nothing. */
  stop: () => Promise<void>;
}>;

/**
 * Starts Temporal's development server on 127.0.0.1 and returns when its namespace and search attributes answer. A server
 * that a killed run left behind on this file is stopped first: two on one file would damage it.
 *
 * @throws with one line that ends with the server's last words when it does not start within 60 s
 */
export async function startTemporal(options: TemporalOptions): Promise<EmbeddedTemporalServer> {
  const { uiPort: askedUiPort, log: note = () => undefined } = options;
  const dbFile = resolve(options.dbFile);
  const logFile = `${dbFile}.log`;
  await mkdir(dirname(dbFile), { recursive: true });
  await stopLeftover(dbFile, note);

  const deadline = Date.now() + START_LIMIT_MS;
  const ask = { explicit: options.port, preferred: PREFERRED_PORT, variable: 'TEMPORAL_PORT', note };
  const askUi = { preferred: PREFERRED_UI_PORT, variable: 'TEMPORAL_UI_PORT', note };
  let port = await choosePort(ask);
  let uiPort = askedUiPort === false ? undefined : await choosePort({ ...askUi, explicit: askedUiPort });
  for (let attempt = 1; ; attempt++) {
    const pid = await launch(options, { dbFile, port, uiPort });
    if (await answers(pid, port, deadline)) return running(pid, port, uiPort, dbFile);

    await stop(pid);
    const late = Date.now() > deadline;
    if (late || attempt === MOST_ATTEMPTS) {
      const how = late ? 'did not answer in time' : 'ended while starting';
      throw new Error(`Temporal ${how}. Its last words (all in ${logFile}): ${lastLines(logFile)}`);
    }
    // A port that was free may have been taken before the server could listen on it; those that it picks by itself for its
    // inner services too, and then it panics. So it is started again, on other ports where they were not asked for.
    if (!options.port && !(await isFree(port))) port = await freePort();
    if (uiPort !== undefined && !askedUiPort && !(await isFree(uiPort))) uiPort = await freePort();
  }
}

/** The command line of the development server; without `uiPort` it has no Temporal Web. docker-compose.yml has the same. */
export function serverArguments(
  at: Readonly<{
    ip: string;
    port: number;
    dbFile: string;
    uiPort?: number | undefined;
    codecEndpoint?: string | undefined;
  }>,
): string[] {
  const web = at.uiPort === undefined ? ['--headless'] : [`--ui-port=${at.uiPort}`];
  if (at.uiPort !== undefined && at.codecEndpoint !== undefined) web.push(`--ui-codec-endpoint=${at.codecEndpoint}`);
  const args = ['server', 'start-dev', `--ip=${at.ip}`, `--port=${at.port}`, `--db-filename=${at.dbFile}`];
  const attributes = Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => `--search-attribute=${name}=${type}`);
  return [...args, ...web, '--log-level=warn', ...TUNING, ...attributes];
}

async function launch(
  { cliPath, codecEndpoint }: TemporalOptions,
  at: Readonly<{ dbFile: string; port: number; uiPort: number | undefined }>,
): Promise<number> {
  const { dbFile } = at;
  const args = serverArguments({ ip: '127.0.0.1', codecEndpoint, ...at });
  // More memory for less garbage collection: 5 to 12 % less CPU in the server.
  const env = { ...inheritedEnvironment(), GOGC: '400' };
  const child = spawnServer(cliPath, args, `${dbFile}.log`, { env });
  await new Promise<void>((done, fail) => {
    child.once('spawn', done);
    child.once('error', (error) => fail(new Error(`Temporal (${cliPath}) cannot be started: ${error.message}`)));
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`Temporal (${cliPath}) was started without a process id.`);
  writeFileSync(pidFile(dbFile), String(pid));
  return pid;
}

async function answers(pid: number, port: number, deadline: number): Promise<boolean> {
  while (isAlive(pid) && Date.now() < deadline) {
    // gRPC is tried once somebody listens: after a refused attempt it keeps the process alive for 20 seconds.
    if ((await isListening(port)) && (await namespaceAnswers(`127.0.0.1:${port}`))) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function namespaceAnswers(address: string): Promise<boolean> {
  // Lazy, because a connection whose first attempt failed could not be closed.
  const connection = Connection.lazy({ address, connectTimeout: CALL_LIMIT_MS });
  try {
    await connection.ensureConnected();
    const { workflowService, operatorService } = connection;
    return await connection.withDeadline(Date.now() + CALL_LIMIT_MS, async () => {
      await workflowService.describeNamespace({ namespace: NAMESPACE });
      const { customAttributes } = await operatorService.listSearchAttributes({ namespace: NAMESPACE });
      return Object.keys(SEARCH_ATTRIBUTES).every((name) => customAttributes?.[name] !== undefined);
    });
  } catch {
    return false; // not there yet; the caller has a deadline and reads the server's log
  } finally {
    await connection.close();
  }
}

function running(pid: number, port: number, uiPort: number | undefined, dbFile: string): EmbeddedTemporalServer {
  let stopping: Promise<void> | undefined;
  return {
    address: `127.0.0.1:${port}`,
    uiUrl: uiPort === undefined ? undefined : `http://127.0.0.1:${uiPort}`,
    pid,
    stop: () => (stopping ??= stop(pid).then(() => rmSync(pidFile(dbFile), { force: true }))),
  };
}

async function stop(pid: number): Promise<void> {
  signalProcess(pid, 'SIGTERM');
  if (await hasEnded(pid, STOP_LIMIT_MS)) return;
  signalProcess(pid, 'SIGKILL');
  if (await hasEnded(pid, KILL_LIMIT_MS)) return;
  throw new Error(`Temporal (process ${pid}) does not end, not even by SIGKILL.`);
}

async function stopLeftover(dbFile: string, log: (line: string) => void): Promise<void> {
  const file = pidFile(dbFile);
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  if (!isAlive(pid)) return;
  // The number may belong to another program by now: only a server on this very file is ours.
  if (!(await commandLine(pid))?.includes(`--db-filename=${dbFile} `)) return;
  log(`Stopping the Temporal that an earlier run left behind (process ${pid}).`);
  await stop(pid);
}

const pidFile = (dbFile: string) => `${dbFile}.pid`;
