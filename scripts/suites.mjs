import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Longest a whole suite may take, in milliseconds, before it counts as hung. */
const LIMIT_MS = { unit: 5 * 60_000, int: 30 * 60_000, replay: 10 * 60_000, e2e: 30 * 60_000, long: 60 * 60_000 };

/** Every suite, in the order in which they run. */
export const SUITES = Object.keys(LIMIT_MS);

/** What `npm test` runs. `long` is asked for by name. */
export const DEFAULT_SUITES = SUITES.filter((suite) => suite !== 'long');

/** mocha's options that make sense here, and whether a value follows. mocha itself runs everything on one it does not know. */
const OPTIONS = {
  '--grep': true,
  '-g': true,
  '--fgrep': true,
  '-f': true,
  '--invert': false,
  '-i': false,
  '--bail': false,
  '-b': false,
  '--timeout': true,
  '-t': true,
  '--slow': true,
  '-s': true,
  '--full-trace': false,
  '--no-diff': false,
  '--no-colors': false,
};

/** How the runner is called. */
export const USAGE = `Usage: npm test -- [${SUITES.join('|')}] [test files] [mocha options]
Without suites and files: ${DEFAULT_SUITES.join(', ')}. Options: ${Object.keys(OPTIONS).join(' ')}`;

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
 * @throws for a file that does not exist or is no test, and for a suite or option that there is not
 */
export function plan(args, files = testFiles()) {
  const rest = args.filter((arg) => arg !== '--');
  const suites = [];
  while (SUITES.includes(rest[0])) suites.push(rest.shift());
  const { named, options } = filesAndOptions(rest);
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

function filesAndOptions(args) {
  const named = [];
  const options = [];
  for (let i = 0; i < args.length; i++) {
    const [name, value] = args[i].split(/=(.*)/s);
    const takesValue = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
    if (takesValue !== undefined) {
      options.push(args[i]);
      if (!takesValue || value !== undefined) continue;
      if (i + 1 === args.length) throw new Error(`${name} needs a value.`);
      options.push(args[++i]);
    } else if (args[i].startsWith('-')) throw new Error(`There is no option ${name}.`);
    else if (args[i].endsWith('.ts')) named.push(args[i].replace(/^\.\//, ''));
    else throw new Error(`${args[i]} is neither a suite nor a test file. Suites come first.`);
  }
  return { named, options };
}
