import type { Client, WorkflowHandle } from '@temporalio/client';

import type { ReconcileInput, ReconcilePosition, ReconcileResult } from '../../domain/reconcile.ts';
import type { Config } from '../../infra/config.ts';
import { progressQuery, RECONCILE_WORKFLOW } from '../../workflows/contract.ts';
import { onTemporal, runWorkflow } from '../run-workflow.ts';

export type ReconcileOptions = Pick<ReconcileInput, 'apply'> & Readonly<{ say?: (what: string) => void }>;

/** The server ends a run after this; its own limits add up to less, unless workers are missing. */
const RUN_LIMIT_MS = 45 * 60_000;
/** The provider's books are compared for what moved within this time. */
const WINDOW_MS = 7 * 24 * 60 * 60_000;

/**
 * Runs the workflow `reconcile` on the system that the environment names, or else on the one that `npm start` runs, and
 * again until every source was looked through to its end.
 *
 * @throws NothingIsRunning, or CannotRun when Temporal or the checkout worker does not answer
 */
export const reconcileSystem = (config: Config, options: ReconcileOptions): Promise<ReconcileResult> =>
  onTemporal(config, (client) => runToTheEnd(client, options));

async function runToTheEnd(client: Client, options: ReconcileOptions): Promise<ReconcileResult> {
  let result = await run(client, options, {});
  while (result.next !== null) {
    const { rows, unreachable } = result;
    const more = await run(client, options, { from: result.next });
    result = { ...more, rows: [...rows, ...more.rows], unreachable: [...unreachable, ...more.unreachable] };
  }
  return result;
}

const run = (
  client: Client,
  { apply, say = () => undefined }: ReconcileOptions,
  where: Readonly<{ from?: ReconcilePosition }>,
): Promise<ReconcileResult> =>
  runWorkflow<ReconcileInput, ReconcileResult>(client, {
    ...{ workflowType: RECONCILE_WORKFLOW, input: { apply, windowMs: WINDOW_MS, ...where } },
    ...{ limitMs: RUN_LIMIT_MS, say, progressOf },
  });

/** A worker that is busy or away for a moment does not end the command: only its result counts. */
async function progressOf(handle: WorkflowHandle): Promise<string> {
  const progress = await handle.query(progressQuery).catch(() => undefined);
  if (progress === undefined) return 'waiting for the checkout worker';
  const { at, found, ended } = progress;
  return found === 0 ? at : `${at}: ${ended} of ${found}`;
}
