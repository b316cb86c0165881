import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import Mocha from 'mocha';

const { EVENT_HOOK_BEGIN, EVENT_RUN_END, EVENT_TEST_FAIL, EVENT_TEST_PASS, EVENT_TEST_PENDING } =
  Mocha.Runner.constants;

/** Hooks start servers, which on a fresh machine download first. */
const HOOK_LIMIT_MS = 120_000;
const TELL_OPEN_HANDLES_AFTER_MS = 8_000;

/** mocha's Spec reporter, which also writes what really ran to the file of `--reporter-option totals=<file>`. */
export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = options.reporterOptions.totals;
    const totals = { passed: 0, failed: 0, skipped: [] };
    const testLimitMs = runner.suite.timeout();

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
