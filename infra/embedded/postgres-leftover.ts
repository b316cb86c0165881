import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Client } from 'pg';

import { commandLine, hasEnded, isAlive, signalProcess } from './child.ts';

const CONNECT_LIMIT_MS = 2_000;
const FAST_LIMIT_MS = 30_000;
const IMMEDIATE_LIMIT_MS = 10_000;

/** A data directory and the superuser's password for it. */
export type Cluster = Readonly<{ clusterDir: string; password: string }>;

/** A postmaster on our data directory that we did not start. */
export type Leftover = Readonly<{ pid: number; port: number; answers: boolean }>;

/** The superuser's URL of this cluster. */
export const urlOf = ({ password }: Cluster, port: number): string =>
  `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`;

/** The server that still runs on this data directory, if any, and whether it answers to our password. */
export async function findLeftover(cluster: Cluster): Promise<Leftover | undefined> {
  const lock = readLock(cluster.clusterDir);
  if (lock === undefined || !isAlive(lock.pid)) return undefined;
  const answers = await clusterIsAt(lock.port, cluster);
  return answers || (await isPostmasterOf(lock.pid, cluster.clusterDir)) ? { ...lock, answers } : undefined;
}

/**
 * Makes the lock file of a dead server harmless when its process id now belongs to another program, which PostgreSQL
 * would take for the dead server and refuse to start. The file is not deleted: it also names the shared memory by which
 * PostgreSQL notices backends of the dead server that still write. A lock that names the starting server's own parent,
 * us, is ignored, and the memory is still checked.
 */
export function disarmStaleLock(clusterDir: string): void {
  const file = join(clusterDir, 'postmaster.pid');
  const lock = readLock(clusterDir);
  if (lock === undefined || !isAlive(lock.pid)) return;
  const rest = readFileSync(file, 'utf8').split('\n').slice(1);
  writeFileSync(file, [process.pid, ...rest].join('\n'));
}

/** True when the server on this port lets us in and works on this data directory. */
export async function clusterIsAt(port: number, cluster: Cluster): Promise<boolean> {
  const client = new Client({ connectionString: urlOf(cluster, port), connectionTimeoutMillis: CONNECT_LIMIT_MS });
  client.on('error', () => undefined); // a server that goes away meanwhile is the answer "no", given below
  try {
    await client.connect();
    const { rows } = await client.query<{ dir: string }>(`select current_setting('data_directory') as dir`);
    const dir = rows[0]?.dir;
    return dir !== undefined && realpathSync(dir) === realpathSync(cluster.clusterDir);
  } catch {
    return false; // nobody there, not ready yet, or another server with another password
  } finally {
    await client.end().catch(() => undefined); // a connection that was never made cannot be ended
  }
}

/** Fast shutdown, then immediate; both have limits. */
export async function stopPostmaster(pid: number): Promise<void> {
  signalProcess(pid, 'SIGINT');
  if (await hasEnded(pid, FAST_LIMIT_MS)) return;
  signalProcess(pid, 'SIGQUIT');
  if (await hasEnded(pid, IMMEDIATE_LIMIT_MS)) return;
  throw new Error(
    `PostgreSQL (process ${pid}) does not end. Look at what it is doing, then end it with \`kill ${pid}\`.`,
  );
}

function readLock(clusterDir: string): { pid: number; port: number } | undefined {
  const file = join(clusterDir, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  return Number.isInteger(pid) && pid > 1 ? { pid, port } : undefined;
}

async function isPostmasterOf(pid: number, clusterDir: string): Promise<boolean> {
  const command = await commandLine(pid);
  return command !== undefined && command.includes('postgres') && command.includes(`-D ${clusterDir} `);
}
