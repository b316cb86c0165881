import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  startChild,
  TemporalFailure,
} from '@temporalio/workflow';

import type { WebhookOutcome, WebhookRef } from '../activities/payments/contract.ts';
import { orderNumberOf } from '../domain/checkout.ts';
import { checkoutWorkflowId, repairWorkflowId } from '../domain/workflow-ids.ts';
import { paymentChangedSignal, REPAIR_WORKFLOW } from './contract.ts';
import type { repair } from './repair.ts';
import { inRounds } from './rounds.ts';
import { payments, surely } from './services.ts';
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
    const { wasSettled, ...result } = await apply(event, work);
    const { outcome, orderId } = result;
    if (orderId !== null) await follow(outcome, orderId, wasSettled, work);
    await inRounds('closeWebhook', work.attention, () =>
      surely.payments.closeWebhook.executeWithOptions({ summary: `Close the event: ${outcome}` }, [
        { ...event, outcome },
      ]),
    );
    work.finish();
    await condition(allHandlersFinished);
    return result;
  });
}

type Applied = WebhookResult & Readonly<{ wasSettled: boolean }>;

async function apply(event: WebhookRef, work: Work): Promise<Applied> {
  const applied = await inRounds('applyWebhook', work.attention, async () => {
    try {
      return await surely.payments.applyWebhook.executeWithOptions({ summary: 'Ask the gateway about the charge' }, [
        event,
      ]);
    } catch (error) {
      work.orderId ??= await orderOf(event); // it is about to be parked: operators look for it by its order
      throw error;
    }
  });
  // Undefined: a person has done what there was to do.
  const { outcome, orderId, wasSettled = false } = applied ?? { outcome: 'UNCHANGED', orderId: null };
  work.orderId ??= orderId;
  work.note(orderId === null ? outcome : `${outcome} for order ${orderId}`);
  return { outcome, orderId, wasSettled };
}

/** Null where nobody can say now. */
async function orderOf(event: WebhookRef): Promise<string | null> {
  try {
    return (await payments.readWebhook.executeWithOptions({ summary: 'See which order it is about' }, [event])).orderId;
  } catch (error) {
    if (error instanceof ActivityFailure) return null;
    throw error;
  }
}

async function follow(outcome: WebhookOutcome, orderId: string, wasSettled: boolean, work: Work): Promise<void> {
  switch (outcome) {
    case 'LATE_CAPTURE':
      // Who gave it back before has shown a wrong amount to a person, or shows it again when it is repaired.
      await inRounds('settleWithGateway', work.attention, () =>
        settleWithGateway(orderId, work.attention, !wasSettled),
      );
      return;
    case 'APPLIED':
      if (!(await wakeCheckout(orderId, work))) await startRepair(orderId, work);
      return;
    // Whoever changed it may have ended before it could say so. That nobody waits is the rule: most have ended well.
    case 'UNCHANGED':
      await wakeCheckout(orderId, work);
      return;
    case 'UNKNOWN_CHARGE':
      return;
  }
}

/** Only a wake-up. @returns false when there is no checkout that runs */
async function wakeCheckout(orderId: string, work: Work): Promise<boolean> {
  try {
    await getExternalWorkflowHandle(checkoutWorkflowId(orderId)).signal(paymentChangedSignal);
    return true;
  } catch (error) {
    if (!(error instanceof TemporalFailure)) throw error;
    work.note(`nobody waits for order ${orderId}`);
    return false;
  }
}

/** What this event decided, no checkout will ever read: its order is ended as any that was lost. */
async function startRepair(orderId: string, work: Work): Promise<void> {
  try {
    await startChild<typeof repair>(REPAIR_WORKFLOW, {
      workflowId: repairWorkflowId(orderId),
      staticSummary: orderNumberOf(orderId),
      parentClosePolicy: 'ABANDON',
      cancellationType: 'ABANDON',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      args: [{ orderId }],
    });
    work.note(`repairs order ${orderId}`);
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    work.note(`order ${orderId} is being repaired`);
  }
}
