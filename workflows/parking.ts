import { ApplicationFailure, CancellationScope, currentUpdateInfo, setHandler } from '@temporalio/workflow';

import type { Attention } from './attention.ts';
import {
  type Resolution,
  resolveUpdate,
  type StatusAnswer,
  statusQuery,
  type TimelineEntry,
  timelineQuery,
} from './contract.ts';
import { inRounds } from './rounds.ts';
import { surely } from './services.ts';

/** Work whose steps may be parked for a person: a checkout, a refund, a repair, a webhook. */
export type Parkable = Readonly<{
  /** Null while it is not known which order it is about: a decision is then in the workflow's own history alone. */
  orderId: string | null;
  attention: Attention;
  status: StatusAnswer;
  timeline: readonly TimelineEntry[];
  note: (what: string) => void;
}>;

/**
 * The queries `status` and `timeline` and the update `resolve`, the same for every workflow that may be parked
 * (docs/operations.md, "NEEDS_ATTENTION"). Call it once, when the state that they read is there. The workflow must wait
 * for `allHandlersFinished` in a scope that nobody cancels: a decision is on record before it ends.
 */
export function handleParking(work: Parkable): void {
  setHandler(statusQuery, () => work.status, { description: 'Status, failure code and parked steps' });
  setHandler(timelineQuery, () => work.timeline, { description: 'What happened, and when' });
  setHandler(resolveUpdate, (resolution) => CancellationScope.nonCancellable(() => resolve(work, resolution)), {
    description: 'Ends the wait of parked steps; input: { action: retry | markDone, reason, by }',
    validator: ({ action, reason, by }) => {
      if (work.attention.parked.length === 0) {
        throw ApplicationFailure.nonRetryable('nothing is parked', 'NOT_FOUND');
      }
      if (action !== 'retry' && action !== 'markDone') {
        throw ApplicationFailure.nonRetryable('action must be retry or markDone', 'INVALID_REQUEST');
      }
      if (!isText(reason, 400) || !isText(by, 80)) {
        throw ApplicationFailure.nonRetryable('reason and by must say why and who decided', 'INVALID_REQUEST');
      }
    },
  });
}

/** The parked steps go on at once; the answer comes when the decision is in the order's history. */
async function resolve(work: Parkable, { action, reason, by }: Resolution): Promise<string[]> {
  work.note(`${by} resolved with ${action}: ${reason}`);
  const steps = work.attention.resolve(action);
  const { orderId } = work;
  if (orderId === null) return steps;

  const resolutionId = currentUpdateInfo()?.id ?? '';
  // Two decisions may wait for the order service at once: each is a step of its own.
  await inRounds(`recordResolution ${resolutionId}`, work.attention, () =>
    surely.orders.recordResolution.executeWithOptions({ summary: `Record the decision of ${by}` }, [
      { orderId, resolutionId, steps, action, reason, by },
    ]),
  );
  return steps;
}

/** What an operator types comes as JSON from a command line: its type is a promise that nobody has checked. */
const isText = (value: unknown, longest: number): boolean =>
  typeof value === 'string' && value.trim() !== '' && value.length <= longest && !value.includes('\0');
