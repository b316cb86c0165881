import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Client, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';

import type { Config } from '../infra/config.ts';
import { openSystemTemporal } from '../infra/system-temporal.ts';
import { QUEUES } from '../workflows/contract.ts';
import { reasonOf } from './reason.ts';

/** Thrown when a run cannot be begun, or does not come to its end. Its message is one actionable line. */
export class CannotRun extends Error {}

/** A workflow of the checkout worker that a command runs once. */
export type CommandRun<Input> = Readonly<{
  workflowType: string;
  input: Input;
  /** The server ends a run after this, milliseconds: its own limits add up to less, unless workers are missing. */
  limitMs: number;
  say: (what: string) => void;
  /** How far it is, in words. */
  progressOf: (handle: WorkflowHandle) => Promise<string>;
}>;

const CALL_LIMIT_MS = 5_000;
/** A worker that lives takes the workflow up within moments. */
const PICK_UP_LIMIT_MS = 20_000;
/** So much later the answer of the server must have been here. */
const ANSWER_LIMIT_MS = 30_000;
const LOOK_EVERY_MS = 1_000;

/**
 * Connects to the Temporal that the environment names, or else to that of the system that `npm start` runs.
 *
 * @throws NothingIsRunning; ConfigError without the keys of payloads; CannotRun when Temporal does not answer, or a run there fails
 */
export async function onTemporal<T>(config: Config, use: (client: Client) => Promise<T>): Promise<T> {
  const { client, connection, namespace, address } = await openSystemTemporal(config);
  try {
    return await use(client);
  } catch (error) {
    if (error instanceof CannotRun) throw error;
    if (error instanceof WorkflowFailedError) {
      const why = `${reasonOf(error.cause ?? error)}. See it in Temporal; what it started goes on by itself.`;
      throw new CannotRun(`The run did not come to its end: ${why}`, { cause: error });
    }
    const why = reasonOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
    throw new CannotRun(
      `Temporal at ${address}, namespace ${namespace}, did not answer: ${why}. Start it, or correct TEMPORAL_ADDRESS; what runs there goes on by itself.`,
      { cause: error },
    );
  } finally {
    await connection.close();
  }
}

/** Runs a workflow to its end and says how far it is. @throws CannotRun when no worker takes it up */
export async function runWorkflow<Input, Result>(client: Client, run: CommandRun<Input>): Promise<Result> {
  const { connection, workflow } = client;
  const { workflowType, input, limitMs, say } = run;
  say('starting');
  const handle = await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () =>
    workflow.start<(input: Input) => Promise<Result>>(workflowType, {
      taskQueue: QUEUES.checkout,
      workflowId: `${workflowType}-command-${randomUUID()}`,
      workflowRunTimeout: limitMs,
      args: [input],
    }),
  );
  const end = new AbortController();
  try {
    const result = connection.withDeadline(Date.now() + limitMs + ANSWER_LIMIT_MS, () => handle.result());
    return await Promise.race([result, follow(client, handle, run, end.signal)]);
  } catch (error) {
    // It must not start later, when nobody expects it any more.
    if (error instanceof CannotRun) await handle.terminate('no worker took it up');
    throw error;
  } finally {
    end.abort();
  }
}

/** @throws CannotRun when no worker takes it up */
async function follow<Input>(
  { connection }: Client,
  handle: WorkflowHandle,
  { say, progressOf }: CommandRun<Input>,
  signal: AbortSignal,
): Promise<never> {
  const startedAt = Date.now();
  for (let taken = false; ;) {
    await sleep(LOOK_EVERY_MS, undefined, { signal });
    taken ||= await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () => isTaken(handle));
    if (!taken && Date.now() - startedAt > PICK_UP_LIMIT_MS) {
      throw new CannotRun('No checkout worker takes up work: start it (`npm run worker checkout-worker`).');
    }
    if (taken) say(await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () => progressOf(handle)));
  }
}

/** Its first task is done when its history has more than the start and that task's schedule. */
const isTaken = async (handle: WorkflowHandle): Promise<boolean> => (await handle.describe()).historyLength > 2;
