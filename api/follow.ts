import {
  isGrpcDeadlineError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

import { CheckoutError, isErrorCode, type Refusal } from '../domain/errors.ts';
import { checkoutWorkflowId } from '../domain/workflow-ids.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import type { checkout } from '../workflows/checkout.ts';
import { cancelUpdate, SEARCH_ATTRIBUTES } from '../workflows/contract.ts';
import { isOutage, isTemporalError, Unavailable } from './outage.ts';

const CANCEL_DEADLINE_MS = 10_000;
const DESCRIBE_DEADLINE_MS = 2_000;
/**
 * One id for every cancel of a checkout: a repeat joins the first one. Temporal lets a workflow have ten updates at a
 * time and two thousand in all; whoever used them up would lock out the operator's `resolve`.
 */
const CANCEL_ID = 'cancel';

/** Memo of a checkout and of a refund: the hash of the request that started it. */
export const REQUEST_HASH = 'requestHash';

const handleOf = ({ client }: TemporalClient, orderId: string) =>
  client.workflow.getHandle<typeof checkout>(checkoutWorkflowId(orderId));

const describe = (temporal: TemporalClient, orderId: string) => describeWorkflow(temporal, checkoutWorkflowId(orderId));

const describeWorkflow = (temporal: TemporalClient, workflowId: string) =>
  temporal.client.withDeadline(Date.now() + DESCRIBE_DEADLINE_MS, () =>
    temporal.client.workflow.getHandle(workflowId).describe(),
  );

/**
 * Waits until the checkout is over or nobody wants to know any more, at most `limitMs` milliseconds. What became of it is
 * in the order: a checkout that Temporal has forgotten, or cannot tell about now, is no error here.
 */
export async function waitForEnd(
  temporal: TemporalClient,
  orderId: string,
  { limitMs, signal }: Readonly<{ limitMs: number; signal: AbortSignal }>,
): Promise<void> {
  const { client } = temporal;
  const ended = () => handleOf(temporal, orderId).result();
  try {
    await client.withDeadline(Date.now() + limitMs, () => client.withAbortSignal(signal, ended));
  } catch (error) {
    const known = error instanceof WorkflowFailedError || error instanceof WorkflowNotFoundError;
    if (!known && !isGrpcDeadlineError(error) && !isOutage(error) && !isTemporalError(error)) throw error;
  }
}

/** It ended without an order, from outside or before its first step was done. */
export const ABANDONED: Refusal = {
  code: 'CHECKOUT_ABANDONED',
  message: 'this checkout has ended; buy again with a new key',
};

/** How a checkout ended that left no answer on record: an outage before its first step was done, or a termination. */
export async function endOfClosed(temporal: TemporalClient, orderId: string): Promise<Refusal> {
  try {
    const deadline = Date.now() + DESCRIBE_DEADLINE_MS;
    const { code } = await temporal.client.withDeadline(deadline, () => handleOf(temporal, orderId).result());
    return code === undefined ? ABANDONED : { ...ABANDONED, code };
  } catch (error) {
    if (error instanceof WorkflowFailedError || error instanceof WorkflowNotFoundError) return ABANDONED;
    throw error;
  }
}

/**
 * True while a checkout runs that has not made its order yet. Somebody else's checkout does not exist.
 *
 * @param customerId the owner, or null for an administrator
 * @throws Unavailable when Temporal cannot tell
 */
export async function isUnderWay(
  temporal: TemporalClient,
  { orderId, customerId }: Readonly<{ orderId: string; customerId: string | null }>,
): Promise<boolean> {
  try {
    const found = await describe(temporal, orderId);
    const owner = found.typedSearchAttributes.get(SEARCH_ATTRIBUTES.customerId);
    return found.status.name === 'RUNNING' && (customerId === null || owner === customerId);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw isOutage(error) ? new Unavailable(undefined, { cause: error }) : error;
  }
}

/** As `startedBy`, for a checkout. */
export const hasStarted = (
  temporal: TemporalClient,
  { orderId, requestHash }: Readonly<{ orderId: string; requestHash: string }>,
): Promise<boolean> => startedBy(temporal, { workflowId: checkoutWorkflowId(orderId), requestHash });

/**
 * True when Temporal knows a workflow of this request, whatever became of it.
 *
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED when another request started it
 * @throws Unavailable when Temporal cannot tell
 */
export async function startedBy(
  temporal: TemporalClient,
  { workflowId, requestHash }: Readonly<{ workflowId: string; requestHash: string }>,
): Promise<boolean> {
  try {
    const { memo } = await describeWorkflow(temporal, workflowId);
    const first = memo?.[REQUEST_HASH] ?? requestHash;
    if (first === requestHash) return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw isOutage(error) ? new Unavailable(undefined, { cause: error }) : error;
  }
  throw new CheckoutError('IDEMPOTENCY_KEY_REUSED', 'this key belongs to another request');
}

/**
 * For a request that was joined to a checkout which could not say whose it is, because no worker was there or it is
 * over. Where Temporal cannot tell either, the request counts as the same: it may well have started the checkout.
 *
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED when another request started it
 */
export async function refuseReusedKey(
  temporal: TemporalClient,
  request: Readonly<{ orderId: string; requestHash: string }>,
): Promise<void> {
  try {
    await hasStarted(temporal, request);
  } catch (error) {
    if (!isOutage(error) && !isTemporalError(error)) throw error;
  }
}

/**
 * Asks a running checkout to undo itself. Repeat-safe.
 *
 * @returns `CLOSED` when the checkout is over, so that the order alone knows how it ended
 * @throws CheckoutError NOT_CANCELLABLE past the pivot
 * @throws Unavailable when no answer came in time: asking again does no harm
 */
export async function cancelCheckout(
  temporal: TemporalClient,
  orderId: string,
): Promise<'CANCELLED' | 'CANCELLING' | 'CLOSED'> {
  try {
    const deadline = Date.now() + CANCEL_DEADLINE_MS;
    const answer = await temporal.client.withDeadline(deadline, () =>
      handleOf(temporal, orderId).executeUpdate(cancelUpdate, { updateId: CANCEL_ID }),
    );
    if (answer === 'CANCELLED') return answer;
    // A repeat gets the first answer, which was "not yet", also when the checkout is over.
    return (await describe(temporal, orderId)).status.name === 'RUNNING' ? answer : 'CLOSED';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'CLOSED';
    if (error instanceof WorkflowUpdateFailedError) {
      const { cause } = error;
      if (cause instanceof ApplicationFailure && isErrorCode(cause.type)) {
        throw new CheckoutError(cause.type, cause.message);
      }
      return 'CLOSED';
    }
    throw isOutage(error) ? new Unavailable('the cancellation was not confirmed; ask again', { cause: error }) : error;
  }
}
