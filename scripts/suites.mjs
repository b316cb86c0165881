import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Longest a whole suite may take, in milliseconds, before it counts as hung. */
const LIMIT_MS = { unit: 5 * 60_000, int: 30 * 60_000, replay: 10 * 60_000, e2e: 30 * 60_000, long: 60 * 60_000 };

/** Every suite, in the order in which they run. */
export const SUITES = Object.keys(LIMIT_MS);

/** What `npm test` runs. `long` is asked for by name. */
export const DEFAULT_SUITES = SUITES.filter((suite) => suite !== 'long');

export const limitMsOf = (suite) => LIMIT_MS[suite];

/** The suite a test file belongs to, by its name; undefined for a file that is no test. */
export function suiteOf(file) {
  if (!/^test\/.*\.test\.ts$/.test(file)) return undefined;
  if (file === 'test/workflows/replay.test.ts') return 'replay';
  return /\.(int|e2e|long)\.test\.ts$/.exec(file)?.[1] ?? 'unit';
}

/** Every file below `test/`, as paths with forward slashes, sorted. */
export function testFiles() {
  if (!existsSync('test')) return [];
  return readdirSync('test', { recursive: true })
    .map((name) => join('test', name).replaceAll('\\', '/'))
    .filter((name) => suiteOf(name) !== undefined)
    .sort();
}

/**
 * Reads the command line: suite names first, then test files and mocha's own options.
 *
 * @returns suites with their files and the rest for mocha; `filtered` when only part of the suites was asked for
 * @throws for a file that does not exist or is no test
 */
export function plan(args, files = testFiles()) {
  const rest = args.filter((arg) => arg !== '--');
  const suites = [];
  while (SUITES.includes(rest[0])) suites.push(rest.shift());
  const named = rest.filter((arg) => arg.endsWith('.ts')).map((arg) => arg.replace(/^\.\//, ''));
  const options = rest.filter((arg) => !arg.endsWith('.ts'));
  const unknown = named.find((file) => !files.includes(file));
  if (unknown !== undefined) throw new Error(`${unknown} is not a test file: they are test/**/*.test.ts.`);

  const wanted = named.length > 0 ? named : files;
  const asked = suites.length > 0 ? suites : named.length > 0 ? SUITES : DEFAULT_SUITES;
  const runs = asked.map((suite) => ({ suite, files: wanted.filter((file) => suiteOf(file) === suite) }));
  return {
    runs: named.length > 0 ? runs.filter((run) => run.files.length > 0) : runs,
    options,
    filtered: named.length > 0 || options.length > 0,
  };
}
