import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

import type { CheckoutStatus, PlacedAnswer } from '../domain/checkout.ts';
import type { ReconcileProgress } from '../domain/reconcile.ts';
import type { BegunAnswer } from '../domain/refund.ts';

/** One task queue per service: its workers hold only that service's credentials. Names are in histories: never rename. */
export const QUEUES = {
  checkout: 'checkout',
  inventory: 'inventory',
  orders: 'orders',
  payments: 'payments',
  views: 'views',
} as const;

/** The type of the workflow that makes an order. */
export const CHECKOUT_WORKFLOW = 'checkout';
/** Gives money back for a paid order; what a provider's event leads to; one order put right; the search for such. */
export const REFUND_WORKFLOW = 'refund';
export const WEBHOOK_WORKFLOW = 'webhook';
export const REPAIR_WORKFLOW = 'repair';
export const RECONCILE_WORKFLOW = 'reconcile';
/** Builds a view anew while it serves; makes the sums of the last days what their orders come to. */
export const REBUILD_WORKFLOW = 'rebuildView';
export const DAILY_SALES_WORKFLOW = 'dailySales';
/** Takes away what is old and was handled. */
export const MAINTENANCE_WORKFLOW = 'maintenance';

/** Wakes a checkout that waits for its payment. Only a wake-up: what became of the payment is in its row. */
export const paymentChangedSignal = defineSignal('paymentChanged');

/** Answers when the refund is on record, or was refused. The argument is the caller's request hash. */
export const begunUpdate = defineUpdate<BegunAnswer, [requestHash: string]>('begun');

/** Answers at PLACED with the order, or with the recorded refusal. The argument is the caller's request hash. */
export const placedUpdate = defineUpdate<PlacedAnswer, [requestHash: string]>('placed');

/** Accepted before the pivot; from then on cancel wins. CANCELLING: the rest, such as the gateway, takes longer. */
export const cancelUpdate = defineUpdate<'CANCELLED' | 'CANCELLING', []>('cancel');

export type Resolution = Readonly<{
  /** `retry` runs the parked step again at once; `markDone` says that a person has done it. */
  action: 'retry' | 'markDone';
  reason: string;
  /** Who decided: an opaque operator id. */
  by: string;
}>;

/** Ends the wait of every parked step; answers the names of those that were parked. */
export const resolveUpdate = defineUpdate<string[], [Resolution]>('resolve');

export type StatusAnswer = Readonly<{
  /** Null while a webhook's workflow has not found out which order the event is about. */
  orderId: string | null;
  orderNumber: string | null;
  status: CheckoutStatus | WorkStatus;
  /** The registry code of what ended the checkout; null while it may succeed. */
  failureCode: string | null;
  parked: readonly ParkedStep[];
}>;

/** Of refunds and repairs, which are no checkouts. */
export type WorkStatus = 'RUNNING' | 'DONE';

/** A step that waits for a person or its next round. `since` is an ISO instant. */
export type ParkedStep = Readonly<{ step: string; reason: string; since: string }>;

export const statusQuery = defineQuery<StatusAnswer>('status');

/** One thing that happened to the saga; `at` is an ISO instant of the workflow's clock. */
export type TimelineEntry = Readonly<{ at: string; what: string }>;

export const timelineQuery = defineQuery<readonly TimelineEntry[]>('timeline');

/** How far a run of the reconciler is. */
export const progressQuery = defineQuery<ReconcileProgress>('progress');

/** What an operator filters by in Temporal Web. Never personal data. */
export const SEARCH_ATTRIBUTES = {
  checkoutStatus: defineSearchAttributeKey('CheckoutStatus', SearchAttributeType.KEYWORD),
  customerId: defineSearchAttributeKey('CustomerId', SearchAttributeType.KEYWORD),
  failureCode: defineSearchAttributeKey('FailureCode', SearchAttributeType.KEYWORD),
  orderTotalMinor: defineSearchAttributeKey('OrderTotalMinor', SearchAttributeType.INT),
} as const;
