import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { forwardSignals } from './child.mjs';
import { endServers } from './left-servers.mjs';
import { ROOT } from './root.mjs';

const TEST_LIMIT_MS = 30_000;
const EXIT_LIMIT_MS = 20_000;
const POLL_MS = 500;

/** Where the numbers go. A run inside a test gets a folder of its own, so that it cannot touch those of the outer run. */
export const RESULTS = process.env.TEST_RESULTS_DIR ?? join(ROOT, 'test-results');

/**
 * Runs one suite in a mocha process of its own, and believes only what the reporter wrote.
 *
 * mocha's `--exit` is not used: it would hide a connection or worker that nobody closes. A process that does not end
 * by itself after its last test is killed and counts as a failure; the reporter names what was left open.
 *
 * @param limitMs most milliseconds for the whole suite
 * @param exitLimitMs how many milliseconds mocha's process may live on after its last test
 * @returns the reporter's totals, with `problems`, what went wrong outside of any test, and `interrupted`
 */
export async function runMocha({ suite, files, options, limitMs, exitLimitMs = EXIT_LIMIT_MS }) {
  mkdirSync(RESULTS, { recursive: true });
  // Named after this process, because two runs may share the folder.
  const totalsFile = join(RESULTS, `${suite}-${process.pid}.json`);
  const serversFile = join(RESULTS, `${suite}-${process.pid}-servers.jsonl`);
  rmSync(totalsFile, { force: true });
  rmSync(serversFile, { force: true });
  const args = [
    '--import',
    'tsx',
    join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js'),
    '--no-config',
    '--forbid-only',
  ];
  args.push('--timeout', String(TEST_LIMIT_MS), '--require', 'test/support/root-hooks.ts');
  args.push('--reporter', 'test/support/reporter.mjs', '--reporter-option', `totals=${totalsFile}`);
  const child = spawn(process.execPath, [...args, ...options, ...files], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, NODE_ENV: 'test', TEST_SERVERS_FILE: serversFile },
    detached: process.platform !== 'win32',
  });
  const end = await endOf(child, totalsFile, limitMs, exitLimitMs);
  const left = await endServers(serversFile);
  const result = totals(totalsFile, end);
  rmSync(totalsFile, { force: true });
  if (end.interrupted) result.problems.push('it was interrupted');
  // After a run that was killed they are no news; otherwise a test lost them.
  else if (left > 0 && result.problems.length === 0) result.problems.push(`${left} test servers were left running`);
  return { ...result, interrupted: end.interrupted };
}

function endOf(child, totalsFile, limitMs, exitLimitMs) {
  const startedAt = Date.now();
  let finishedAt;
  let killedFor;
  const watch = setInterval(() => {
    if (finishedAt === undefined && existsSync(totalsFile)) finishedAt = Date.now();
    const open = finishedAt !== undefined && Date.now() - finishedAt > exitLimitMs;
    if (open) killedFor = `the process did not end within ${exitLimitMs / 1_000} s of its last test`;
    else if (Date.now() - startedAt > limitMs) killedFor = `no end after ${limitMs / 60_000} minutes`;
    if (killedFor) child.kill('SIGKILL');
  }, POLL_MS);
  let interrupted = false;
  const stopForwarding = forwardSignals(child, () => (interrupted = true));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal, killedFor, interrupted }));
  }).finally(() => {
    clearInterval(watch);
    stopForwarding();
  });
}

function totals(totalsFile, { code, signal, killedFor }) {
  const none = { passed: 0, failed: 0, skipped: [] };
  const written = existsSync(totalsFile) ? JSON.parse(readFileSync(totalsFile, 'utf8')) : undefined;
  const problems = [];
  if (killedFor) problems.push(`mocha was killed: ${killedFor}`);
  else if (written === undefined) problems.push(`mocha ended with ${signal ?? `exit code ${code}`} before its report`);
  // mocha's exit code is its number of failures; anything else is a crash after the report.
  else if (signal || (code !== 0 && written.failed === 0))
    problems.push(`mocha ended with ${signal ?? `exit code ${code}`}`);
  return { ...(written ?? none), problems };
}
