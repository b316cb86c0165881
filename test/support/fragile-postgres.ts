import { rm } from 'node:fs/promises';

import { hasEnded, runCommand, signalProcess } from '../../infra/embedded/child.ts';
import { startPostgres } from '../../infra/embedded/postgres.ts';
import { DATABASE_NAMES, provisionDatabases } from '../../infra/embedded/provision.ts';
import { seedPlatform } from '../../prisma/seed.ts';
import type { TestDatabases } from './databases.ts';
import { noteServer, serverFolder } from './servers.ts';

/** A PostgreSQL that one test has for itself, with seeded databases, and may break. */
export type FragilePostgres = Readonly<{
  databases: TestDatabases;
  adminUrl: string;
  /** SIGQUIT to the postmaster: every session is cut at once and nothing is written down. Resolves when it is gone. */
  crash: () => Promise<void>;
  /** Starts it again on its data and its port. */
  restart: () => Promise<void>;
  /** SIGSTOP of the postmaster and every session: connections stay open and nobody answers. */
  freeze: () => Promise<void>;
  thaw: () => Promise<void>;
  stop: () => Promise<void>;
}>;

const GONE_LIMIT_MS = 10_000;
const PGREP_LIMIT_MS = 10_000;

export async function fragilePostgres(): Promise<FragilePostgres> {
  const folder = await serverFolder();
  const start = async (port: number) => {
    // Data written before a crash of the server survive without fsync too; only a power cut would lose them.
    const started = await startPostgres({ dataDir: folder, port, settings: { fsync: 'off' } });
    noteServer(started, folder);
    return started;
  };
  let server = await start(0);
  const { adminUrl, port } = server;
  const urls = await provisionDatabases(adminUrl);
  await seedPlatform(urls.platform);

  return {
    databases: {
      urls,
      adminUrl: (name) => Object.assign(new URL(adminUrl), { pathname: `/${DATABASE_NAMES[name]}` }).href,
      drop: () => Promise.resolve(), // they go with their server
    },
    adminUrl,
    async crash() {
      signalProcess(server.pid, 'SIGQUIT');
      if (!(await hasEnded(server.pid, GONE_LIMIT_MS))) throw new Error('PostgreSQL survived a SIGQUIT');
    },
    async restart() {
      server = await start(port);
    },
    freeze: () => signalAll(server.pid, 'SIGSTOP'),
    thaw: () => signalAll(server.pid, 'SIGCONT'),
    async stop() {
      await signalAll(server.pid, 'SIGCONT');
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The postmaster first: stopped, it makes no session that would be missed. Each session has a group of its own. */
async function signalAll(postmaster: number, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  signalProcess(postmaster, signal);
  for (const pid of await childrenOf(postmaster)) signalProcess(pid, signal);
}

async function childrenOf(pid: number): Promise<number[]> {
  const { code, output } = await runCommand('pgrep', ['-P', String(pid)], PGREP_LIMIT_MS);
  if (code === 1) return []; // it has none, or is gone itself
  if (code !== 0) throw new Error(`pgrep ended with ${code}: ${output}`);
  return output.split('\n').map(Number);
}
