import { WithStartWorkflowOperation, type WorkflowStartOptions } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';

import { type CheckoutInput, orderNumberOf, type PlacedAnswer } from '../domain/checkout.ts';
import { checkoutWorkflowId } from '../domain/workflow-ids.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import type { checkout } from '../workflows/checkout.ts';
import { CHECKOUT_WORKFLOW, placedUpdate, QUEUES, SEARCH_ATTRIBUTES } from '../workflows/contract.ts';
import { REQUEST_HASH } from './follow.ts';
import { starting, startingReached } from './starting.ts';

/** How long a request waits for the placed answer, milliseconds. */
export const PLACED_DEADLINE_MS = 10_000;
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
  const { client } = temporal;
  return starting(temporal, () =>
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
  return startingReached(async () => {
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
