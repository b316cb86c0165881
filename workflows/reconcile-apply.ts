import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { ChildWorkflowFailure, type ChildWorkflowHandle, condition, startChild } from '@temporalio/workflow';

import { orderNumberOf } from '../domain/checkout.ts';
import type { Leftover, ReconcileRow } from '../domain/reconcile.ts';
import { refundWorkflowId, repairWorkflowId, webhookWorkflowId } from '../domain/workflow-ids.ts';
import { REFUND_WORKFLOW, REPAIR_WORKFLOW, WEBHOOK_WORKFLOW } from './contract.ts';
import type { refund } from './refund.ts';
import type { repair } from './repair.ts';
import type { webhook } from './webhook.ts';

const AT_ONCE = 20;
/** After this the next one starts: one that is parked, or waits for a charge to land, holds up nobody. */
const LANE_MS = 20_000;
/** From the first start to the last look. What is not done then goes on alone, or is parked. */
const WAIT_MS = 2 * 60_000;

type End = Pick<ReconcileRow, 'result' | 'detail'>;

/**
 * Starts the workflow of each leftover, a bounded number within moments, and waits a bounded time for what becomes of all.
 *
 * @param ended told for each row whose end is known
 */
export async function putRight(leftovers: readonly Leftover[], ended: () => void): Promise<ReconcileRow[]> {
  let isDone = false;
  let isLate = false;
  const late = condition(() => isDone, WAIT_MS).then((): End => {
    isLate = true;
    return { result: 'RUNNING', detail: 'it goes on, or is parked' };
  });

  const rows: ReconcileRow[] = [];
  const queue = [...leftovers.entries()];
  const watched: Promise<void>[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, leftover] = next;
      let hasEnded = false;
      const watch = (isLate ? Promise.resolve(NOT_STARTED) : putOneRight(leftover, late)).then((end) => {
        rows[index] = { ...leftover, ...end };
        hasEnded = true;
        ended();
      });
      watch.catch(() => (hasEnded = true)); // thrown below
      watched.push(watch);
      if (!isLate) await condition(() => hasEnded, LANE_MS);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  await Promise.all(watched);
  isDone = true;
  await late; // no timer is left behind
  return rows;
}

async function putOneRight(leftover: Leftover, late: Promise<End>): Promise<End> {
  const child = await startFor(leftover);
  if (child === undefined) return { result: 'RUNNING', detail: 'it was started by somebody else' };

  const end = child.result().then(
    (result): End => ({ result: 'REPAIRED', detail: inWords(result) }),
    (error: unknown): End => {
      if (!(error instanceof ChildWorkflowFailure)) throw error;
      return { result: 'FAILED', detail: (error.cause?.message ?? error.message).slice(0, 200) };
    },
  );
  end.catch(() => undefined); // a cancel of this run reaches it through the race, or comes after it
  return Promise.race([end, late]);
}

/** @returns undefined where its workflow runs already: one is enough */
async function startFor(leftover: Leftover): Promise<ChildWorkflowHandle<Repairing> | undefined> {
  try {
    return await CHILDREN[leftover.action](leftover);
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return undefined;
    throw error;
  }
}

type Repairing = typeof repair | typeof refund | typeof webhook;

/** They outlive the run that started them, and one that has ended may be started again. */
const ALONE = {
  parentClosePolicy: 'ABANDON',
  cancellationType: 'ABANDON',
  workflowIdReusePolicy: 'ALLOW_DUPLICATE',
} as const;

const CHILDREN: Readonly<Record<Leftover['action'], (leftover: Leftover) => Promise<ChildWorkflowHandle<Repairing>>>> =
  {
    repair: ({ id: orderId }) =>
      startChild<typeof repair>(REPAIR_WORKFLOW, {
        ...ALONE,
        workflowId: repairWorkflowId(orderId),
        staticSummary: orderNumberOf(orderId),
        args: [{ orderId }],
      }),
    refund: ({ id: refundId, orderId }) =>
      startChild<typeof refund>(REFUND_WORKFLOW, {
        ...ALONE,
        workflowId: refundWorkflowId(refundId),
        staticSummary: orderNumberOf(orderId ?? ''),
        args: [{ refundId, orderId: orderId ?? '', request: null }],
      }),
    webhook: ({ id }) => {
      const [provider = '', ...eventId] = id.split('/'); // an event id may hold slashes, a provider's name does not
      const event = { provider, eventId: eventId.join('/') };
      return startChild<typeof webhook>(WEBHOOK_WORKFLOW, {
        ...ALONE,
        workflowId: webhookWorkflowId(event.provider, event.eventId),
        args: [event],
      });
    },
  };

const inWords = (result: Awaited<ReturnType<Repairing>>): string => {
  if ('status' in result) return result.code === undefined ? result.status : `${result.status} ${result.code}`;
  return 'code' in result ? `${result.outcome} ${result.code}` : result.outcome;
};

const NOT_STARTED: End = { result: 'LEFT', detail: 'no time was left to start it: a later run does' };
