import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/**
 * Suites whose tests mostly wait, for time limits, retries and processes that start: two mocha processes share them.
 * In the others a neighbour would only take the processor away.
 */
const TWO_LANES = ['int'];

/** What the reporter writes where a file's report ends; no text has it, and no character of UTF-8 contains it. */
const END_OF_REPORT = 0x1e;

/**
 * Deals the files of a suite to the mocha processes that run it. Neighbours in the list are of one folder and take
 * about as long, so they are dealt in turn.
 *
 * @returns the files of each lane; no lane is empty, but a suite without files has one
 */
export function lanesOf(suite, files, cores = availableParallelism()) {
  const count = TWO_LANES.includes(suite) ? Math.max(1, Math.min(2, cores, files.length)) : 1;
  return Array.from({ length: count }, (_, lane) => files.filter((_file, index) => index % count === lane));
}

/** What the lanes counted together. The same problem of two lanes, such as an interruption, is one. */
export function sumOf(results) {
  return {
    passed: results.reduce((sum, { passed }) => sum + passed, 0),
    failed: results.reduce((sum, { failed }) => sum + failed, 0),
    skipped: results.flatMap(({ skipped }) => skipped),
    files: Object.assign({}, ...results.map(({ files }) => files)),
    problems: [...new Set(results.flatMap(({ problems }) => problems))],
    interrupted: results.some(({ interrupted }) => interrupted),
  };
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
