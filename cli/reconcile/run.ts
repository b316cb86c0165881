import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';

import type { ReconcileInput, ReconcilePosition, ReconcileResult } from '../../domain/reconcile.ts';
import type { Config } from '../../infra/config.ts';
import { findEndpoints, NothingIsRunning, temporalEnvironment } from '../../infra/endpoints.ts';
import { progressQuery, QUEUES, RECONCILE_WORKFLOW } from '../../workflows/contract.ts';
import { reasonOf } from '../reason.ts';

type Reconcile = (input: ReconcileInput) => Promise<ReconcileResult>;
export type ReconcileOptions = Pick<ReconcileInput, 'apply'> & Readonly<{ say?: (what: string) => void }>;

/** Thrown when nothing can be said. Its message is one actionable line. */
export class CannotReconcile extends Error {}

const CALL_LIMIT_MS = 5_000;
/** A worker that lives takes the workflow up within moments. */
const PICK_UP_LIMIT_MS = 20_000;
/** The server ends a run after this; its own limits add up to less, unless workers are missing. */
const RUN_LIMIT_MS = 45 * 60_000;
/** So much later the answer of the server must have been here. */
const ANSWER_LIMIT_MS = 30_000;
const LOOK_EVERY_MS = 1_000;
/** The provider's books are compared for what moved within this time. */
const WINDOW_MS = 7 * 24 * 60 * 60_000;

/**
 * Runs the workflow `reconcile` on the system that the environment names, or else on the one that `npm start` runs, and
 * again until every source was looked through to its end.
 *
 * @throws NothingIsRunning, or CannotReconcile when Temporal or the checkout worker does not answer
 */
export async function reconcileSystem(config: Config, options: ReconcileOptions): Promise<ReconcileResult> {
  const overrideEnvVars = temporalEnvironment(config, findEndpoints(config.dataDir));
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig(overrideEnvVars && { overrideEnvVars });
  const { address } = connectionOptions;
  // The SDK would ask 127.0.0.1:7233, whoever's server that is.
  if (address === undefined || address === '') {
    throw new NothingIsRunning(`Nothing is running on ${config.dataDir}: run \`npm start\`, or set TEMPORAL_ADDRESS.`);
  }
  const connection = Connection.lazy(connectionOptions);
  try {
    return await runToTheEnd(new Client({ connection, namespace }), options);
  } catch (error) {
    if (error instanceof CannotReconcile) throw error;
    if (error instanceof WorkflowFailedError) {
      const why = `${reasonOf(error.cause ?? error)}. See it in Temporal; what it started goes on by itself.`;
      throw new CannotReconcile(`The run did not come to its end: ${why}`, { cause: error });
    }
    const why = reasonOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
    throw new CannotReconcile(
      `Temporal at ${address}, namespace ${namespace}, did not answer: ${why}. Start it, or correct TEMPORAL_ADDRESS; what runs there goes on by itself.`,
      { cause: error },
    );
  } finally {
    await connection.close();
  }
}

async function runToTheEnd(client: Client, options: ReconcileOptions): Promise<ReconcileResult> {
  let result = await run(client, options, {});
  while (result.next !== null) {
    const { rows, unreachable } = result;
    const more = await run(client, options, { from: result.next });
    result = { ...more, rows: [...rows, ...more.rows], unreachable: [...unreachable, ...more.unreachable] };
  }
  return result;
}

async function run(
  client: Client,
  { apply, say = () => undefined }: ReconcileOptions,
  where: Readonly<{ from?: ReconcilePosition }>,
): Promise<ReconcileResult> {
  const { connection, workflow } = client;
  say('starting');
  const handle = await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () =>
    workflow.start<Reconcile>(RECONCILE_WORKFLOW, {
      taskQueue: QUEUES.checkout,
      workflowId: `reconcile-command-${randomUUID()}`,
      workflowRunTimeout: RUN_LIMIT_MS,
      args: [{ apply, windowMs: WINDOW_MS, ...where }],
    }),
  );
  const end = new AbortController();
  try {
    const result = connection.withDeadline(Date.now() + RUN_LIMIT_MS + ANSWER_LIMIT_MS, () => handle.result());
    return await Promise.race([result, follow(client, handle, say, end.signal)]);
  } catch (error) {
    // It must not start later, when nobody expects it any more.
    if (error instanceof CannotReconcile) await handle.terminate('no worker took it up');
    throw error;
  } finally {
    end.abort();
  }
}

/** Says how far the run is. @throws CannotReconcile when no worker takes it up */
async function follow(
  { connection }: Client,
  handle: WorkflowHandle<Reconcile>,
  say: (what: string) => void,
  signal: AbortSignal,
): Promise<never> {
  const startedAt = Date.now();
  for (let taken = false; ;) {
    await sleep(LOOK_EVERY_MS, undefined, { signal });
    taken ||= await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () => isTaken(handle));
    if (!taken && Date.now() - startedAt > PICK_UP_LIMIT_MS) {
      throw new CannotReconcile('No checkout worker takes up work: start it (`npm run worker checkout-worker`).');
    }
    if (taken) say(await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () => progressOf(handle)));
  }
}

/** Its first task is done when its history has more than the start and that task's schedule. */
const isTaken = async (handle: WorkflowHandle<Reconcile>): Promise<boolean> =>
  (await handle.describe()).historyLength > 2;

/** A worker that is busy or away for a moment does not end the command: only its result counts. */
async function progressOf(handle: WorkflowHandle<Reconcile>): Promise<string> {
  const progress = await handle.query(progressQuery).catch(() => undefined);
  if (progress === undefined) return 'waiting for the checkout worker';
  const { at, found, ended } = progress;
  return found === 0 ? at : `${at}: ${ended} of ${found}`;
}
