import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ensureInstalled } from './bootstrap.mjs';
import { RESULTS, runMocha } from './mocha.mjs';
import { limitMsOf, plan, USAGE } from './suites.mjs';

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

const total = { passed: 0, failed: 0, skipped: 0 };
const notes = [];
const lines = [];
let interrupted = false;
for (const { suite, files } of runs) {
  if (interrupted) break;
  console.log(`\n── ${suite}: ${files.length} files`);
  const result = await runSuite(suite, files);
  interrupted = result.interrupted === true;
  total.passed += result.passed;
  total.failed += result.failed + result.problems.length;
  total.skipped += result.skipped.length;
  notes.push(...result.problems.map((problem) => `FAILED ${suite}: ${problem}`));
  notes.push(
    ...result.skipped.map(({ title, reason }) => `skipped ${suite}: ${title} (${reason ?? 'no reason given'})`),
  );
  lines.push(`${suite}: ${counts(result.passed, result.failed + result.problems.length, result.skipped.length)}`);
}
if (total.passed + total.failed === 0) {
  total.failed = 1;
  notes.push('FAILED: no test ran');
}

console.log(`\n${[...notes, ...lines].join('\n')}`);
console.log(counts(total.passed, total.failed, total.skipped));
writeFileSync(join(RESULTS, 'totals.json'), JSON.stringify(total));
process.exitCode = total.failed > 0 ? 1 : 0;

async function runSuite(suite, files) {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: [], problems: ['it has no test file'] };
  const result = await runMocha({ suite, files, options, limitMs: limitMsOf(suite) });
  const silent = result.skipped.filter(({ reason }) => reason === null);
  result.problems.push(...silent.map(({ title }) => `"${title}" is skipped without a reason`));
  const ran = result.passed + result.failed;
  if (ran === 0 && result.problems.length === 0 && !filtered) result.problems.push('it ran no test');
  return result;
}

function counts(passed, failed, skipped) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
