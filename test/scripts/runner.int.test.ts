import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';

import { hasEnded, runCommand } from '../../infra/embedded/child.ts';
import { eventually } from '../support/eventually.ts';

const LIMIT_MS = 25_000;
const MIXED_FAILURE = 'a suite of every outcome fails';
/** Whoever adopts a server of a killed process takes a moment to notice that it ended. */
const REAPED_WITHIN_MS = 5_000;

type Result = {
  passed: number;
  failed: number;
  skipped: { title: string; reason: string | null }[];
  failures: { file: string | null; title: string; error: string }[];
  files: Record<string, number>;
  problems: string[];
  interrupted: boolean;
};

describe('the test runner', () => {
  let results: string;

  beforeEach(async () => {
    results = await mkdtemp(join(tmpdir(), 'commerce-saga-results-'));
  });

  afterEach(() => rm(results, { recursive: true }));

  it('counts what mocha ran, and lists each skipped test with its reason', async () => {
    const { passed, failed, failures, skipped, problems } = await runFixture('mixed');

    assert.deepEqual({ passed, failed, problems }, { passed: 1, failed: 1, problems: [] });
    const [failure] = failures;
    assert.deepEqual([failures.length, failure?.file, failure?.title], [1, pathOf('mixed'), MIXED_FAILURE]);
    assert.match(failure?.error ?? '', /^AssertionError.*\n[^]*mixed\.ts/);
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
    const { output, result } = await runFixtures(['dies-with-server']);

    const [, pid] = /SERVER (\d+)/.exec(output) ?? assert.fail(output);
    assert.deepEqual(result.problems, ['mocha ended with SIGKILL before its report']);
    assert.ok(await hasEnded(Number(pid), REAPED_WITHIN_MS));
  });

  it('shares the files of a suite between two processes: each runs once, its report in one piece', async () => {
    const files = ['meets-one', 'mixed', 'meets-two'];
    const { output, result } = await runFixtures(files, files.toReversed());

    const { passed, failed, skipped, problems } = result;
    assert.deepEqual([passed, failed, skipped.length, problems], [7, 1, 3, []]);
    const report = /a suite that meets its neighbour, (\w+)\n {4}✔ comes.*\n {4}✔ waits.*\n {4}✔ goes.*\n\n/g;
    assert.deepEqual([...output.matchAll(report)].map(([, name]) => name).sort(), ['one', 'two'], output);
    assert.deepEqual(await readdir(results), ['met'], 'their own files are gone');
    assert.deepEqual(Object.keys(result.files).sort(), files.map(pathOf).sort());
    assert.ok(
      Object.values(result.files).every((ms) => ms >= 0 && ms < LIMIT_MS),
      'how long each took',
    );
  });

  it('does not take a file without a test, which no process runs, for a passed one', async () => {
    const { passed, problems } = (await runFixtures(['meets-one', 'empty', 'meets-two'], ['meets-two'])).result;

    assert.deepEqual([passed, problems], [6, [`${pathOf('empty')} ran in no process`]]);
  });

  it('runs one round after the other, and counts both', async () => {
    const { output, result } = await runRounds([[['meets-one'], ['meets-two']], [['mixed']]]);

    const { passed, failed, skipped, problems } = result;
    assert.deepEqual([passed, failed, skipped.length, problems], [7, 1, 3, []]);
    assert.ok(output.lastIndexOf('✔ goes') < output.indexOf('a suite of every outcome'), output);
  });

  it('lets one process of a suite end its tests when the other one was killed, whose servers it ends', async () => {
    const { output, result } = await runFixtures(['dies-with-server'], ['mixed']);

    const [, pid] = /SERVER (\d+)/.exec(output) ?? assert.fail(output);
    assert.deepEqual([result.passed, result.failed], [1, 1]);
    assert.deepEqual(result.problems, ['mocha ended with SIGKILL before its report']);
    assert.ok(await hasEnded(Number(pid), REAPED_WITHIN_MS));
  });

  it('hands a Ctrl-C to every process of a suite, says once that it was interrupted, and begins no other round', async () => {
    const run = spawn(process.execPath, programOf([[['waits'], ['meets-one']], [['mixed']]]), {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = text(run.stdout);
    const ended = once(run, 'exit');
    await eventually('both wait', async () => ((await logsWith(/WAITING|comes/)) === 2 ? true : undefined), LIMIT_MS);
    run.kill('SIGINT');
    await ended;

    const { passed, failed, problems, interrupted } = resultIn(await output);
    assert.deepEqual({ passed, failed, interrupted }, { passed: 0, failed: 0, interrupted: true });
    assert.deepEqual(problems, ['mocha ended with SIGINT before its report', 'it was interrupted']);
  });

  it('reports no test for a suite without one', async () => {
    const { passed, failed, skipped } = await runFixture('empty');

    assert.deepEqual({ passed, failed, skipped }, { passed: 0, failed: 0, skipped: [] });
  });

  it('fails when a filter leaves no test, and writes that down', async () => {
    const { code, output } = await npmTest('unit', 'test/scripts/suites.test.ts', '--grep', 'no test has this title');

    assert.equal(code, 1);
    assert.match(output, /FAILED: no test ran\n[^]*0 passed, 1 failed, 0 skipped$/);
    assert.deepEqual(await totals(), { passed: 0, failed: 1, skipped: 0, failures: ['FAILED: no test ran'] });
  });

  it('passes with the numbers of the files that were named', async () => {
    const { code, output } = await npmTest('test/scripts/suites.test.ts', '--grep', 'by its name');

    assert.equal(code, 0);
    assert.match(output, /unit: 1 passed, 0 failed, 0 skipped\n1 passed, 0 failed, 0 skipped$/);
    assert.deepEqual(await totals(), { passed: 1, failed: 0, skipped: 0, failures: [] });
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

  const logsWith = async (words: RegExp): Promise<number> => {
    const logs = (await readdir(results)).filter((name) => name.endsWith('.log'));
    const texts = await Promise.all(logs.map((name) => readFile(join(results, name), 'utf8')));
    return texts.filter((log) => words.test(log)).length;
  };

  const runFixture = async (name: string): Promise<Result> => (await runFixtures([name])).result;

  const runFixtures = (...lanes: string[][]) => runRounds([lanes]);

  async function runRounds(rounds: string[][][]): Promise<{ output: string; result: Result }> {
    const run = await runCommand(process.execPath, programOf(rounds), LIMIT_MS, { env: environment() });
    const output = stripVTControlCharacters(run.output); // where CI is set, mocha colours it
    return { output, result: resultIn(output) };
  }
});

const pathOf = (fixture: string): string => `test/scripts/fixtures/${fixture}.ts`;

const resultIn = (output: string): Result => JSON.parse(/RESULT (.*)/.exec(output)?.[1] ?? output) as Result;

/** For Node: a suite of fixtures, and its result in the last line. */
function programOf(rounds: string[][][]): string[] {
  const asked = {
    suite: 'fixtures',
    rounds: rounds.map((lanes) => lanes.map((names) => names.map(pathOf))),
    options: [],
    limitMs: LIMIT_MS,
    exitLimitMs: 1_000,
  };
  const program = `
    import { runSuite } from './scripts/mocha.mjs';
    const result = await runSuite(${JSON.stringify(asked)});
    console.log('RESULT ' + JSON.stringify(result));`;
  return ['--input-type=module', '--eval', program];
}
