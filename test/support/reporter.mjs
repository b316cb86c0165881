import { closeSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

import Mocha from 'mocha';

const {
  EVENT_HOOK_BEGIN,
  EVENT_RUN_END,
  EVENT_SUITE_BEGIN,
  EVENT_SUITE_END,
  EVENT_TEST_FAIL,
  EVENT_TEST_PASS,
  EVENT_TEST_PENDING,
} = Mocha.Runner.constants;

/** Hooks start servers, which on a fresh machine download first. */
const HOOK_LIMIT_MS = 120_000;
const TELL_OPEN_HANDLES_AFTER_MS = 8_000;
/** Of each failure, for the end of the run. */
const LINES_OF_ERROR = 15;
/** Where the runner (scripts/lanes.mjs) may cut the output. */
const END_OF_REPORT = '\u001e';

/**
 * mocha's Spec reporter, which also writes what really ran to the file of `--reporter-option totals=<file>`. With
 * `claims=<folder>` another process has the same files: this one runs those that it claims first, and marks where the
 * report of each ends, for a runner that prints those of both.
 */
export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const { totals: file, claims } = options.reporterOptions;
    const totals = { passed: 0, failed: 0, skipped: [], failures: [], passedIn: {}, files: timesOf(runner) };
    const testLimitMs = runner.suite.timeout();

    if (claims !== undefined) shareFiles(runner, claims);
    // mocha has one limit for tests and hooks. A hook that did not set its own gets the longer one.
    runner.on(EVENT_HOOK_BEGIN, (hook) => {
      if (hook.timeout() === testLimitMs) hook.timeout(HOOK_LIMIT_MS);
    });
    runner.on(EVENT_TEST_PASS, ({ file }) => {
      totals.passed += 1;
      totals.passedIn[nameOf(file)] = (totals.passedIn[nameOf(file)] ?? 0) + 1;
    });
    runner.on(EVENT_TEST_FAIL, (test, error) => {
      totals.failed += 1;
      totals.failures.push({ file: fileOf(test), title: test.fullTitle(), error: beginningOf(error) });
    });
    runner.on(EVENT_TEST_PENDING, (test) => totals.skipped.push({ title: test.fullTitle(), reason: reasonOf(test) }));
    runner.once(EVENT_RUN_END, () => {
      if (file) writeWhole(file, JSON.stringify(totals));
      setTimeout(tellOpenHandles, TELL_OPEN_HANDLES_AFTER_MS).unref();
    });
  }
}

/** Milliseconds of each file, hooks included; filled while the run goes on. */
function timesOf(runner) {
  const files = {};
  let beganAt;
  runner.on(EVENT_SUITE_BEGIN, ({ parent }) => {
    if (parent?.root) beganAt = Date.now();
  });
  runner.on(EVENT_SUITE_END, ({ parent, file }) => {
    if (!parent?.root) return;
    files[nameOf(file)] = (files[nameOf(file)] ?? 0) + Date.now() - beganAt;
  });
  return files;
}

/** A suite without tests is passed over, with its hooks: that is what a file becomes which the other process runs. */
function shareFiles(runner, claims) {
  const files = new Map();
  const suites = runner.suite.suites.filter((suite) => suite.total() > 0); // of others no end is told
  for (const suite of suites) files.set(suite.file, [...(files.get(suite.file) ?? []), suite]);
  const waiting = [...files];
  const claimNext = () => {
    for (;;) {
      const [file, suites] = waiting.shift() ?? [];
      if (file === undefined || claim(join(claims, `${nameOf(file).replaceAll('/', '_')}.claim`))) return;
      for (const suite of suites) suite.tests = suite.suites = [];
    }
  };
  claimNext();
  runner.on(EVENT_SUITE_END, (suite) => {
    if (suite !== files.get(suite.file)?.at(-1)) return;
    process.stdout.write(END_OF_REPORT);
    claimNext();
  });
}

/** True for the first who asks. */
function claim(path) {
  try {
    closeSync(openSync(path, 'wx'));
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

const nameOf = (file) => relative(process.cwd(), file).replaceAll('\\', '/');

/** Null for a hook of the whole process. */
function fileOf(test) {
  for (let at = test; at; at = at.parent) if (at.file) return nameOf(at.file);
  return null;
}

/** What was thrown may be anything. */
const beginningOf = (error) =>
  stripVTControlCharacters(String(error?.stack ?? error))
    .split('\n')
    .slice(0, LINES_OF_ERROR)
    .join('\n');

/** Set by `skipBecause` on the test, or on the suite when a hook skipped it. Null: skipped without a word. */
function reasonOf(test) {
  for (let at = test; at; at = at.parent) if (at.skipReason) return at.skipReason;
  return null;
}

/** A reader must never see half a file: the runner takes its existence for the end of the tests. */
function writeWhole(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, text);
  renameSync(`${file}.part`, file);
}

function tellOpenHandles() {
  const open = process.getActiveResourcesInfo().filter((kind) => kind !== 'TTYWrap' && kind !== 'PipeWrap');
  console.error(`The tests are over, but these keep the process alive: ${open.join(', ') || 'native threads'}.`);
}
