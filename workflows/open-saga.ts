import { ApplicationFailure, CancellationScope, condition, setHandler } from '@temporalio/workflow';

import type { CheckoutInput } from '../domain/checkout.ts';
import { cancelUpdate, paymentChangedSignal, placedUpdate } from './contract.ts';
import { handleParking } from './parking.ts';
import { Saga } from './saga.ts';

/** State first, then the handlers that read it: an update may arrive before the first step. */
export function openSaga(input: CheckoutInput): Saga {
  const saga = new Saga(input);
  handleParking(saga);

  // May come before the answer of the charge that it is about: it is remembered until somebody waits for it.
  setHandler(paymentChangedSignal, () => void (saga.woken = true), { description: 'Look at the payment: it changed' });

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
        // Forgotten where the order turns out to be paid, by an earlier run of this checkout: then it goes forward.
        await condition(() => saga.ended || !saga.cancelled, ANSWER_CANCEL_AFTER);
        if (!saga.cancelled) throw notCancellable();
        return saga.ended ? 'CANCELLED' : 'CANCELLING';
      }),
    {
      description: 'Cancels before the order is paid; answers CANCELLED or CANCELLING',
      validator: () => {
        if (saga.cancelled || (saga.end === undefined && !saga.pastPivot)) return;
        throw notCancellable();
      },
    },
  );

  // The workflow's own cancel does the same as the update.
  CancellationScope.current().cancelRequested.catch(() => saga.cancel());
  return saga;
}

const notCancellable = (): ApplicationFailure =>
  ApplicationFailure.nonRetryable('it is paid, or ended already', 'NOT_CANCELLABLE');

/** Undoing takes milliseconds unless the gateway is slow; then the caller is told that it goes on. */
const ANSWER_CANCEL_AFTER = '5 seconds';
