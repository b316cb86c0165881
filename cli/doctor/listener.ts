import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { promisify } from 'node:util';

import { identify } from '../../infra/embedded/supervisor/process-identity.ts';

const run = promisify(execFile);
const LSOF_LIMIT_MS = 5_000;
const LISTEN = '0A';

/** Who listens on a TCP port, as `name (pid n)`; undefined when the system does not tell us, as for other users' programs. */
export async function listenerOn(port: number): Promise<string | undefined> {
  const pid = process.platform === 'linux' ? pidByProc(port) : await pidByLsof(port);
  const found = pid === undefined ? undefined : identify(pid);
  return found && `${found.command.split(' ').slice(0, 3).join(' ')} (pid ${found.pid})`;
}

function pidByProc(port: number): number | undefined {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => inodesListening(table, port)));
  if (inodes.size === 0) return undefined;
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const holder = pids.find((pid) => linksOf(`/proc/${pid}/fd`).some((link) => inodes.has(link)));
  return holder === undefined ? undefined : Number(holder);
}

function inodesListening(table: string, port: number): string[] {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return unlessDenied(() => readFileSync(table, 'utf8').split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(hex) === true && state === LISTEN)
    .map((fields) => `socket:[${fields[9]}]`);
}

const linksOf = (folder: string): string[] =>
  unlessDenied(() => readdirSync(folder)).flatMap((name) => unlessDenied(() => [readlinkSync(`${folder}/${name}`)]));

/** A process may end while we look, and those of other users are closed to us: both tell nothing. */
function unlessDenied(read: () => string[]): string[] {
  try {
    return read();
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code)) return [];
    throw error;
  }
}

async function pidByLsof(port: number): Promise<number | undefined> {
  try {
    const { stdout } = await run('lsof', ['-nPt', `-iTCP:${port}`, '-sTCP:LISTEN'], { timeout: LSOF_LIMIT_MS });
    const pid = Number.parseInt(stdout, 10);
    return Number.isNaN(pid) ? undefined : pid;
  } catch {
    return undefined; // not installed, or it found nobody: both end in an error
  }
}
