import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

import type { ReadyMessage } from '../../infra/process.ts';

const READY_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 60_000;

/** One of our processes, as the supervisor would start it. */
export type Child = Readonly<{
  pid: number;
  /** Where it serves; empty for workers. */
  url: string;
  /** SIGKILL: no handler runs, nothing is reported. Resolves when the process is gone. */
  kill: () => Promise<void>;
  /** SIGTERM and a bounded wait. @returns the exit code */
  stop: () => Promise<number | null>;
  signal: (name: NodeJS.Signals) => void;
  /** What it printed so far. */
  output: () => string;
}>;

/** Starts an entry file and waits until it says that it is ready; its output is part of the error when it does not. */
export async function startChild(
  script: string,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<Child> {
  const child = fork(script, args, { execArgv: ['--import', 'tsx'], env, silent: true });
  let text = '';
  const collect = (chunk: Buffer): void => void (text += chunk.toString());
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);

  const url = await ready(child, script, () => text);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${script} has no pid`);
  return {
    pid,
    url,
    kill: () => end(child, 'SIGKILL'),
    async stop() {
      await end(child, 'SIGTERM');
      return child.exitCode;
    },
    signal: (name) => void child.kill(name),
    output: () => text,
  };
}

async function ready(child: ChildProcess, script: string, output: () => string): Promise<string> {
  const limit = AbortSignal.timeout(READY_LIMIT_MS);
  const gone = once(child, 'exit', { signal: limit }).then(() => {
    throw new Error(`${script} ended before it was ready:\n${output()}`);
  });
  const message = once(child, 'message', { signal: limit }).then((args) => (args[0] as ReadyMessage).url ?? '');
  try {
    return await Promise.race([gone, message]);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${script} did not get ready:\n${output()}`, { cause: error });
  } finally {
    gone.catch(() => undefined);
    message.catch(() => undefined);
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await exited;
  clearTimeout(limit);
}
