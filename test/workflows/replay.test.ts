import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';

import { historyFromJson } from '../../infra/temporal-history.ts';
import { workflowSpans } from '../../workers/tracing.ts';
import {
  CASE_NAMES,
  type CaseName,
  CHECKOUT_CASES,
  currentRelease,
  fileOf,
  HISTORIES,
  historyFiles,
  readHistory,
  type RecordedHistory,
} from '../support/histories.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { bundle, workflowBundle } from '../support/workflow-bundle.ts';

const ROOT = resolve(HISTORIES, '../..');
/** Bundling on a busy machine takes seconds. */
const BUNDLING_MS = 120_000;

const replay = (workflowBundle: Pick<WorkflowBundleWithSourceMap, 'code'>, history: RecordedHistory): Promise<void> =>
  Worker.runReplayHistory({ workflowBundle, sinks: workflowSpans() }, historyFromJson(history));

/** The history of a case as this release has it. */
const recorded = (name: CaseName): RecordedHistory => readHistory(fileOf(name, currentRelease()));

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

/** The history as it would have been for somebody whose trace is recorded. */
function traced(history: RecordedHistory, carried: unknown): RecordedHistory {
  const changed = structuredClone(history);
  const started = changed.events[0]?.['workflowExecutionStartedEventAttributes'] as Record<string, unknown>;
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const payload = { metadata: { encoding: base64('json/plain') }, data: base64(JSON.stringify(carried)) };
  started['header'] = { fields: { '_tracer-data': payload } };
  return changed;
}

/** Another text for a piece of a workflow's source; it is looked for, so that a test cannot prove nothing. */
type Change = Readonly<{ file: string; from: string; to: string }>;

/** Bundles a copy of the workflows with one piece changed. */
async function bundleOfCopy(change?: Change): Promise<WorkflowBundleWithSourceMap> {
  await mkdir(join(ROOT, 'test-results'), { recursive: true });
  const folder = await mkdtemp(join(ROOT, 'test-results', 'workflows-'));
  try {
    await cp(join(ROOT, 'workflows'), join(folder, 'workflows'), { recursive: true });
    await cp(join(ROOT, 'domain'), join(folder, 'domain'), { recursive: true });
    if (change !== undefined) await rewrite(join(folder, 'workflows', change.file), change);
    return await bundle(join(folder, 'workflows', 'index.ts'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function rewrite(path: string, { from, to }: Change): Promise<void> {
  const source = await readFile(path, 'utf8');
  assert.ok(source.includes(from), `${path} has no such piece any more: ${from}`);
  await writeFile(
    path,
    source.replace(from, () => to),
  );
}

/** What somebody may do to the code without meaning any harm, and the recorded sagas that would stand still. */
const BREAKING: readonly (Change & Readonly<{ what: string; breaks: readonly CaseName[] }>)[] = [
  {
    what: 'creates the order before it reserves the stock',
    file: 'checkout.ts',
    from: '      await place(saga, { inventory, orders });',
    to: '      await orders.createOrder({} as never);\n      await place(saga, { inventory, orders });',
    breaks: CHECKOUT_CASES,
  },
  {
    what: 'does not record the decision of an operator',
    file: 'parking.ts',
    from: 'await inRounds(`recordResolution',
    to: 'await (async (..._: unknown[]) => {})(`recordResolution',
    breaks: ['parked-retried', 'parked-mark-done'],
  },
  {
    what: 'shows no saga that needs attention',
    file: 'attention.ts',
    from: 'this.#changed(`${step} is parked',
    to: 'void (`${step} is parked',
    breaks: ['parked-retried', 'parked-mark-done'],
  },
  {
    what: 'goes forward with a capture although the checkout was cancelled',
    file: 'checkout.ts',
    from: "if (saga.mayGoForward || (await decideByOrder(saga)) === 'PAID') {",
    to: 'if (saga.mayGoForward || saga.cancelled) {',
    breaks: ['cancelled-captured'],
  },
  {
    what: 'undoes what turns out to be captured',
    file: 'checkout.ts',
    from: "abandoned?.outcome === 'ALREADY_CAPTURED' && !saga.goesBack",
    to: "abandoned?.outcome === 'ALREADY_CAPTURED' && saga.goesBack",
    breaks: ['captured-after-all', 'expired-but-captured'],
  },
  {
    what: 'gives the stock back before the payment is abandoned',
    file: 'undos.ts',
    from: "['abandonPayment', 'releaseStock',",
    to: "['releaseStock', 'abandonPayment',",
    breaks: ['card-declined', 'cancelled', 'captured-after-all', 'parked-mark-done', 'expired', 'second-look'],
  },
  {
    what: 'does not close the order of an undone checkout',
    file: 'checkout.ts',
    from: '    await closeOrder(saga.orderId, saga.theEnd);\n    saga.closed = true;',
    to: '    saga.closed = true;',
    breaks: ['card-declined', 'cancelled', 'outage-undone', 'parked-mark-done', 'expired', 'second-look'],
  },
  {
    what: 'does not say how to pay',
    file: 'pay.ts',
    from: 'await orders.awaitPayment.executeWithOptions(',
    to: 'await ((..._: unknown[]) => Promise.resolve())(',
    breaks: ['awaited', 'expired', 'expired-but-captured'],
  },
  {
    what: 'does not look once more when the hold is over',
    file: 'pay.ts',
    from: '    const state = await look(saga, isLastLook ? checkingLast : checking);',
    to: '    if (isLastLook) return saga.expire();\n    const state = await look(saga, checking);',
    breaks: ['expired', 'expired-but-captured'],
  },
  {
    what: 'believes that nothing was charged after one look',
    file: 'settle.ts',
    from: "if (settled.outcome !== 'LOOK_AGAIN') return settled;",
    to: 'return settled as never;',
    breaks: ['second-look'],
  },
  {
    what: 'keeps out of the history of the order that money was given back',
    file: 'settle.ts',
    from: "if (settled.outcome !== 'REFUNDED') return;",
    to: "if (settled.outcome !== 'LOOK_AGAIN') return;",
    breaks: ['cancelled', 'cancelled-captured', 'late-capture-settled', 'repair-undone'],
  },
  {
    what: 'lets a checkout find out by itself that it is paid',
    file: 'webhook.ts',
    from: 'await getExternalWorkflowHandle(checkoutWorkflowId(orderId)).signal(paymentChangedSignal);',
    to: 'await Promise.resolve();',
    breaks: ['webhook-applied'],
  },
  {
    what: 'closes an event before the money is given back',
    file: 'webhook.ts',
    from: 'if (orderId !== null) await follow(outcome, orderId, wasSettled, work);',
    to: 'void follow(outcome, orderId as never, wasSettled, work);',
    breaks: ['late-capture-settled'],
  },
  {
    what: 'puts nothing on sale again that came back',
    file: 'refund.ts',
    from: 'if (restocked.length === 0) return booked;',
    to: 'return booked;',
    breaks: ['refund-returned'],
  },
  {
    what: 'keeps out of the history of the order that a refund failed',
    file: 'refund.ts',
    from: 'else await recordFailure(open, onRecord, failureCode);',
    to: 'else void recordFailure;',
    breaks: ['refund-failed'],
  },
  {
    what: 'repairs an order before its payment is decided',
    file: 'repair.ts',
    from: "const abandoned = await inRounds('abandonPayment',",
    to: "const abandoned = await inRounds('readHeader', attention, () => surely.inventory.readHeader({ orderId })) as never;\n  void inRounds('abandonPayment',",
    breaks: ['repair-completed', 'repair-undone'],
  },
  {
    what: 'says that a view is rebuilt which nobody has touched',
    file: 'rebuild-view.ts',
    from: 'await rebuilding.rebuildView(input)',
    to: 'await Promise.resolve({ result: `SWAPPED` } as never as RebuildViewResult)',
    breaks: ['view-rebuilt'],
  },
  {
    what: 'repairs daily sales whose differences are not on record',
    file: 'daily-sales.ts',
    from: '  const found = await recomputing.findSalesDifferences(input);',
    to: '  const found = { differing: [`2026-11-20`] } as never as SalesDifferences;',
    breaks: ['daily-sales-repaired'],
  },
  {
    what: 'leaves daily sales as wrong as they were found',
    file: 'daily-sales.ts',
    from: 'of found.differing) {',
    to: 'of found.differing.slice(0, 1)) {',
    breaks: ['daily-sales-repaired'],
  },
  {
    what: 'leaves the log of the bus out',
    file: 'maintenance.ts',
    from: "  if ('reason' in views) {",
    to: '  if (!dryRun) {',
    breaks: ['maintained'],
  },
];

describe('every recorded history', function () {
  this.timeout(BUNDLING_MS);
  before(quietRuntime);

  for (const name of CASE_NAMES) {
    it(`${name} is there for this version`, () => {
      const file = fileOf(name, currentRelease());
      assert.ok(historyFiles().includes(file), `run \`npm run histories:record -- --case ${name}\``);
    });
  }

  for (const file of historyFiles()) {
    it(`${file} replays on the code of today`, async () => {
      await replay(await workflowBundle(), readHistory(file));
    });
  }
});

describe('the replay gate', function () {
  this.timeout(BUNDLING_MS);
  before(quietRuntime);

  it('accepts histories with and without a trace, and with one that is none', async () => {
    const { code } = await workflowBundle();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    for (const name of ['paid', 'cancelled-captured', 'reconciled'] as const) {
      await replay({ code }, traced(recorded(name), { traceparent, requestid: 'r' }));
    }
    for (const carried of [{ traceparent: 'none' }, {}, 7, null]) {
      await replay({ code }, traced(recorded('paid'), carried));
    }
  });

  it('refuses a history in which an activity has another name', async () => {
    const renamed = withActivities(recorded('paid'), { createOrder: 'createInvoice' });
    await assert.rejects(replay(await workflowBundle(), renamed), DeterminismViolationError);
  });

  it('refuses a history in which two activities changed places', async () => {
    const swapped = withActivities(recorded('paid'), { reserveStock: 'createOrder', createOrder: 'reserveStock' });
    await assert.rejects(replay(await workflowBundle(), swapped), DeterminismViolationError);
  });

  for (const { what, breaks, ...change } of BREAKING) {
    it(`refuses code that ${what}`, async () => {
      const changed = await bundleOfCopy(change);
      for (const name of breaks) {
        await assert.rejects(replay(changed, recorded(name)), DeterminismViolationError, `${name} still replays`);
      }
    });
  }

  it('accepts a copy of the code that was only moved', async () => {
    const copy = await bundleOfCopy();
    for (const name of CASE_NAMES) await replay(copy, recorded(name));
  });
});
