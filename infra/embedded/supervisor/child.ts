import { type ChildProcess, spawn } from 'node:child_process';
import { extname, join } from 'node:path';

import type { ReadyMessage } from '../../process.ts';
import { openLogFile } from './log-file.ts';
import { type RunningPart, StartFailed } from './part.ts';

/** The folder that holds `api`, `workers` and so on: sources under `tsx`, or the built files. */
const ROOT = join(import.meta.dirname, '../../..');
const EXTENSION = extname(import.meta.filename);
const LOADER = EXTENSION === '.ts' ? ['--import', 'tsx'] : [];

export type ChildOptions = Readonly<{
  name: string;
  /** Path of the entry below the root, without extension: `api/server`. */
  entry: string;
  /** The whole environment: a child gets the credentials it needs and no others. */
  env: Readonly<Record<string, string>>;
  logFile: string;
  /** Told every warning and error in the log, one line each. */
  warn: (line: string) => void;
  /** Time until the child must have said that it serves, milliseconds. */
  readyLimitMs: number;
  /** Called as soon as the process exists, long before it is ready. */
  spawned: (pid: number) => void;
}>;

/**
 * Starts one of our processes and waits until it says over IPC that it serves. A child whose IPC channel closes
 * drains and ends by itself, so a killed supervisor leaves no orphans.
 *
 * @param aborted kills a child that is still starting
 * @throws StartFailed when it ends first or takes too long, with its last log lines; it is gone then
 */
export async function startChild(options: ChildOptions, aborted: AbortSignal): Promise<RunningPart> {
  const { name, entry, env, logFile, warn, readyLimitMs, spawned } = options;
  let early: string[] | undefined = []; // a failure tells them itself
  const log = openLogFile(logFile, (line) => (early === undefined ? warn(line) : early.push(line)));
  const child = spawn(process.execPath, [...LOADER, join(ROOT, `${entry}${EXTENSION}`)], {
    cwd: ROOT,
    env,
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
  });
  const ended = whenEnded(child);
  if (child.pid === undefined) {
    log.close();
    throw new StartFailed(`${name} could not be run: ${await ended}`);
  }
  spawned(child.pid);

  const outcome = await firstOf(child, ended, readyLimitMs, aborted);
  if ('ready' in outcome) {
    early.forEach(warn);
    early = undefined;
    void ended.then(() => log.close());
    return running(child, child.pid, ended, outcome.ready.url);
  }
  child.kill('SIGKILL');
  await ended;
  const lines = log.tail();
  log.close();
  throw new StartFailed(failure(name, outcome.failed, lines, log.path));
}

type Outcome = Readonly<{ ready: ReadyMessage } | { failed: string }>;

function firstOf(child: ChildProcess, ended: Promise<string>, limitMs: number, aborted: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    const fail = (failed: string) => resolve({ failed });
    const timer = setTimeout(() => fail(`was not ready after ${limitMs / 1000} s`), limitMs);
    const abort = () => fail('was told to stop while it started');
    aborted.addEventListener('abort', abort, { once: true });
    if (aborted.aborted) abort();
    child.on('message', (message) => {
      if (isReady(message)) resolve({ ready: message });
    });
    void ended.then((reason) => {
      clearTimeout(timer);
      fail(`ended while it started (${reason})`);
    });
    child.once('message', () => clearTimeout(timer));
  });
}

const isReady = (message: unknown): message is ReadyMessage =>
  typeof message === 'object' && message !== null && 'ready' in message && message.ready === true;

/** The process's end in words; also for a process that could not even be made. */
function whenEnded(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve(error.message);
    });
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
}

function running(child: ChildProcess, pid: number, ended: Promise<string>, url: string | undefined): RunningPart {
  return {
    pid,
    ...(url === undefined ? {} : { url }),
    ended,
    async stop(limitMs) {
      child.kill('SIGTERM');
      let killed = false;
      const timer = setTimeout(() => (killed = child.kill('SIGKILL')), limitMs);
      await ended;
      clearTimeout(timer);
      return killed ? 'killed' : 'clean';
    },
    kill: () => void child.kill('SIGKILL'),
  };
}

function failure(name: string, what: string, lines: readonly string[], path: string): string {
  const last = lines.length === 0 ? ['(it wrote nothing)'] : lines;
  return `${name} ${what}. Its last lines:\n${last.map((line) => `    ${line}`).join('\n')}\n  All of it: ${path}`;
}
