import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { inheritedEnvironment } from '../inherited-environment.ts';
import { lastLines, spawnServer } from './child.ts';
import { choosePort, freePort } from './ports.ts';
import { initialise, ownerOf, passwordOf } from './postgres-cluster.ts';
import {
  type Cluster,
  clusterIsAt,
  disarmStaleLock,
  findLeftover,
  stopPostmaster,
  urlOf,
} from './postgres-leftover.ts';
import { choosePlace, type Place } from './postgres-place.ts';

const PREFERRED_PORT = 54_329;
/** Generous, because a start after a crash replays the log first. */
const START_LIMIT_MS = 120_000;
const POLL_MS = 50;

export type PostgresOptions = Readonly<{
  /** Folder of this server: its password, its log and, where possible, its data. Kept between starts. */
  dataDir: string;
  /** Undefined: 54329 or, when that is taken, a free one. 0: any free one. */
  port?: number | undefined;
  /** More server settings, such as `{ fsync: 'off' }` for data that need not survive a power cut. */
  settings?: Readonly<Record<string, string>>;
  /** Told what differs from the ordinary, a line at a time: another port, a leftover taken over, data elsewhere. */
  log?: (line: string) => void;
}>;

export type EmbeddedPostgresServer = Readonly<{
  port: number;
  /** Superuser `postgres` on the database `postgres`, password included. */
  adminUrl: string;
  /** The postmaster. SIGKILL it to crash the server; `startPostgres` on the same folder recovers. */
  pid: number;
  /** PostgreSQL's own data directory, which is not always below `dataDir`: see `choosePlace`. */
  clusterDir: string;
  /** Fast shutdown, immediate when that takes over 30 s. Repeating it does nothing. */
  stop: () => Promise<void>;
}>;

/**
 * Starts the PostgreSQL of the npm package, on 127.0.0.1 only, and returns when it answers. The first start makes the
 * cluster (UTF8, builtin C.UTF-8 locale, scram password kept in `<dataDir>/password`); later ones keep the data. A server
 * that a killed run left behind on this folder is taken over, so there are never two on the same data.
 *
 * @throws with one line that ends with the server's last words when it does not start within its time limits
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgresServer> {
  const { dataDir, port, log = () => undefined } = options;
  await mkdir(dataDir, { recursive: true });
  const place = await choosePlace(dataDir);
  const cluster = { clusterDir: place.clusterDir, password: await passwordOf(dataDir, place, log) };
  if (relative(dataDir, place.clusterDir).startsWith('..')) log(`PostgreSQL keeps its data in ${place.clusterDir}.`);

  const leftover = await findLeftover(cluster);
  if (leftover?.answers === true && (port === undefined || port === 0 || port === leftover.port)) {
    log(`Took over the PostgreSQL that an earlier run left behind (process ${leftover.pid}).`);
    return running(cluster, leftover.port, leftover.pid);
  }
  if (leftover !== undefined) {
    log(`Stopping the PostgreSQL that an earlier run left behind (process ${leftover.pid}).`);
    await stopPostmaster(leftover.pid);
  }
  if (!existsSync(place.clusterDir)) await initialise(place, cluster.password);
  return launch(options, place, cluster);
}

async function launch(options: PostgresOptions, place: Place, cluster: Cluster): Promise<EmbeddedPostgresServer> {
  const variable = 'POSTGRES_PORT';
  const note = options.log ?? (() => undefined);
  const logFile = join(options.dataDir, 'postgres.log');
  const deadline = Date.now() + START_LIMIT_MS;
  let port = await choosePort({ explicit: options.port, preferred: PREFERRED_PORT, variable, note });
  for (;;) {
    disarmStaleLock(cluster.clusterDir);
    const child = spawnServer(join(place.nativeDir, 'bin', 'postgres'), flags(options, cluster, port), logFile, {
      ...ownerOf(place),
      env: inheritedEnvironment(),
      cwd: '/',
    });
    const pid = await answers(child, cluster, port, deadline);
    if (pid !== undefined) return running(cluster, port, pid);

    const words = lastLines(logFile);
    if (Date.now() > deadline) throw new Error(`PostgreSQL did not answer in time. Its last words: ${words}`);
    // Backends of a killed postmaster hold its memory for a moment, and a probed port can be taken before we use it.
    if (/shared memory block .* still in use/.test(words)) await sleep(4 * POLL_MS);
    else if (words.includes('Address already in use') && !options.port) port = await freePort();
    else throw new Error(`PostgreSQL ended while starting. Its last words (all in ${logFile}): ${words}`);
  }
}

function flags({ settings }: PostgresOptions, { clusterDir }: Cluster, port: number): string[] {
  const all = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    // Each of our processes has a pool for each database it works on.
    max_connections: '200',
    timezone: 'UTC',
    log_timezone: 'UTC',
    // Details name values of rows: of a duplicate, the address that somebody has already.
    log_error_verbosity: 'terse',
    ...settings,
  };
  return ['-D', clusterDir, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

/** Waits until the server we have just started answers on its port; undefined when it ended or the time is over. */
async function answers(child: ChildProcess, cluster: Cluster, port: number, deadline: number) {
  let ended = false;
  child.once('exit', () => (ended = true));
  await started(child);
  while (!ended && Date.now() < deadline) {
    if (await clusterIsAt(port, cluster)) return child.pid;
    await sleep(POLL_MS);
  }
  if (child.pid !== undefined && !ended) await stopPostmaster(child.pid);
  return undefined;
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(new Error(`PostgreSQL cannot be started: ${error.message}`)));
  });
}

function running(cluster: Cluster, port: number, pid: number): EmbeddedPostgresServer {
  let stopping: Promise<void> | undefined;
  return {
    port,
    adminUrl: urlOf(cluster, port),
    pid,
    clusterDir: cluster.clusterDir,
    stop: () => (stopping ??= stopPostmaster(pid)),
  };
}
