import {
  isGrpcServiceError,
  NamespaceNotFoundError,
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type WorkflowStartOptions,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { ApplicationFailure, TypedSearchAttributes } from '@temporalio/common';

import { type CheckoutInput, orderNumberOf, type PlacedAnswer } from '../domain/checkout.ts';
import { CheckoutError, isErrorCode } from '../domain/errors.ts';
import { checkoutWorkflowId } from '../domain/workflow-ids.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import type { checkout } from '../workflows/checkout.ts';
import { CHECKOUT_WORKFLOW, placedUpdate, QUEUES, SEARCH_ATTRIBUTES } from '../workflows/contract.ts';
import { REQUEST_HASH } from './follow.ts';
import { isOutage, isTemporalError, Unavailable } from './outage.ts';

/** How long a request waits for the placed answer, milliseconds. */
export const PLACED_DEADLINE_MS = 10_000;
/** How long Temporal may take to say that it is there, milliseconds. */
const REACH_DEADLINE_MS = 2_000;
/** With `respond-async`: for the workflow to look at the request hash, milliseconds. Without a worker it cannot. */
const HASH_DEADLINE_MS = 500;
const START_DEADLINE_MS = 3_000;

/** `started`: it may have started, and more is not known · `closed`: this checkout ran to its end before. */
export type Placing = PlacedAnswer | 'started' | 'closed';

/**
 * Starts the checkout, or joins the one with the same key, and waits for the placed answer. Repeat-safe.
 *
 * @param deadlineMs how long to wait for the answer, milliseconds
 * @throws Unavailable only when the checkout certainly did not start: a shopper who reads 503 buys again
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED when the checkout with this key has another request hash
 */
export async function place(temporal: TemporalClient, input: CheckoutInput, deadlineMs: number): Promise<Placing> {
  await mustBeReachable(temporal);
  const { client } = temporal;
  return startingWith(() =>
    client.withDeadline(Date.now() + deadlineMs, () =>
      client.workflow.executeUpdateWithStart(placedUpdate, updateOptions(input)),
    ),
  );
}

/**
 * As `place`, for those who cannot wait long. A wait that was too short for Temporal to take the start says nothing, so
 * the checkout is then started once more without waiting for it: 202 must not name an order that will never be.
 */
export async function placeSoon(temporal: TemporalClient, input: CheckoutInput, deadlineMs: number): Promise<Placing> {
  // The workflow alone knows the hash of an earlier request, so it gets a moment to refuse this one.
  const soon = await place(temporal, input, Math.max(deadlineMs, HASH_DEADLINE_MS));
  if (soon !== 'started' || deadlineMs > START_DEADLINE_MS) return soon;

  // A plain start needs no worker, and its answer means that the checkout is stored.
  const { client } = temporal;
  return startingWith(async () => {
    const deadline = Date.now() + START_DEADLINE_MS;
    await client.withDeadline(deadline, () =>
      client.workflow.start<typeof checkout>(CHECKOUT_WORKFLOW, startOptions(input)),
    );
    return 'started' as const;
  });
}

/**
 * Starts the checkout, or joins the one with the same key, without waiting for it. Repeat-safe.
 *
 * @throws Unavailable, CheckoutError as `place` does
 */
export async function startOnly(temporal: TemporalClient, input: CheckoutInput): Promise<Placing> {
  const soon = await placeSoon(temporal, input, HASH_DEADLINE_MS);
  return typeof soon === 'string' ? soon : 'started';
}

async function startingWith<T>(start: () => Promise<T>): Promise<T | 'started' | 'closed'> {
  try {
    return await start();
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError || error instanceof WorkflowNotFoundError)
      return 'closed';
    if (error instanceof WorkflowUpdateFailedError) return refusedUpdate(error);
    if (certainlyNotStarted(error)) throw new Unavailable('checkouts cannot be started now', { cause: error });
    // Whatever else the server said, such as INTERNAL, it may have said after it had stored the checkout.
    if (isOutage(error) || isTemporalError(error)) return 'started';
    throw error;
  }
}

/**
 * Asks before anything is sent, because afterwards it is too late: the client repeats a broken call by itself, so a
 * connection refused at the last attempt does not tell what became of the first one.
 */
async function mustBeReachable({ connection }: TemporalClient): Promise<void> {
  try {
    await connection.withDeadline(Date.now() + REACH_DEADLINE_MS, () => connection.healthService.check({}));
  } catch (error) {
    throw new Unavailable('checkouts cannot be started now', { cause: error });
  }
}

/** The validator said no, or the workflow ended between the update's acceptance and its answer. */
function refusedUpdate({ cause }: WorkflowUpdateFailedError): 'closed' {
  if (cause instanceof ApplicationFailure && isErrorCode(cause.type))
    throw new CheckoutError(cause.type, cause.message);
  return 'closed';
}

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;
const NEVER_EXECUTED: readonly number[] = [INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED];

/** True where the server said that it did nothing. A time-out or a lost connection says nothing. */
function certainlyNotStarted(error: unknown): boolean {
  if (error instanceof NamespaceNotFoundError) return true;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return isGrpcServiceError(cause) && NEVER_EXECUTED.includes(cause.code);
}

const updateOptions = (input: CheckoutInput) => ({
  updateId: `placed:${input.requestHash}`,
  args: [input.requestHash] as [string],
  startWorkflowOperation: new WithStartWorkflowOperation<typeof checkout>(CHECKOUT_WORKFLOW, startOptions(input)),
});

const startOptions = (input: CheckoutInput) =>
  ({
    taskQueue: QUEUES.checkout,
    workflowId: checkoutWorkflowId(input.orderId),
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    args: [input],
    staticSummary: orderNumberOf(input.orderId),
    // For a repeated request while the record of its first answer cannot be read.
    memo: { [REQUEST_HASH]: input.requestHash },
    typedSearchAttributes: new TypedSearchAttributes([
      { key: SEARCH_ATTRIBUTES.customerId, value: input.customerId },
      { key: SEARCH_ATTRIBUTES.checkoutStatus, value: 'RESERVING' },
    ]),
  }) satisfies WorkflowStartOptions<typeof checkout>;
