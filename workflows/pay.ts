import { ActivityFailure, condition, isCancellation } from '@temporalio/workflow';

import type { PaymentState } from '../activities/payments/contract.ts';
import { refusalIn } from './failures.ts';
import type { Saga } from './saga.ts';
import { checking, checkingLast, orders, payments } from './services.ts';

type Waiting = Extract<PaymentState, { status: 'AWAITING_CONFIRMATION' }>;

/** After a look that failed: whoever changed the payment will not say so twice. Milliseconds. */
const LOOK_AGAIN_AFTER_MS = 60_000;

/** Returns when the money is captured, or when the hold is over without it: then the saga has an end. */
export async function pay(saga: Saga): Promise<void> {
  const { input, placed } = saga;
  if (placed === undefined || !('order' in placed)) return;
  const { total, orderNumber } = placed.order;
  const { orderId, customerId, payment } = input;

  saga.reach('PAYING');
  const state = await payments.capturePayment.executeWithOptions(
    { summary: `Charge ${total.minor} ${total.currency} for ${orderNumber}` },
    [{ orderId, customerId, amount: total, payment }],
  );
  if (state.status === 'CAPTURED') saga.paymentId = state.paymentId;
  else await waitForShopper(saga, state);
}

/** A signal wakes it, the payment's row decides, and a signal that never comes is made good by the last look. */
async function waitForShopper(saga: Saga, { instructions, expiresAt, holdMs }: Waiting): Promise<void> {
  const { orderId } = saga;
  const holdIsOverAt = Date.now() + holdMs;
  await orders.awaitPayment.executeWithOptions({ summary: `Ask for the payment until ${expiresAt}` }, [
    { orderId, instructions, expiresAt },
  ]);
  saga.reach('AWAITING_PAYMENT');

  for (let pauseMs = holdMs; ;) {
    const leftMs = holdIsOverAt - Date.now();
    if (leftMs > 0) await condition(() => saga.woken, Math.min(pauseMs, leftMs));
    const isLastLook = Date.now() >= holdIsOverAt;
    saga.woken = false; // before the look: what changes during it is worth another one

    const state = await look(saga, isLastLook ? checkingLast : checking);
    if (state?.status === 'CAPTURED') {
      saga.paymentId = state.paymentId;
      return;
    }
    if (isLastLook) return saga.expire();
    pauseMs = state === undefined ? LOOK_AGAIN_AFTER_MS : holdMs;
  }
}

/** @returns undefined when nobody could say: the hold goes on, and its end asks the locked row */
async function look({ orderId }: Saga, service: typeof checking): Promise<PaymentState | undefined> {
  try {
    return await service.checkPayment.executeWithOptions({ summary: 'See what became of the payment' }, [{ orderId }]);
  } catch (error) {
    const isOutage = error instanceof ActivityFailure && refusalIn(error) === undefined && !isCancellation(error);
    if (!isOutage) throw error;
    return undefined;
  }
}
