import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import type { Context } from 'mocha';

import { cacheFolder } from '../../infra/config.ts';
import { runCommand } from '../../infra/embedded/child.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { firstOf, foundOrSkip, report } from './found.ts';
import { inWorkFolder, mustRun } from './test-server.ts';

const START_LIMIT_MS = 20_000;
const APT_LIMIT_MS = 120_000;
const FIX = 'install redis-server (Debian: `apt-get install redis-server`), or set REDIS_SERVER_PATH to one';

/** A Redis that one test has for itself, and may break. It keeps its data in memory alone. */
export type TestRedis = Readonly<{
  url: string;
  /** SIGKILL. Resolves when it is gone. */
  kill: () => Promise<void>;
  /** Starts it again, empty, on its port. */
  restart: () => Promise<void>;
  /** SIGSTOP: connections stay open and nobody answers. */
  freeze: () => void;
  thaw: () => void;
  stop: () => Promise<void>;
}>;

/**
 * Starts a Redis on a free port. Where there is none, the suite of the hook that calls this is skipped by name with the fix;
 * with CI set it fails.
 */
export async function startRedis(context: Context): Promise<TestRedis> {
  const path = await foundOrSkip(context, `no redis-server: ${FIX}`, () =>
    findRedis({ path: process.env['REDIS_SERVER_PATH'] || undefined, report }),
  );
  const port = await freePort();
  let child = await started(path, port);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(signal);
    await gone;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    kill: () => end('SIGKILL'),
    async restart() {
      child = await started(path, port);
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    stop: () => end('SIGTERM'),
  };
}

async function started(path: string, port: number): Promise<ChildProcess> {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn(path, settings, { stdio: ['ignore', 'pipe', 'pipe'] });
  process.once('exit', () => child.kill('SIGKILL')); // also when the suite is ended before its hooks have run
  let output = '';
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      const failed = (why: string) => reject(new Error(`redis-server ${why}:\n${output}`));
      const read = (chunk: Buffer): void => {
        output += chunk.toString();
        if (/Ready to accept connections/.test(output)) resolve();
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) => failed(`ended with ${code} before it listened`));
      child.once('error', (error) => failed(error.message));
      limit.addEventListener('abort', () => failed('did not listen in time'));
    });
    return child;
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

export type FindRedis = Readonly<{
  /** REDIS_SERVER_PATH: when it is set, nothing else is tried. */
  path?: string | undefined;
  /** Folders to look in, as PATH lists them; by default PATH. */
  searchPath?: string;
  /** Where packages are unpacked; by default the user's cache folder. */
  cacheDir?: string;
  /** Told before a download. */
  report?: (line: string) => void;
}>;

/**
 * Finds a Redis server: the one asked for, the one on PATH, our unpacked copy, Debian's packages, which are unpacked and not
 * installed, so that this needs no rights.
 *
 * @throws with every source and why it failed
 */
export async function findRedis(options: FindRedis = {}): Promise<string> {
  const { path, searchPath = process.env['PATH'] ?? '', report = () => undefined } = options;
  const { cacheDir = join(cacheFolder(), 'redis-server') } = options;
  if (path !== undefined) {
    return await working(path).catch((error: unknown) => {
      throw new Error(`REDIS_SERVER_PATH=${path}: ${String(error)}`, { cause: error });
    });
  }
  const onPath = searchPath.split(delimiter).map((folder) => join(folder, 'redis-server'));
  const unpacked = join(cacheDir, `debian-${process.arch}`);
  const script = join(unpacked, 'redis-server');
  return firstOf([
    ['on PATH', () => working(onPath.find((file) => existsSync(file)))],
    ['cache', () => working(script)],
    ['Debian', () => inWorkFolder(unpacked, unpack, report).then(() => working(script))],
  ]);
}

/** Version 5 is the first whose scripts may look at the clock and write. */
async function working(path: string | undefined): Promise<string> {
  if (path === undefined || !existsSync(path)) throw new Error('there is none');
  const { code, output } = await runCommand(path, ['--version'], START_LIMIT_MS);
  const version = /v=(\d+)\./.exec(output)?.[1];
  if (code !== 0 || version === undefined || Number(version) < 5)
    throw new Error(`it is no Redis 5 or later: ${output}`);
  return path;
}

/** The package and what it needs that this machine does not have. apt checks the signatures of its lists. */
async function unpack(folder: string, report: (line: string) => void): Promise<void> {
  report("Downloading Debian's redis-server …");
  const names =
    (await missingPackages()) ?? (await mustRun('apt-get', ['update'], APT_LIMIT_MS), await missingPackages());
  if (names === undefined) throw new Error('apt knows no redis-server');
  await mustRun('apt-get', ['download', ...names], APT_LIMIT_MS, folder);
  await mustRun('sh', ['-c', 'for deb in *.deb; do dpkg-deb -x "$deb" root && rm "$deb"; done'], APT_LIMIT_MS, folder);
  const script = `#!/bin/sh
ROOT="$(cd "$(dirname "$0")" && pwd)/root"
LD_LIBRARY_PATH="$(echo "$ROOT"/usr/lib/*-linux-gnu*)" exec "$ROOT/usr/bin/redis-server" "$@"
`;
  await writeFile(join(folder, 'redis-server'), script, { mode: 0o755 });
}

async function missingPackages(): Promise<readonly string[] | undefined> {
  const { output } = await runCommand('apt-get', ['install', '--dry-run', 'redis-server'], APT_LIMIT_MS);
  const names = [...output.matchAll(/^Inst (\S+)/gm)].flatMap(([, name]) => name ?? []);
  return names.includes('redis-server') ? names : undefined;
}
