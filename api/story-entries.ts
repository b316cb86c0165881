import type { LedgerEntry } from '../activities/inventory/read-story.ts';
import type { OrderView } from '../activities/orders/read.ts';
import type { PaymentMoment, PaymentStory, RefundMoment } from '../activities/payments/read-story.ts';
import { isErrorCode } from '../domain/errors.ts';
import type { OutboxEntry } from '../events/read-aggregate.ts';
import type { AppliedEvents } from '../projections/read-story.ts';
import type { StoryEntry } from './contract/story.ts';

/** Each entry is written field by field: what a reader may see is listed here, whatever the sources come to know. */

export const orderEntries = (order: OrderView | undefined): StoryEntry[] =>
  (order?.history ?? []).map(({ at, version, status, reason, actor }) => ({
    ...({ kind: 'order', at, version, reason, actor } as const),
    status: status as OrderView['status'],
  }));

export const stockEntry = (row: LedgerEntry): StoryEntry => ({ kind: 'stock', ...row });

/** Payments, refunds and, for administrators, webhooks with the names that the gateway gives them. */
export function paymentEntries({ payments, refunds, webhooks }: PaymentStory, admin: boolean): StoryEntry[] {
  return [
    ...payments.map((moment) => paymentEntry(moment, admin)),
    ...refunds.map((moment) => refundEntry(moment, admin)),
    ...(admin ? webhooks.map((row): StoryEntry => ({ kind: 'webhook', ...row })) : []),
  ];
}

function paymentEntry(moment: PaymentMoment, admin: boolean): StoryEntry {
  const { at, paymentId, what, method, amount, failureCode, provider, providerPaymentId } = moment;
  return {
    ...({ kind: 'payment', at, paymentId, what, method, amount } as const),
    failureCode: shownCode(failureCode, admin),
    ...(admin && { provider, providerPaymentId }),
  };
}

function refundEntry({ at, refundId, what, amount, failureCode, reason }: RefundMoment, admin: boolean): StoryEntry {
  return {
    ...({ kind: 'refund', at, refundId, what, amount } as const),
    failureCode: shownCode(failureCode, admin),
    ...(admin && { reason }),
  };
}

/** Banks ask that shoppers are not told why a card was declined. */
const shownCode = (code: string | null, admin: boolean): string | null => (admin || isErrorCode(code) ? code : null);

/** @param applied undefined where the views cannot be asked */
export const eventEntry = (event: OutboxEntry, applied: AppliedEvents | undefined): StoryEntry => ({
  ...({ kind: 'event', at: event.at, eventId: event.eventId, type: event.type } as const),
  ...{ aggregate: event.aggregate, version: event.version, publishedAt: event.publishedAt },
  applied: applied === undefined ? null : [...applied.of(event)],
});

/** A workflow as its reader may see it: its id may hold what the gateway calls an event. */
export function workflowEntry(entry: StoryEntry, admin: boolean): StoryEntry {
  if (admin || !('workflowId' in entry)) return entry;
  return { ...entry, workflowId: undefined };
}

/** By time; at the same instant what causes comes before what it causes. */
export const byTime = (a: StoryEntry, b: StoryEntry): number =>
  a.at === b.at ? RANK.indexOf(a.kind) - RANK.indexOf(b.kind) : a.at < b.at ? -1 : 1;

const RANK: readonly StoryEntry['kind'][] = [
  ...(['webhook', 'workflow', 'step', 'stock', 'order', 'payment', 'refund', 'event'] as const),
];
