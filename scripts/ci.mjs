import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { ensureInstalled } from './bootstrap.mjs';
import { runChild } from './child.mjs';
import { ROOT } from './root.mjs';

/** Written by scripts/test.mjs from mocha's own numbers. */
const RESULTS = join(ROOT, 'test-results', 'ci');
const TOTALS = join(RESULTS, 'totals.json');

const sum = { passed: 0, failed: 0 };
/** Told once more at the end, which is what is left of a log that is cut. */
const failures = [];
let finished = false;
// Printed whatever happens, also when the set-up ends the process: the last line is the contract.
process.on('exit', () => {
  if (!finished) sum.failed += 1;
  if (failures.length > 0) console.log(`\nAll that failed:\n${failures.join('\n')}`);
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
});

await ensureInstalled({ quiet: false });
const env = { ...process.env, CI: 'true', TEST_RESULTS_DIR: RESULTS };
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => (interrupted = true));

if ((await runScript('check.mjs')) !== 0) fail('the static checks failed');
await runTests();
await runTests('long');
if (sum.passed === 0) console.log('No test passed.');

finished = true;
process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0;

async function runTests(...suites) {
  rmSync(TOTALS, { force: true });
  const what = suites[0] ?? 'the suites of npm test';
  if (interrupted) return fail(`${what} did not run: the run was interrupted`);
  const code = await runScript('test.mjs', ...suites);
  if (!existsSync(TOTALS)) return fail(`${what} ended with exit code ${code} before the end`);
  const { passed, failed, failures: told } = JSON.parse(readFileSync(TOTALS, 'utf8'));
  sum.passed += passed;
  sum.failed += failed;
  failures.push(...told);
  if (code !== 0 && failed === 0) fail(`${what} ended with exit code ${code}`);
}

function runScript(name, ...args) {
  return runChild(process.execPath, [join(ROOT, 'scripts', name), ...args], { cwd: ROOT, env });
}

/** Something outside of any test went wrong: it counts as one failure. */
function fail(reason) {
  sum.failed += 1;
  failures.push(`FAILED: ${reason}`);
  console.log(failures.at(-1));
}
