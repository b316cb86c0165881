import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';

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
/** Where the runner (scripts/lanes.mjs) may cut the output. */
const END_OF_REPORT = '\u001e';

/**
 * mocha's Spec reporter, which also writes what really ran to the file of `--reporter-option totals=<file>`. With
 * `reports=apart` it marks where the report of a test file ends, for a runner that prints those of two processes.
 */
export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const { totals: file, reports } = options.reporterOptions;
    const totals = { passed: 0, failed: 0, skipped: [], files: timesOf(runner) };
    const testLimitMs = runner.suite.timeout();

    if (reports === 'apart') markEndsOfReports(runner);
    // mocha has one limit for tests and hooks. A hook that did not set its own gets the longer one.
    runner.on(EVENT_HOOK_BEGIN, (hook) => {
      if (hook.timeout() === testLimitMs) hook.timeout(HOOK_LIMIT_MS);
    });
    runner.on(EVENT_TEST_PASS, () => (totals.passed += 1));
    runner.on(EVENT_TEST_FAIL, () => (totals.failed += 1));
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
    const name = relative(process.cwd(), file).replaceAll('\\', '/');
    files[name] = (files[name] ?? 0) + Date.now() - beganAt;
  });
  return files;
}

function markEndsOfReports(runner) {
  let before;
  // Prepended: Spec prints the title of a suite when it begins, and that belongs to the next report.
  runner.prependListener(EVENT_SUITE_BEGIN, ({ parent, file }) => {
    if (!parent?.root) return;
    if (before !== undefined && file !== before) process.stdout.write(END_OF_REPORT);
    before = file;
  });
}

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
