import type { Charge } from '../../domain/payment.ts';
import { withRefusals } from '../refusals.ts';
import type { PaymentDeps, WebhookActivities, WebhookOutcome, WebhookRef } from './contract.ts';
import { learn, readStanding, type Standing } from './learn.ts';
import { lookUp } from './look.ts';
import { decidedSince, findWebhook, recordOutcome } from './webhook-store.ts';

type WebhookDeps = Pick<PaymentDeps, 'payment' | 'gateway' | 'signal'>;

/** What a provider's event leads to (task queue `payments`, docs/decisions/0007). */
export const webhookActivities = (deps: WebhookDeps): WebhookActivities =>
  withRefusals({
    async applyWebhook(ref: WebhookRef) {
      const { outcome, orderId } = await findWebhook(deps.payment, ref);
      if (orderId === null) return { outcome: 'UNKNOWN_CHARGE' as const, orderId };
      return { ...(outcome === null ? await apply(deps, ref, orderId) : { outcome }), orderId };
    },

    async readWebhook(ref: WebhookRef) {
      const { orderId } = await findWebhook(deps.payment, ref);
      return { orderId };
    },

    async closeWebhook({ outcome, ...ref }: WebhookRef & Readonly<{ outcome: WebhookOutcome }>): Promise<void> {
      await recordOutcome(deps.payment, ref, outcome);
    },
  });

type Applied = Readonly<{ outcome: WebhookOutcome; wasSettled?: true }>;

async function apply(deps: WebhookDeps, ref: WebhookRef, orderId: string): Promise<Applied> {
  const before = await readStanding(deps.payment, orderId);
  // Nothing that the gateway could say changes a payment that was captured as asked.
  if (before.mark.decision !== 'CAPTURED') {
    if (before.payment === undefined) throw new Error(`the payment of order ${orderId} is gone`);
    const charge = await lookUp(deps, before.payment);
    const after = await deps.payment.$transaction((tx) => learn(tx, orderId, charge, null));
    if (isLate(after, charge)) return late(after);
    if (after.mark.decision === null || after.mark.decision === 'ABANDONED') return UNCHANGED;
  } else if (before.payment?.goesBack === true) {
    return late(before);
  }
  // By the time of the decision, not by who made it: a repeat, whose first attempt could not report, must say so too.
  return (await decidedSince(deps.payment, ref, orderId)) ? { outcome: 'APPLIED' } : UNCHANGED;
}

const UNCHANGED: Applied = { outcome: 'UNCHANGED' };

const late = ({ payment }: Standing): Applied => ({
  outcome: 'LATE_CAPTURE',
  ...(payment?.status === 'REFUNDED' && { wasSettled: true }),
});

/** Money was taken for an order that is given up: it is to go back, or went back and may not be recorded yet. */
function isLate({ mark, payment }: Standing, { captured }: Charge): boolean {
  if (mark.decision === null || mark.decision === 'CAPTURED' || captured === null) return false;
  // Another amount than was asked: whoever heard that refusal gives it back, and a person looks at it there, once.
  return mark.answer?.code !== 'PAYMENT_AMOUNT_MISMATCH' || payment?.status === 'REFUNDED';
}
