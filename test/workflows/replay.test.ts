import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';

import { historyFromJson } from '../../infra/temporal-history.ts';
import { HISTORIES, historyFiles, readHistory, type RecordedHistory } from '../support/histories.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { bundle, workflowBundle } from '../support/workflow-bundle.ts';

const ROOT = resolve(HISTORIES, '../..');
/** Bundling on a busy machine takes seconds. */
const BUNDLING_MS = 120_000;

const replay = (workflowBundle: WorkflowBundleWithSourceMap, history: RecordedHistory): Promise<void> =>
  Worker.runReplayHistory({ workflowBundle }, historyFromJson(history));

/** The first recorded history of a case. */
function recorded(name: string): RecordedHistory {
  const file = historyFiles().find((found) => found.startsWith(`${name}.v`));
  assert.ok(file, `there is no recorded history of ${name}`);
  return readHistory(file);
}

/** The history with the types of its activities changed, as another workflow code would have written it. */
function withActivities(history: RecordedHistory, rename: Readonly<Record<string, string>>): RecordedHistory {
  const changed = structuredClone(history);
  let renamed = 0;
  for (const event of changed.events) {
    const scheduled = event['activityTaskScheduledEventAttributes'] as { activityType: { name: string } } | undefined;
    const name = scheduled && rename[scheduled.activityType.name];
    if (scheduled === undefined || name === undefined) continue;
    scheduled.activityType.name = name;
    renamed += 1;
  }
  assert.equal(renamed, Object.keys(rename).length, 'the history has not got these activities');
  return changed;
}

/** Bundles a copy of the workflows whose main file was changed. */
async function bundleOfCopy(change: (source: string) => string): Promise<WorkflowBundleWithSourceMap> {
  await mkdir(join(ROOT, 'test-results'), { recursive: true });
  const folder = await mkdtemp(join(ROOT, 'test-results', 'workflows-'));
  try {
    await cp(join(ROOT, 'workflows'), join(folder, 'workflows'), { recursive: true });
    await cp(join(ROOT, 'domain'), join(folder, 'domain'), { recursive: true });
    const main = join(folder, 'workflows', 'checkout.ts');
    await writeFile(main, change(await readFile(main, 'utf8')));
    return await bundle(join(folder, 'workflows', 'index.ts'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('every recorded history', function () {
  this.timeout(BUNDLING_MS);
  before(quietRuntime);

  it('is there: at least one is recorded', () => {
    assert.notDeepEqual(historyFiles(), [], 'run `npm run histories:record`');
  });

  for (const file of historyFiles()) {
    it(`${file} replays on the code of today`, async () => {
      await replay(await workflowBundle(), readHistory(file));
    });
  }
});

describe('the replay gate', function () {
  this.timeout(BUNDLING_MS);
  before(quietRuntime);

  it('refuses a history in which an activity has another name', async () => {
    const renamed = withActivities(recorded('paid'), { createOrder: 'createInvoice' });
    await assert.rejects(replay(await workflowBundle(), renamed), DeterminismViolationError);
  });

  it('refuses a history in which two activities changed places', async () => {
    const swapped = withActivities(recorded('paid'), { reserveStock: 'createOrder', createOrder: 'reserveStock' });
    await assert.rejects(replay(await workflowBundle(), swapped), DeterminismViolationError);
  });

  it('refuses code that creates the order before it reserves the stock', async () => {
    const step = '      const reservation = await inventory.reserveStock';
    const reordered = await bundleOfCopy((source) => {
      const changed = source.replace(step, `      await orders.createOrder({ ...key } as never);\n${step}`);
      assert.notEqual(changed, source, 'the step to reorder is not where this test looks for it');
      return changed;
    });
    await assert.rejects(replay(reordered, recorded('paid')), DeterminismViolationError);
  });

  it('accepts a copy of the code that was only moved', async () => {
    await replay(await bundleOfCopy((source) => source), recorded('paid'));
  });
});
