import { WithStartWorkflowOperation, WorkflowFailedError, type WorkflowStartOptions } from '@temporalio/client';

import { type StoredRefund, storedRefund } from '../activities/payments/stored-refund.ts';
import { orderNumberOf } from '../domain/checkout.ts';
import { CheckoutError, isRefusal } from '../domain/errors.ts';
import type { BegunAnswer, RefundInput, RefundRequest } from '../domain/refund.ts';
import { refundWorkflowId } from '../domain/workflow-ids.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import { begunUpdate, QUEUES, REFUND_WORKFLOW } from '../workflows/contract.ts';
import type { refund } from '../workflows/refund.ts';
import type { ApiDeps } from './deps.ts';
import { REQUEST_HASH, startedBy } from './follow.ts';
import { isOutage, isTemporalError, READ_LIMIT_MS, within } from './outage.ts';
import { starting } from './starting.ts';

/** How long a request waits until its refund is on record, milliseconds. */
const BEGUN_DEADLINE_MS = 10_000;
const LOOK_DEADLINE_MS = 2_000;

export type NewRefund = RefundInput & Readonly<{ request: RefundRequest }>;

/**
 * `started`: certainly or perhaps, and more is not known now. What comes from the record says how far the refund is; what
 * its workflow says has just begun. `replayed`: as far as the record tells.
 */
export type RefundAnswered = Readonly<{ answer: StoredRefund | BegunAnswer | 'started'; replayed: boolean }>;

/**
 * The answer of a refund request: what is on record, or what its workflow says, which is started where there is none.
 * Repeat-safe.
 *
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED when the key belongs to a request with another body
 * @throws Unavailable only when the refund certainly did not start
 */
export async function refundAnswer(deps: ApiDeps, input: NewRefund): Promise<RefundAnswered> {
  const stored = await recorded(deps, input);
  if (stored !== undefined) return { answer: stored, replayed: true };
  let replayed = false;
  const answer = await starting(deps.temporal, async () => {
    replayed = await isKnown(deps.temporal, input);
    return begin(deps.temporal, input);
  });
  if (answer === 'closed') return { answer: await answerOfClosed(deps, input), replayed: true };
  if (answer === 'started') await isKnown(deps.temporal, input); // two at once: only one of them started it
  return { answer, replayed };
}

/**
 * True when Temporal knows a refund of this request.
 *
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED when another request started it
 * @throws Unavailable when Temporal cannot tell
 */
export const refundHasStarted = (temporal: TemporalClient, { refundId, request }: NewRefund): Promise<boolean> =>
  startedBy(temporal, { workflowId: refundWorkflowId(refundId), requestHash: request.requestHash });

async function recorded(
  { databases, temporal }: ApiDeps,
  input: NewRefund,
): Promise<StoredRefund | 'started' | undefined> {
  try {
    const stored = await within(READ_LIMIT_MS, storedRefund(databases.payment, input.refundId));
    if (stored !== undefined && stored.requestHash !== input.request.requestHash) throw reusedKey();
    return stored;
  } catch (error) {
    if (isOutage(error) && (await refundHasStarted(temporal, input))) return 'started';
    throw error;
  }
}

/**
 * Whether it is a repeat; where that cannot be found out it is none.
 *
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED when another request started it
 */
async function isKnown(temporal: TemporalClient, input: NewRefund): Promise<boolean> {
  try {
    return await refundHasStarted(temporal, input);
  } catch (error) {
    if (isOutage(error) || isTemporalError(error)) return false;
    throw error;
  }
}

const begin = ({ client }: TemporalClient, input: NewRefund): Promise<BegunAnswer> =>
  client.withDeadline(Date.now() + BEGUN_DEADLINE_MS, () =>
    client.workflow.executeUpdateWithStart(begunUpdate, {
      updateId: `begun:${input.request.requestHash}`,
      args: [input.request.requestHash],
      startWorkflowOperation: new WithStartWorkflowOperation<typeof refund>(REFUND_WORKFLOW, startOptions(input)),
    }),
  );

/** It was completed between our look at the record and the start, or refused before it was on record. */
async function answerOfClosed(deps: ApiDeps, input: NewRefund): Promise<RefundAnswered['answer']> {
  const { requestHash } = input.request;
  try {
    const stored = await recorded(deps, input);
    if (stored !== undefined) return stored;
    const { client } = deps.temporal;
    const handle = client.workflow.getHandle<typeof refund>(refundWorkflowId(input.refundId));
    const deadline = Date.now() + LOOK_DEADLINE_MS;
    const { status, ...refusal } = await client.withDeadline(deadline, () => handle.result());
    // It was refused before the payment service heard of it: no refund, and none to come.
    return status === 'REFUSED' && isRefusal(refusal) ? { requestHash, refusal } : 'started';
  } catch (error) {
    if (isOutage(error) || isTemporalError(error) || error instanceof WorkflowFailedError) return 'started';
    throw error;
  }
}

const startOptions = (input: NewRefund) =>
  ({
    taskQueue: QUEUES.checkout,
    workflowId: refundWorkflowId(input.refundId),
    workflowIdConflictPolicy: 'USE_EXISTING',
    // What it decides is on record under the refund's own id: one that was terminated may go on, one that ended may not.
    workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
    args: [input],
    staticSummary: orderNumberOf(input.orderId),
    memo: { [REQUEST_HASH]: input.request.requestHash },
  }) satisfies WorkflowStartOptions<typeof refund>;

const reusedKey = (): CheckoutError =>
  new CheckoutError('IDEMPOTENCY_KEY_REUSED', 'this key belongs to another request');
