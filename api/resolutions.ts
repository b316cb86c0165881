import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

import { CheckoutError, isErrorCode } from '../domain/errors.ts';
import { checkoutWorkflowId, repairWorkflowId } from '../domain/workflow-ids.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import { type Resolution, resolveUpdate, statusQuery } from '../workflows/contract.ts';
import { isOutage, Unavailable } from './outage.ts';
import { parkedOthers } from './parked.ts';

const STATUS_LIMIT_MS = 4_000;
/** To find the workflows of an order that bear other names than the order's, milliseconds. */
const LIST_LIMIT_MS = 5_000;
const MOST_NAMED = 5;
/** For all workflows together: the decision is answered when it is in the order's history, milliseconds. */
const RESOLVE_LIMIT_MS = 10_000;

/**
 * As `resolveFirst`, for whoever names no workflow: its checkout, or else its repair, or else the only other workflow of
 * this order that is parked, which is a refund or a webhook.
 *
 * @throws CheckoutError INVALID_REQUEST with their names when there are several
 */
export async function resolveOrder(temporal: TemporalClient, orderId: string, resolution: Resolution) {
  try {
    return await resolveFirst(temporal, [checkoutWorkflowId(orderId), repairWorkflowId(orderId)], resolution);
  } catch (error) {
    if (!(error instanceof CheckoutError) || error.code !== 'NOTHING_PARKED') throw error;
  }
  return resolveFirst(temporal, await onlyOther(temporal, orderId), resolution);
}

async function onlyOther(temporal: TemporalClient, orderId: string): Promise<readonly string[]> {
  const { workflowIds, silent } = await othersParked(temporal, orderId);
  if (workflowIds.length > 1) {
    const message = `must be one of ${workflowIds.join(', ')}`;
    throw new CheckoutError('INVALID_REQUEST', 'several workflows of this order wait: name one', {
      errors: [{ pointer: '/workflowId', message }],
    });
  }
  if (workflowIds.length === 0 && silent.length > 0) {
    throw new Unavailable(
      `these parked workflows do not say whose they are: ${silent.slice(0, MOST_NAMED).join(', ')}`,
    );
  }
  return workflowIds;
}

async function othersParked(temporal: TemporalClient, orderId: string) {
  try {
    return await parkedOthers(temporal, orderId, Date.now() + LIST_LIMIT_MS);
  } catch (error) {
    throw isOutage(error) ? new Unavailable(undefined, { cause: error }) : error;
  }
}

/**
 * Hands the decision to the first of these workflows that has a parked step. It acts on what is parked when it arrives:
 * a repeat meets nothing, or another round of the same step.
 *
 * @returns whose steps went on, and which
 * @throws CheckoutError NOTHING_PARKED when none of them waits for a person
 * @throws Unavailable when it was not confirmed in time: it may still be taken
 */
export async function resolveFirst(
  temporal: TemporalClient,
  workflowIds: readonly string[],
  resolution: Resolution,
): Promise<Readonly<{ workflowId: string; steps: readonly string[] }>> {
  const deadline = Date.now() + RESOLVE_LIMIT_MS;
  for (const workflowId of workflowIds) {
    const steps = await resolveOne(temporal, workflowId, { resolution, deadline });
    if (steps.length > 0) return { workflowId, steps };
  }
  throw new CheckoutError('NOTHING_PARKED', 'no step of this order waits for a decision');
}

/**
 * @throws CheckoutError NOT_FOUND when the workflow is not about this order
 * @throws Unavailable when it cannot say what it is about
 */
export async function mustBelongTo(temporal: TemporalClient, workflowId: string, orderId: string): Promise<void> {
  if (workflowId === checkoutWorkflowId(orderId) || workflowId === repairWorkflowId(orderId)) return;
  if ((await orderOf(temporal, workflowId)) !== orderId) {
    throw new CheckoutError('NOT_FOUND', 'this order has no such workflow');
  }
}

async function orderOf({ client }: TemporalClient, workflowId: string): Promise<string | null> {
  try {
    const deadline = Date.now() + STATUS_LIMIT_MS;
    return (await client.withDeadline(deadline, () => client.workflow.getHandle(workflowId).query(statusQuery)))
      .orderId;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw isOutage(error) ? new Unavailable(undefined, { cause: error }) : error;
  }
}

async function resolveOne(
  { client }: TemporalClient,
  workflowId: string,
  { resolution, deadline }: Readonly<{ resolution: Resolution; deadline: number }>,
): Promise<readonly string[]> {
  try {
    return await client.withDeadline(deadline, () =>
      client.workflow.getHandle(workflowId).executeUpdate(resolveUpdate, { args: [resolution] }),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return []; // never started, over, or forgotten
    if (error instanceof WorkflowUpdateFailedError) return refusedSteps(error);
    const said = 'the decision was not confirmed, and may still be taken: look at the order before repeating it';
    throw isOutage(error) ? new Unavailable(said, { cause: error }) : error;
  }
}

/** NOT_FOUND: nothing is parked. Anything else but a word of ours is the end of the workflow while it was asked. */
function refusedSteps({ cause }: WorkflowUpdateFailedError): readonly string[] {
  if (!(cause instanceof ApplicationFailure) || !isErrorCode(cause.type) || cause.type === 'NOT_FOUND') return [];
  throw new CheckoutError(cause.type, cause.message);
}
