import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import type { Context } from 'mocha';

import { cacheFolder } from '../../infra/config.ts';
import { runCommand } from '../../infra/embedded/child.ts';
import { firstOf, foundOrSkip, report } from './found.ts';

const VERSION = '0.203.0';
const MODULE = 'github.com/stripe/stripe-mock';
const BUILD_LIMIT_MS = 300_000;
const START_LIMIT_MS = 30_000;

/** What to do on a machine that has none of the sources. */
const FIX = `install Go once, or set STRIPE_MOCK_PATH to stripe-mock ${VERSION} (https://${MODULE}/releases)`;

/** A running stripe-mock: it knows every request and answer of Stripe's API by shape, and remembers nothing. */
export type StripeMock = Readonly<{ url: string; close: () => Promise<void> }>;

/**
 * Starts a stripe-mock on a free port. Where there is none, the suite of the hook that calls this is skipped by name with
 * the fix; with CI set it fails.
 */
export async function startStripeMock(context: Context): Promise<StripeMock> {
  const path = await foundOrSkip(context, `no stripe-mock: ${FIX}`, () =>
    findStripeMock({ path: process.env['STRIPE_MOCK_PATH'] || undefined, report }),
  );
  // Both listeners are asked for: without the second it takes its default port, which may be in use.
  const child = spawn(path, ['-http-addr', '127.0.0.1:0', '-https-addr', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {}, // it would take PORT for its own
  });
  process.once('exit', () => child.kill('SIGKILL')); // also when the suite is ended before its hooks have run
  let output = '';
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  try {
    const url = await new Promise<string>((resolve, reject) => {
      const failed = (why: string) => reject(new Error(`stripe-mock ${why}:\n${output}`));
      const read = (chunk: Buffer): void => {
        output += chunk.toString();
        const address = /Listening for HTTP at address: (127\.0\.0\.1:\d+)/.exec(output)?.[1];
        if (address !== undefined) resolve(`http://${address}`);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) => failed(`ended with ${code} before it listened`));
      child.once('error', (error) => failed(error.message));
      limit.addEventListener('abort', () => failed('did not listen in time'));
    });
    return { url, close: () => end(child) };
  } catch (error) {
    await end(child);
    throw error;
  }
}

export type FindStripeMock = Readonly<{
  /** STRIPE_MOCK_PATH: when it is set, nothing else is tried. */
  path?: string | undefined;
  /** Folders to look in, as PATH lists them; by default PATH. */
  searchPath?: string;
  /** Where builds are kept; by default the user's cache folder. */
  cacheDir?: string;
  /** Told before it is built. */
  report?: (line: string) => void;
}>;

/**
 * Finds the stripe-mock that the tests are written for: the one asked for, the one on PATH, our cached copy, a build of our
 * own with Go, one at a time. Another version is not used: it knows other shapes.
 *
 * @throws with every source and why it failed
 */
export async function findStripeMock(options: FindStripeMock = {}): Promise<string> {
  const { path, searchPath = process.env['PATH'] ?? '', report = () => undefined } = options;
  const { cacheDir = join(cacheFolder(), 'stripe-mock') } = options;
  if (path !== undefined) {
    return await rightVersion(path).catch((error: unknown) => {
      throw new Error(`STRIPE_MOCK_PATH=${path}: ${String(error)}`, { cause: error });
    });
  }
  const cached = join(cacheDir, `v${VERSION}-${process.platform}-${process.arch}`);
  const onPath = searchPath.split(delimiter).map((folder) => join(folder, 'stripe-mock'));
  return firstOf([
    ['on PATH', () => rightVersion(onPath.find((file) => existsSync(file)))],
    ['cache', () => rightVersion(join(cached, 'stripe-mock'))],
    ['go install', () => build(cached, report)],
  ]);
}

/** Releases print their version; one that was built by Go prints `master` and carries the version of its module. */
async function rightVersion(path: string | undefined): Promise<string> {
  if (path === undefined || !existsSync(path)) throw new Error('there is none');
  const { code, output } = await runCommand(path, ['-version'], START_LIMIT_MS);
  if (code !== 0) throw new Error(`-version ended with ${code}`);
  if (output === `stripe-mock ${VERSION}`) return path;
  if ((await readFile(path)).includes(`mod\t${MODULE}\tv${VERSION}\t`)) return path;
  throw new Error(`it is not version ${VERSION}`);
}

/** scripts/lock.mjs, which has no types: one process at a time does the work. */
type WithLock = <T>(
  path: string,
  options: Readonly<{ timeoutMs: number; onWait: (owner: string) => void }>,
  work: () => Promise<T>,
) => Promise<T>;

async function build(target: string, report: (line: string) => void): Promise<string> {
  await mkdir(join(target, '..'), { recursive: true });
  const onWait = (owner: string): void => report(`Waiting for ${owner}, which builds stripe-mock …`);
  const lock: string = new URL('../../scripts/lock.mjs', import.meta.url).href;
  const { withLock } = (await import(lock)) as { withLock: WithLock };
  return withLock(`${target}.lock`, { timeoutMs: BUILD_LIMIT_MS, onWait }, () => buildAlone(target, report));
}

async function buildAlone(target: string, report: (line: string) => void): Promise<string> {
  const program = join(target, 'stripe-mock');
  const ready = await rightVersion(program).catch(() => undefined);
  if (ready !== undefined) return ready; // another process has built it meanwhile
  report(`Building stripe-mock ${VERSION} with Go, once …`);
  // A folder beside the target, so that the last step is a rename: nobody ever sees half a program.
  const folder = await mkdtemp(`${target}.`);
  try {
    const env = { ...process.env, GOBIN: folder, GOFLAGS: '-mod=mod' };
    const { code, signal, output } = await runCommand('go', ['install', `${MODULE}@v${VERSION}`], BUILD_LIMIT_MS, {
      env,
    });
    if (signal === 'SIGKILL') throw new Error(`go did not end within ${BUILD_LIMIT_MS / 1_000} s`);
    if (code !== 0) throw new Error(output.split('\n').at(-1) ?? `go ended with ${code}`);
    await rightVersion(join(folder, 'stripe-mock'));
    await rm(target, { recursive: true, force: true });
    await rename(folder, target);
    return program;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function end(child: ReturnType<typeof spawn>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
