import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/**
 * Suites of many files, whose tests wait for time limits, retries and processes that start, or take one core: two mocha
 * processes share them. Replays are one file.
 */
const TWO_LANES = ['unit', 'int', 'e2e', 'long'];

/** Files that load the machine to its limit or expect answers in time: a neighbour would make them late. */
const ALONE = [
  'test/e2e/races.long.test.ts',
  'test/api/outages.long.test.ts',
  'test/e2e/postgres-down.long.test.ts',
  'test/e2e/views-under-kills.long.test.ts',
];

/** Files that take minutes: claimed last, one would keep its lane busy long after the other lane is done. */
const FIRST = [
  'test/e2e/two-copies.long.test.ts',
  'test/e2e/money-race.long.test.ts',
  'test/events/bus-kafka-broker.long.test.ts',
  'test/workflows/reconcile-lanes.long.test.ts',
];

/** What the reporter writes where a file's report ends; no text has it, and no character of UTF-8 contains it. */
const END_OF_REPORT = 0x1e;

/**
 * How mocha processes share the files of a suite. The lanes of a round run side by side: each goes through its list and
 * claims a file before it runs it, the first one from the front and the second one from the back, until they meet. So
 * neither waits long for the other, and files of one folder, which are after the same resource, seldom run side by side.
 *
 * @returns rounds, which run one after the other, each with the list of each of its lanes
 */
export function roundsOf(suite, files, cores = availableParallelism()) {
  if (!TWO_LANES.includes(suite) || cores < 2) return [[files]];
  const alone = files.filter((file) => ALONE.includes(file));
  const shared = outermostFirst(files.filter((file) => !ALONE.includes(file)));
  const lanes = shared.length > 1 ? [shared, shared.toReversed()] : [shared];
  return [lanes, [alone]].filter(([list]) => list.length > 0);
}

/** Those of FIRST at the front and at the back in turn, so that each lane begins with one of them. */
function outermostFirst(files) {
  const first = FIRST.filter((file) => files.includes(file));
  const front = first.filter((_file, index) => index % 2 === 0);
  const back = first.filter((_file, index) => index % 2 === 1);
  return [...front, ...files.filter((file) => !first.includes(file)), ...back.toReversed()];
}

/**
 * What lanes or rounds counted together. The same problem of two, such as an interruption, is one.
 *
 * @param files which must all have run: one that none of them ran is a problem
 */
export function sumOf(results, files = []) {
  const sum = {
    passed: results.reduce((sum, { passed }) => sum + passed, 0),
    failed: results.reduce((sum, { failed }) => sum + failed, 0),
    skipped: results.flatMap(({ skipped }) => skipped),
    failures: results.flatMap(({ failures }) => failures),
    passedIn: Object.assign({}, ...results.map(({ passedIn }) => passedIn)),
    files: Object.assign({}, ...results.map(({ files }) => files)),
    problems: [...new Set(results.flatMap(({ problems }) => problems))],
    interrupted: results.some(({ interrupted }) => interrupted),
  };
  // After a lane that did not come to its end it is no news.
  const lost = sum.problems.length > 0 ? [] : files.filter((file) => !Object.hasOwn(sum.files, file));
  sum.problems.push(...lost.map((file) => `${file} ran in no process`));
  return sum;
}

/**
 * A file for the output of a process that runs beside another, so that each report is read in one piece.
 *
 * @param print gets whole reports of test files
 * @returns `fd` for the process; `echo`, which prints the reports that are complete; `end`, which prints all that is left
 *   and removes the file
 */
export function keptOutput(path, print = (text) => process.stdout.write(text)) {
  const fd = openSync(path, 'w');
  let printed = 0;
  const printUpTo = (end, text) => {
    if (end > printed) print(text.subarray(printed, end).filter((byte) => byte !== END_OF_REPORT));
    printed = Math.max(printed, end);
  };
  return {
    fd,
    echo() {
      const text = readFileSync(path);
      printUpTo(text.lastIndexOf(END_OF_REPORT) + 1, text);
    },
    end() {
      const text = readFileSync(path);
      printUpTo(text.length, text);
      closeSync(fd);
      rmSync(path);
    },
  };
}
