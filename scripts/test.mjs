import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ensureInstalled } from './bootstrap.mjs';
import { roundsOf } from './lanes.mjs';
import { RESULTS, runSuite } from './mocha.mjs';
import { toldFailure, withSecondLook } from './second-look.mjs';
import { limitMsOf, plan, USAGE } from './suites.mjs';

/** How many of a suite's slowest files are named. */
const SLOWEST = 8;

if (process.argv.slice(2).includes('--help')) {
  console.log(USAGE);
  process.exit();
}
await ensureInstalled({ quiet: true });
// Removed first: a run that crashes must not leave the numbers of the run before.
rmSync(join(RESULTS, 'totals.json'), { force: true });

let runs, options, filtered;
try {
  ({ runs, options, filtered } = plan(process.argv.slice(2)));
} catch (error) {
  console.error(`${error.message}\n${USAGE}`);
  process.exit(2);
}

const NOTHING_RAN = { passed: 0, failed: 0, skipped: [], failures: [], doubtful: [] };
const total = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
const skips = [];
const lines = [];
let interrupted = false;
for (const { suite, files } of runs) {
  if (interrupted) break;
  console.log(`\n── ${suite}: ${files.length} files`);
  const result = await judged(suite, files);
  interrupted = result.interrupted === true;
  total.passed += result.passed;
  total.failed += result.failed + result.problems.length;
  total.skipped += result.skipped.length;
  failures.push(...result.problems.map((problem) => `FAILED ${suite}: ${problem}`));
  failures.push(...result.failures.map((failure) => `FAILED ${toldFailure(suite, failure)}`));
  failures.push(...result.doubtful.map((failure) => `FAILED AT FIRST, then passed: ${toldFailure(suite, failure)}`));
  skips.push(
    ...result.skipped.map(({ title, reason }) => `skipped ${suite}: ${title} (${reason ?? 'no reason given'})`),
  );
  lines.push(`${suite}: ${counts(result.passed, result.failed + result.problems.length, result.skipped.length)}`);
}
if (total.passed + total.failed === 0) {
  total.failed = 1;
  failures.push('FAILED: no test ran');
}

console.log(`\n${[...failures, ...skips, ...lines].join('\n')}`);
console.log(counts(total.passed, total.failed, total.skipped));
writeFileSync(join(RESULTS, 'totals.json'), JSON.stringify({ ...total, failures }));
process.exitCode = total.failed > 0 ? 1 : 0;

async function judged(suite, files) {
  if (files.length === 0) return { ...NOTHING_RAN, problems: ['it has no test file'] };
  // Whoever runs a part of a suite wants to watch it.
  const rounds = filtered ? [[files]] : roundsOf(suite, files);
  const startedAt = Date.now();
  const run = (rounds) => runSuite({ suite, rounds, options, limitMs: limitMsOf(suite) });
  const first = await run(rounds);
  // On one's own machine the first failure is news enough.
  const looksAgain = process.env.CI === 'true' && !filtered;
  const result = looksAgain ? await withSecondLook(first, (files) => run([[files]])) : { ...first, doubtful: [] };
  tellTimes(suite, Date.now() - startedAt, result.files);
  const silent = result.skipped.filter(({ reason }) => reason === null);
  result.problems.push(...silent.map(({ title }) => `"${title}" is skipped without a reason`));
  const ran = result.passed + result.failed;
  if (ran === 0 && result.problems.length === 0 && !filtered) result.problems.push('it ran no test');
  return result;
}

/** A run is made shorter where its time goes. Hooks count, because much of it is servers that start. */
function tellTimes(suite, ms, msOfFiles) {
  const slowest = Object.entries(msOfFiles)
    .filter(([, ms]) => ms >= 1_000)
    .sort(([, a], [, b]) => b - a);
  if (slowest.length < 2) return;
  console.log(`${suite} took ${seconds(ms)} s. Its slowest files, with their hooks:`);
  for (const [file, ms] of slowest.slice(0, SLOWEST)) console.log(`${seconds(ms).padStart(7)} s  ${file}`);
}

function seconds(ms) {
  return (ms / 1_000).toFixed(1);
}

function counts(passed, failed, skipped) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
