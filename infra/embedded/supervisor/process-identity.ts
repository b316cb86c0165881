import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

/**
 * Which process a pid meant when it was written down. A pid alone is not enough to end a process by: after a crash
 * or a reboot the number may belong to somebody else's program.
 */
export const processIdentitySchema = z.object({
  pid: z.number().int().positive(),
  /** When the process started, in the words of the operating system; only ever compared for equality. */
  started: z.string(),
  command: z.string(),
});
export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

const POLL_MS = 50;
const PS_LIMIT_MS = 5_000;

/** Who has this pid now; undefined when nobody has, or only a dead process that nobody has collected yet. */
export function identify(pid: number): ProcessIdentity | undefined {
  return process.platform === 'linux' ? identifyByProc(pid) : identifyByPs(pid);
}

/** Whether the process that was written down still runs, as opposed to another one with its number. */
export function stillRuns(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid);
  return now?.started === identity.started && now.command === identity.command;
}

/** Every process whose command line holds all the fragments. */
export function processesWith(fragments: readonly string[]): ProcessIdentity[] {
  const pids = process.platform === 'linux' ? pidsByProc() : pidsByPs();
  const others = pids.filter((pid) => pid !== process.pid).flatMap((pid) => identify(pid) ?? []);
  return others.filter(({ command }) => fragments.every((text) => command.includes(text)));
}

/** @returns whether the process ended within the limit, milliseconds */
export async function endsWithin(identity: ProcessIdentity, limitMs: number): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (stillRuns(identity)) {
    if (Date.now() >= deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** Sends a signal; a process that has ended meanwhile is not an error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function identifyByProc(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name before may hold spaces and brackets
    const [state] = fields;
    if (state === 'Z' || state === 'X') return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return { pid, started: `${bootId()}:${fields[STARTTIME]}`, command };
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Position of `starttime` (field 22 of proc(5)) after the name. */
const STARTTIME = 19;

const isGone = (error: unknown): boolean => ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');

/** Start times count from boot, so two boots must not be confused. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch (error) {
    if (isGone(error)) return 'boot'; // some sandboxes hide it
    throw error;
  }
}

const pidsByProc = () =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function identifyByPs(pid: number): ProcessIdentity | undefined {
  const [line] = ps(['-o', 'stat=,lstart=,command=', '-p', String(pid)]);
  const found = /^(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(.*)$/.exec(line ?? '');
  if (found === null || found[1]?.startsWith('Z') === true) return undefined;
  return { pid, started: found[2] ?? '', command: found[3] ?? '' };
}

const pidsByPs = () => ps(['-axo', 'pid=']).map(Number);

function ps(args: readonly string[]): string[] {
  try {
    const out = execFileSync('ps', args, {
      encoding: 'utf8',
      timeout: PS_LIMIT_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return out.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
  } catch (error) {
    if ((error as { status?: unknown }).status === 1) return []; // ps: no such process
    throw error;
  }
}
