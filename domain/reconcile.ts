import type { ErrorCode } from './errors.ts';

/** Who is asked for what is unfinished, in this order. */
export const RECONCILE_SOURCES = ['stock', 'orders', 'payments', 'refunds', 'webhooks', 'money', 'ledger'] as const;
export type ReconcileSource = (typeof RECONCILE_SOURCES)[number];

/** Where a search goes on in each source that it names, as the source itself says it; null is its start. */
export type ReconcilePosition = Readonly<Partial<Record<ReconcileSource, string | null>>>;

export type ReconcileInput = Readonly<{
  /** False only looks: nothing is started. */
  apply: boolean;
  /** Money is compared with the orders and the provider's books where it moved within this time, milliseconds; one hour by default. */
  windowMs?: number;
  /** `next` of a run before: only what that one has not looked through. */
  from?: ReconcilePosition;
  /** True goes on by itself, run after run, until every source was looked through; the result is that of the last run. */
  goOn?: boolean;
}>;

/** Something unfinished that no workflow works on. */
export type Leftover = Readonly<{
  kind: 'checkout' | 'refund' | 'webhook' | 'ledger';
  /** Order id, refund id, or `<provider>/<event id>`. */
  id: string;
  /** Null for a webhook: which order it is about, only its workflow finds out. */
  orderId: string | null;
  /** What is unfinished, in words, one per source that named it. */
  found: readonly string[];
  /** The workflow that puts it right. */
  action: 'repair' | 'refund' | 'webhook';
}>;

/**
 * `FOUND`: a dry run. `REPAIRED`: its workflow has ended. `RUNNING`: its workflow did not end while it was waited for;
 * it goes on, or is parked. `FAILED`: its workflow failed. `LEFT`: not started in time, or it did not help.
 */
export type ReconcileOutcome = 'FOUND' | 'REPAIRED' | 'RUNNING' | 'FAILED' | 'LEFT';

/** `detail` is what its workflow came to, or why it did not; null where there is nothing to add. */
export type ReconcileRow = Leftover & Readonly<{ result: ReconcileOutcome; detail: string | null }>;

/** Result of the workflow `reconcile`. */
export type ReconcileResult = Readonly<{
  apply: boolean;
  rows: readonly ReconcileRow[];
  /** Where the next run goes on, since one takes on so much; null when every source was looked through to its end. */
  next: ReconcilePosition | null;
  /** Sources that could not be asked, with why: what only they know of was not looked for. */
  unreachable: readonly Readonly<{ source: ReconcileSource; reason: string }>[];
}>;

/** How far a run of `reconcile` is. */
export type ReconcileProgress = Readonly<{ at: string; found: number; ended: number }>;

/** Result of the workflow `repair`: how the order stands now. `code` is why it was undone. */
export type RepairResult = Readonly<{ outcome: 'COMPLETED' } | { outcome: 'UNDONE'; code: ErrorCode }>;
