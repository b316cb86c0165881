import { ActivityFailure, sleep } from '@temporalio/workflow';

import {
  type Leftover,
  RECONCILE_SOURCES,
  type ReconcilePosition,
  type ReconcileResult,
  type ReconcileSource,
} from '../domain/reconcile.ts';
import { checkoutWorkflowId, refundWorkflowId, repairWorkflowId, webhookWorkflowId } from '../domain/workflow-ids.ts';
import { reasonOf } from './failures.ts';
import { readingBooks, searching } from './services.ts';

/** One run takes on so many, so that its history and its result stay small; the next run goes on. */
const MOST_LEFTOVERS = 500;
/** One answer of a service, and one question to Temporal. */
const PAGE = 250;
/** So many pages of each source are looked through: most of what is open is worked on by a live workflow. */
const MOST_PAGES = 80;
/** Each page of differences reads the books again, so one is as long as what a run takes on. */
const LEDGER_PAGE = MOST_LEFTOVERS;
/** Nearly all of it is as it should be: rows that are only asked about. */
const MONEY_PAGE = 1_000;
/** A refund is in the gateway's books a moment before it is in ours. */
const SECOND_LOOK_AFTER_MS = 2_000;

/** What is `found` where money is kept for a closed order, or was given back and the order's history does not say so. */
const NOT_TOLD = 'order not told of its money';
/** What is `found` where a payment is not what the gateway's books say. */
export const LEDGER_DIFFERS = 'gateway ledger differs';

/** A leftover if none of these workflows runs. */
type Suspect = Leftover & Readonly<{ workers: readonly string[] }>;
type Suspects = Readonly<{ items: readonly Suspect[]; next: string | null }>;
/** `next`: undefined at the end of the source. */
type Searched = Readonly<{
  source: ReconcileSource;
  leftovers: readonly Leftover[];
  busyOrders: readonly string[];
  next?: string | null;
}>;
type Unreachable = ReconcileResult['unreachable'][number];

/** What one search is about: the sources with where each begins, and how far back money is looked at, milliseconds. */
export type SearchPlan = Readonly<{ from: ReconcilePosition; windowMs: number }>;
export type Search = Readonly<{ leftovers: readonly Leftover[] }> & Pick<ReconcileResult, 'next' | 'unreachable'>;

/** Asks all sources at once: several that are down cost one time limit, not the sum. */
export async function searchLeftovers({ from, windowMs }: SearchPlan): Promise<Search> {
  const takes = budgetOf(MOST_LEFTOVERS);
  const answers = await Promise.all(
    RECONCILE_SOURCES.filter((source) => source in from).map(async (source): Promise<Searched | Unreachable> => {
      try {
        return await searchSource(source, { after: from[source] ?? null, windowMs, takes });
      } catch (error) {
        if (!(error instanceof ActivityFailure)) throw error;
        return { source, reason: reasonOf(error).slice(0, 300) };
      }
    }),
  );
  const searched = answers.filter((answer): answer is Searched => !('reason' in answer));
  const busy = new Set(searched.flatMap(({ busyOrders }) => busyOrders));
  const next = searched.flatMap((one) => (one.next === undefined ? [] : [[one.source, one.next] as const]));
  const leftovers = merged(searched.flatMap((one) => one.leftovers)).filter(
    // Money of a refund under way is in one of the two books already.
    ({ kind, orderId }) => kind !== 'ledger' || orderId === null || !busy.has(orderId),
  );
  return {
    leftovers,
    next: next.length > 0 ? Object.fromEntries(next) : null,
    unreachable: answers.filter((answer): answer is Unreachable => 'reason' in answer),
  };
}

/** Which of these orders have a payment that is not what the books say; undefined when they cannot be compared. */
export async function stillDiffering(
  orderIds: readonly string[],
  windowMs: number,
): Promise<ReadonlySet<string> | undefined> {
  const differing = new Set<string>();
  const last = orderIds.toSorted().at(-1) ?? '';
  try {
    for (let after: string | null = ''; after !== null && after < last;) {
      const { items, next }: Suspects = await FIND.ledger(after === '' ? null : after, windowMs);
      for (const { id } of items) differing.add(id);
      after = next;
    }
    return differing;
  } catch (error) {
    if (error instanceof ActivityFailure) return undefined;
    throw error;
  }
}

/** A page that does not fit any more is left to the next run as a whole, so no leftover is passed over; one always fits. */
const budgetOf = (most: number) => {
  let taken = 0;
  return (count: number): boolean => {
    if (taken > 0 && taken + count > most) return false;
    taken += count;
    return true;
  };
};

type SourceSearch = Readonly<{ after: string | null; windowMs: number; takes: (count: number) => boolean }>;

async function searchSource(source: ReconcileSource, search: SourceSearch): Promise<Searched> {
  const { windowMs, takes } = search;
  const leftovers: Leftover[] = [];
  const busyOrders: string[] = [];
  let after = search.after;
  for (let page = 1; page <= MOST_PAGES; page += 1) {
    const { items, next }: Suspects = await FIND[source](after, windowMs);
    const idle = new Set(await idleAmong(items));
    if (source === 'refunds') busyOrders.push(...items.flatMap((one) => (idle.has(one) ? [] : (one.orderId ?? []))));
    const left = idle.size === 0 ? [] : await stillThere(source, { after, windowMs }, [...idle]);
    if (!takes(left.length)) break;
    leftovers.push(...left);
    if (next === null) return { source, leftovers, busyOrders };
    after = next;
  }
  return { source, leftovers, busyOrders, next: after };
}

/** Those at which nobody works. Temporal is asked by workflow id: an age proves nothing, and visibility lags. */
async function idleAmong(suspects: readonly Suspect[]): Promise<Suspect[]> {
  if (suspects.length === 0) return [];
  const workflowIds = [...new Set(suspects.flatMap(({ workers }) => workers))];
  const notRunning = new Set(await searching.sagas.findNotRunning({ workflowIds }));
  return suspects.filter(({ workers }) => workers.every((workflowId) => notRunning.has(workflowId)));
}

/** A workflow that ended between the two questions has left nothing: what it left is still there now. */
async function stillThere(
  source: ReconcileSource,
  { after, windowMs }: Omit<SourceSearch, 'takes'>,
  idle: readonly Suspect[],
): Promise<Leftover[]> {
  if (source === 'ledger') await sleep(SECOND_LOOK_AFTER_MS);
  const ids = new Set((await FIND[source](after, windowMs)).items.map(({ id }) => id));
  return idle
    .filter(({ id }) => ids.has(id))
    .map(({ kind, id, orderId, found, action }) => ({ kind, id, orderId, found, action }));
}

/** One row per order, refund and webhook. Other books are a row of their own only where nothing else explains them. */
function merged(leftovers: readonly Leftover[]): Leftover[] {
  const rows = new Map<string, Leftover>();
  const explained = new Map<string, string>();
  for (const leftover of leftovers) {
    const { kind, id, orderId, action, found } = leftover;
    const own = `${action} ${id}`;
    const key = kind === 'ledger' ? (explained.get(id) ?? own) : own;
    const row = rows.get(key);
    rows.set(key, row === undefined ? leftover : { ...row, found: [...new Set([...row.found, ...found])] });
    if (orderId !== null) explained.set(orderId, key);
  }
  return [...rows.values()];
}

const ordersOf =
  (found: string, kind: 'checkout' | 'ledger' = 'checkout') =>
  ({ orderId }: Readonly<{ orderId: string }>): Suspect => ({
    kind,
    id: orderId,
    orderId,
    found: [found],
    action: 'repair',
    workers: [checkoutWorkflowId(orderId), repairWorkflowId(orderId)],
  });

const pageOf = <T>(
  { items, next }: Readonly<{ items: readonly T[]; next: string | null }>,
  suspectOf: (item: T) => Suspect,
): Suspects => ({ items: items.map(suspectOf), next });

type Find = (after: string | null, windowMs: number) => Promise<Suspects>;

const FIND: Readonly<Record<ReconcileSource, Find>> = {
  stock: async (after) =>
    pageOf(await searching.inventory.findReservedOrders({ after, limit: PAGE }), ordersOf('stock RESERVED')),
  orders: async (after) =>
    pageOf(await searching.orders.findPendingOrders({ after, limit: PAGE }), ordersOf('order PENDING')),
  payments: async (after) =>
    pageOf(await searching.payments.findOpenPayments({ after, limit: PAGE }), ordersOf('payment open')),
  refunds: async (after) =>
    pageOf(await searching.payments.findPendingRefunds({ after, limit: PAGE }), ({ refundId, orderId }) => ({
      kind: 'refund',
      id: refundId,
      orderId,
      found: ['refund PENDING'],
      action: 'refund',
      workers: [refundWorkflowId(refundId)],
    })),
  webhooks: async (after) =>
    pageOf(await searching.payments.findOpenWebhooks({ after, limit: PAGE }), ({ provider, eventId }) => ({
      kind: 'webhook',
      id: `${provider}/${eventId}`,
      orderId: null,
      found: ['webhook without outcome'],
      action: 'webhook',
      workers: [webhookWorkflowId(provider, eventId)],
    })),
  money: async (after, sinceMs) => {
    const { items, next } = await searching.payments.findMovedPayments({ after, limit: MONEY_PAGE, sinceMs });
    const untold = items.length === 0 ? [] : await searching.orders.findUnfinishedAmong({ payments: items });
    return pageOf({ items: untold.map((orderId) => ({ orderId })), next }, ordersOf(NOT_TOLD));
  },
  ledger: async (after, sinceMs) =>
    pageOf(
      await readingBooks.findLedgerDifferences({ after, limit: LEDGER_PAGE, sinceMs }),
      ordersOf(LEDGER_DIFFERS, 'ledger'),
    ),
};
