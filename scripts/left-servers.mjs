import { existsSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const END_LIMIT_MS = 10_000;
const POLL_MS = 50;

/**
 * Ends the servers that a test process noted in this file and did not live to stop, and removes their folders: they run
 * in process groups of their own, so nothing else would.
 *
 * @returns how many there were
 */
export async function endServers(file) {
  if (!existsSync(file)) return 0;
  const noted = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  rmSync(file);
  const left = noted.filter(isRunning);
  for (const { pid } of left) process.kill(pid, 'SIGQUIT'); // an immediate end for PostgreSQL and Temporal alike
  for (const deadline = Date.now() + END_LIMIT_MS; left.some(isRunning) && Date.now() < deadline;) await sleep(POLL_MS);
  for (const { folder } of noted) rmSync(folder, { recursive: true, force: true });
  return left.length;
}

/** Its process lives, and still works on its folder: the id may have been given to another program. */
function isRunning({ pid, folder }) {
  try {
    process.kill(pid, 0);
    const commandLine = `/proc/${pid}/cmdline`;
    return !existsSync('/proc/self') || (existsSync(commandLine) && readFileSync(commandLine, 'utf8').includes(folder));
  } catch {
    return false; // gone, also while we looked
  }
}
