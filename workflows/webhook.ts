import {
  allHandlersFinished,
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  TemporalFailure,
} from '@temporalio/workflow';

import type { WebhookOutcome, WebhookRef } from '../activities/payments/contract.ts';
import { checkoutWorkflowId } from '../domain/workflow-ids.ts';
import { paymentChangedSignal } from './contract.ts';
import { inRounds } from './rounds.ts';
import { surely } from './services.ts';
import { settleWithGateway } from './settle.ts';
import { openWork, type Work } from './work.ts';

/** Result of the workflow `webhook`. `orderId` is null for an event about a charge that is none of ours. */
export type WebhookResult = Readonly<{ outcome: WebhookOutcome; orderId: string | null }>;

/**
 * What a provider's event leads to: the payment's row learns from the gateway what became of the charge, a checkout that
 * waits for it is woken, and money that came too late is given back. Whoever runs it again for one event does no harm.
 * A cancel changes nothing: it would leave the event to be done all over again.
 */
export function webhook(event: WebhookRef): Promise<WebhookResult> {
  const work = openWork(`Event ${event.eventId} of ${event.provider}`, null);
  return CancellationScope.nonCancellable(async () => {
    const { outcome, orderId } = await apply(event, work);
    if (orderId !== null) await follow(outcome, orderId, work);
    await inRounds('closeWebhook', work.attention, () =>
      surely.payments.closeWebhook.executeWithOptions({ summary: `Close the event: ${outcome}` }, [
        { ...event, outcome },
      ]),
    );
    work.finish();
    await condition(allHandlersFinished);
    return { outcome, orderId };
  });
}

async function apply(event: WebhookRef, work: Work): Promise<WebhookResult> {
  const applied = await inRounds('applyWebhook', work.attention, () =>
    surely.payments.applyWebhook.executeWithOptions({ summary: 'Ask the gateway about the charge' }, [event]),
  );
  // Undefined: a person has done what there was to do.
  const { outcome, orderId } = applied ?? { outcome: 'UNCHANGED', orderId: null };
  work.orderId = orderId;
  work.note(orderId === null ? outcome : `${outcome} for order ${orderId}`);
  return { outcome, orderId };
}

async function follow(outcome: WebhookOutcome, orderId: string, work: Work): Promise<void> {
  switch (outcome) {
    case 'LATE_CAPTURE':
      await inRounds('settleWithGateway', work.attention, () => settleWithGateway(orderId, work.attention));
      return;
    // Unchanged too: whoever changed it may have ended before it could say so.
    case 'APPLIED':
    case 'UNCHANGED':
      return wakeCheckout(orderId, work);
    case 'UNKNOWN_CHARGE':
      return;
  }
}

/** Only a wake-up: a checkout that is over, or that never was, needs none. */
async function wakeCheckout(orderId: string, work: Work): Promise<void> {
  try {
    await getExternalWorkflowHandle(checkoutWorkflowId(orderId)).signal(paymentChangedSignal);
  } catch (error) {
    if (!(error instanceof TemporalFailure)) throw error;
    work.note(`nobody waits for order ${orderId}`);
  }
}
