import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { forwardSignals } from './child.mjs';
import { keptOutput, sumOf } from './lanes.mjs';
import { endServers } from './left-servers.mjs';
import { ROOT } from './root.mjs';

const TEST_LIMIT_MS = 30_000;
const EXIT_LIMIT_MS = 20_000;
const POLL_MS = 500;

/** Where the numbers go. A run inside a test gets a folder of its own, so that it cannot touch those of the outer run. */
export const RESULTS = process.env.TEST_RESULTS_DIR ?? join(ROOT, 'test-results');

/**
 * Runs one suite, each lane of a round in a mocha process. What one lane lacks or breaks, the suite does.
 *
 * @param rounds lists of files, of `roundsOf`; the output of a lone lane is seen while it runs
 * @returns what `runMocha` does, for all of it
 */
export async function runSuite({ rounds, ...rest }) {
  const results = [];
  for (const lanes of rounds) {
    results.push(await runRound({ lanes, ...rest }));
    if (results.at(-1).interrupted) break;
  }
  return sumOf(results);
}

async function runRound({ suite, lanes, ...rest }) {
  const [files] = lanes;
  if (lanes.length === 1) return runMocha({ suite, files, ...rest });
  const claims = join(RESULTS, `${suite}-${process.pid}-claims`);
  rmSync(claims, { recursive: true, force: true });
  mkdirSync(claims, { recursive: true });
  try {
    const runs = lanes.map((some, number) => runMocha({ suite, files: some, lane: { number, claims }, ...rest }));
    return sumOf(await Promise.all(runs), files);
  } finally {
    rmSync(claims, { recursive: true });
  }
}

/**
 * Runs test files in a mocha process of their own, and believes only what the reporter wrote.
 *
 * mocha's `--exit` is not used: it would hide a connection or worker that nobody closes. A process that does not end
 * by itself after its last test is killed and counts as a failure; the reporter names what was left open.
 *
 * @param lane of a process that shares the files with another one: its number, and the folder where each claims the files
 *   that it runs; its output is printed a file at a time
 * @param limitMs most milliseconds for all of the files
 * @param exitLimitMs how many milliseconds mocha's process may live on after its last test
 * @returns the reporter's totals, with `problems`, what went wrong outside of any test, and `interrupted`
 */
export async function runMocha({ suite, files, options, limitMs, lane, exitLimitMs = EXIT_LIMIT_MS }) {
  mkdirSync(RESULTS, { recursive: true });
  // Named after this process, because two runs may share the folder.
  const name = join(RESULTS, [suite, process.pid, ...(lane === undefined ? [] : [lane.number])].join('-'));
  const totalsFile = `${name}.json`;
  const serversFile = `${name}-servers.jsonl`;
  const output = lane === undefined ? undefined : keptOutput(`${name}.log`);
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
  if (lane !== undefined) args.push('--reporter-option', `claims=${lane.claims}`);
  if (lane !== undefined && process.stdout.isTTY) args.push('--color');
  const child = spawn(process.execPath, [...args, ...options, ...files], {
    cwd: ROOT,
    stdio: output === undefined ? 'inherit' : ['ignore', output.fd, output.fd],
    env: { ...process.env, NODE_ENV: 'test', TEST_SERVERS_FILE: serversFile },
    detached: process.platform !== 'win32',
  });
  const end = await endOf(child, totalsFile, limitMs, exitLimitMs, output?.echo);
  output?.end();
  const left = await endServers(serversFile);
  const result = totals(totalsFile, end);
  rmSync(totalsFile, { force: true });
  if (end.interrupted) result.problems.push('it was interrupted');
  // After a run that was killed they are no news; otherwise a test lost them.
  else if (left > 0 && result.problems.length === 0) result.problems.push(`${left} test servers were left running`);
  return { ...result, interrupted: end.interrupted };
}

function endOf(child, totalsFile, limitMs, exitLimitMs, echo = () => undefined) {
  const startedAt = Date.now();
  let finishedAt;
  let killedFor;
  const watch = setInterval(() => {
    echo();
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
  const none = { passed: 0, failed: 0, skipped: [], failures: [], passedIn: {}, files: {} };
  const written = existsSync(totalsFile) ? JSON.parse(readFileSync(totalsFile, 'utf8')) : undefined;
  const problems = [];
  if (killedFor) problems.push(`mocha was killed: ${killedFor}`);
  else if (written === undefined) problems.push(`mocha ended with ${signal ?? `exit code ${code}`} before its report`);
  // mocha's exit code is its number of failures; anything else is a crash after the report.
  else if (signal || (code !== 0 && written.failed === 0))
    problems.push(`mocha ended with ${signal ?? `exit code ${code}`}`);
  return { ...(written ?? none), problems };
}
