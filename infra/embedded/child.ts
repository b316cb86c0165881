import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 25;
const LONGEST_LOG_BYTES = 10 * 1024 * 1024;
const LAST_LINES = 8;
/** Places in /proc/<pid>/stat, counted behind the command's name. */
const STATE = 0;
const THREADS = 17;

/** Collected output of a command that has ended. */
export type CommandResult = Readonly<{ code: number | null; signal: NodeJS.Signals | null; output: string }>;

/**
 * Runs a command to its end with a time limit in milliseconds, after which it is killed (`signal` is then SIGKILL).
 *
 * @throws when it cannot be started
 */
export function runCommand(
  command: string,
  args: readonly string[],
  limitMs: number,
  options: SpawnOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Not spawn's own `timeout`: its timer goes on, and keeps the process, when the command cannot be started.
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    let output = '';
    const collect = (chunk: Buffer) => (output += chunk.toString());
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, output: output.trim() });
    });
  });
}

/**
 * Starts a server that writes to a log file. It gets a process group of its own: a Ctrl-C in the terminal must not stop
 * it before the programs that use it have finished. Its log is appended to, and moved to `<log>.1` above 10 MiB.
 */
export function spawnServer(
  command: string,
  args: readonly string[],
  logFile: string,
  options: SpawnOptions = {},
): ChildProcess {
  if (existsSync(logFile) && statSync(logFile).size > LONGEST_LOG_BYTES) renameSync(logFile, `${logFile}.1`);
  const log = openSync(logFile, 'a', 0o600);
  try {
    return spawn(command, args, { ...options, stdio: ['ignore', log, log], detached: true });
  } finally {
    closeSync(log);
  }
}

/** The end of a server's log for an error message, on one line; says so when there is none. */
export function lastLines(logFile: string): string {
  if (!existsSync(logFile)) return '(no log)';
  const lines = readFileSync(logFile, 'utf8').trim().split('\n');
  return lines.slice(-LAST_LINES).join(' | ') || '(its log is empty)';
}

/** True for a running process, also one of another user. A zombie that nobody has collected yet counts as ended. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return process.platform !== 'linux';
  try {
    const stat = readFileSync(file, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // The main thread can be a zombie while other threads of a killed server still hold its ports and files.
    return fields[STATE] !== 'Z' || Number(fields[THREADS]) > 1;
  } catch {
    return false; // it ended between the two looks
  }
}

/** Waits until the process has ended. False when it still runs after `limitMs` milliseconds. */
export async function hasEnded(pid: number, limitMs: number): Promise<boolean> {
  for (const deadline = Date.now() + limitMs; isAlive(pid); await sleep(POLL_MS)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}

/** Sends a signal; a process that is already gone is what was wanted. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** The command line of a running process; undefined where the system does not tell. */
export async function commandLine(pid: number): Promise<string | undefined> {
  const file = `/proc/${pid}/cmdline`;
  if (existsSync(file)) return readFileSync(file, 'utf8').replaceAll('\0', ' ');
  if (process.platform === 'win32') return undefined;
  const { code, output } = await runCommand('ps', ['-ww', '-o', 'command=', '-p', String(pid)], 5_000);
  return code === 0 ? output : undefined;
}
