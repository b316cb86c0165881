import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { hasEnded, runCommand } from '../../infra/embedded/child.ts';

const LIMIT_MS = 25_000;

type Result = {
  passed: number;
  failed: number;
  skipped: { title: string; reason: string | null }[];
  problems: string[];
};

describe('the test runner', () => {
  let results: string;

  beforeEach(async () => {
    results = await mkdtemp(join(tmpdir(), 'commerce-saga-results-'));
  });

  afterEach(() => rm(results, { recursive: true }));

  it('counts what mocha ran, and lists each skipped test with its reason', async () => {
    const { passed, failed, skipped, problems } = await runFixture('mixed');

    assert.deepEqual({ passed, failed, problems }, { passed: 1, failed: 1, problems: [] });
    assert.deepEqual(skipped, [
      { title: 'a suite of every outcome is skipped with a reason', reason: 'there is no such server here' },
      { title: 'a suite of every outcome is skipped without a word', reason: null },
      { title: 'a suite of every outcome whose hook skips is skipped by its hook', reason: 'its service is missing' },
    ]);
  });

  it('does not take a process that ended with success in mid-test for a passed suite', async () => {
    const { problems } = await runFixture('crash');

    assert.deepEqual(problems, ['mocha ended with exit code 0 before its report']);
  });

  it('ends a process that something keeps open, and calls it a failure', async () => {
    const { passed, problems } = await runFixture('open-handle');

    assert.equal(passed, 1);
    assert.deepEqual(problems, ['mocha was killed: the process did not end within 1 s of its last test']);
  });

  it('ends the servers of a test process that was killed', async () => {
    const { output, result } = await runFixtureAloud('dies-with-server');

    const [, pid] = /SERVER (\d+)/.exec(output) ?? assert.fail(output);
    assert.deepEqual(result.problems, ['mocha ended with SIGKILL before its report']);
    assert.ok(await hasEnded(Number(pid), 0));
  });

  it('reports no test for a suite without one', async () => {
    const { passed, failed, skipped } = await runFixture('empty');

    assert.deepEqual({ passed, failed, skipped }, { passed: 0, failed: 0, skipped: [] });
  });

  it('fails when a filter leaves no test, and writes that down', async () => {
    const { code, output } = await npmTest('unit', 'test/scripts/suites.test.ts', '--grep', 'no test has this title');

    assert.equal(code, 1);
    assert.match(output, /FAILED: no test ran\n[^]*0 passed, 1 failed, 0 skipped$/);
    assert.deepEqual(await totals(), { passed: 0, failed: 1, skipped: 0 });
  });

  it('passes with the numbers of the files that were named', async () => {
    const { code, output } = await npmTest('test/scripts/suites.test.ts', '--grep', 'by its name');

    assert.equal(code, 0);
    assert.match(output, /unit: 1 passed, 0 failed, 0 skipped\n1 passed, 0 failed, 0 skipped$/);
    assert.deepEqual(await totals(), { passed: 1, failed: 0, skipped: 0 });
  });

  it('refuses a file that is no test, before it runs anything', async () => {
    const { code, output } = await npmTest('test/support/skip.ts');

    assert.equal(code, 2);
    assert.match(output, /test\/support\/skip\.ts is not a test file/);
  });

  it('refuses an option it does not know, before it runs anything, and tells how it is called', async () => {
    const { code, output } = await npmTest('--bogus');

    assert.equal(code, 2);
    assert.match(output, /^There is no option --bogus\.\nUsage: npm test -- \[unit\|int\|/);
  });

  it('tells how it is called when it is asked, also behind a suite', async () => {
    const { code, output } = await npmTest('unit', '--help');

    assert.equal(code, 0);
    assert.match(output, /^Usage: npm test -- /);
    assert.doesNotMatch(output, /passed/);
  });

  const npmTest = (...args: string[]) =>
    runCommand(process.execPath, ['scripts/test.mjs', ...args], LIMIT_MS, { env: environment() });
  const environment = () => ({ ...process.env, TEST_RESULTS_DIR: results });
  const totals = async (): Promise<unknown> => JSON.parse(await readFile(join(results, 'totals.json'), 'utf8'));

  const runFixture = async (name: string): Promise<Result> => (await runFixtureAloud(name)).result;

  async function runFixtureAloud(name: string): Promise<{ output: string; result: Result }> {
    const asked = {
      suite: name,
      files: [`test/scripts/fixtures/${name}.ts`],
      options: [],
      limitMs: LIMIT_MS,
      exitLimitMs: 1_000,
    };
    const program = `
      import { runMocha } from './scripts/mocha.mjs';
      const result = await runMocha(${JSON.stringify(asked)});
      console.log('RESULT ' + JSON.stringify(result));`;
    const node = ['--input-type=module', '--eval', program];
    const { output } = await runCommand(process.execPath, node, LIMIT_MS, { env: environment() });
    return { output, result: JSON.parse(/RESULT (.*)/.exec(output)?.[1] ?? output) as Result };
  }
});
