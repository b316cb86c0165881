import { ApplicationFailure, CancellationScope, condition, currentUpdateInfo, setHandler } from '@temporalio/workflow';

import type { CheckoutInput } from '../domain/checkout.ts';
import { cancelUpdate, placedUpdate, type Resolution, resolveUpdate, statusQuery, timelineQuery } from './contract.ts';
import { inRounds } from './rounds.ts';
import { Saga } from './saga.ts';
import { surely } from './services.ts';

/** State first, then the handlers that read it: an update may arrive before the first step. */
export function openSaga(input: CheckoutInput): Saga {
  const saga = new Saga(input);
  setHandler(statusQuery, () => saga.status, { description: 'Status, failure code and parked steps' });
  setHandler(timelineQuery, () => saga.timeline, { description: 'What happened to the saga, and when' });

  // Answered at PLACED or with the recorded refusal; payment goes on.
  setHandler(
    placedUpdate,
    () =>
      CancellationScope.nonCancellable(async () => {
        await condition(() => saga.placed !== undefined);
        return { requestHash: input.requestHash, ...(saga.placed ?? { refusal: saga.theEnd.refusal }) };
      }),
    {
      description: 'Answers with the placed order or the recorded refusal; input: the request hash',
      validator: (requestHash) => {
        if (requestHash === input.requestHash) return;
        throw ApplicationFailure.nonRetryable('this key belongs to another request', 'IDEMPOTENCY_KEY_REUSED');
      },
    },
  );

  setHandler(
    cancelUpdate,
    () =>
      CancellationScope.nonCancellable(async () => {
        saga.cancel();
        await condition(() => saga.ended, ANSWER_CANCEL_AFTER);
        return saga.ended ? 'CANCELLED' : 'CANCELLING';
      }),
    {
      description: 'Cancels before the order is paid; answers CANCELLED or CANCELLING',
      validator: () => {
        if (saga.cancelled || (saga.end === undefined && !saga.pastPivot)) return;
        throw ApplicationFailure.nonRetryable('it is paid, or ended already', 'NOT_CANCELLABLE');
      },
    },
  );

  setHandler(resolveUpdate, (resolution) => CancellationScope.nonCancellable(() => resolve(saga, resolution)), {
    description: 'Ends the wait of parked steps; input: { action: retry | markDone, reason, by }',
    validator: ({ action, reason, by }) => {
      if (saga.attention.parked.length === 0) {
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

  // The workflow's own cancel does the same as the update.
  CancellationScope.current().cancelRequested.catch(() => saga.cancel());
  return saga;
}

/** Undoing takes milliseconds unless the gateway is slow; then the caller is told that it goes on. */
const ANSWER_CANCEL_AFTER = '5 seconds';

/** The parked steps go on at once; the answer comes when the decision is in the order's history. */
async function resolve(saga: Saga, { action, reason, by }: Resolution): Promise<string[]> {
  saga.note(`${by} resolved with ${action}: ${reason}`);
  const steps = saga.attention.resolve(action);
  const resolutionId = currentUpdateInfo()?.id ?? '';
  // Two decisions may wait for the order service at once: each is a step of its own.
  await inRounds(`recordResolution ${resolutionId}`, saga.attention, () =>
    surely.orders.recordResolution.executeWithOptions({ summary: `Record the decision of ${by}` }, [
      { orderId: saga.input.orderId, resolutionId, steps, action, reason, by },
    ]),
  );
  return steps;
}

/** What an operator types comes as JSON from a command line: its type is a promise that nobody has checked. */
const isText = (value: unknown, longest: number): boolean =>
  typeof value === 'string' && value.trim() !== '' && value.length <= longest && !value.includes('\0');
