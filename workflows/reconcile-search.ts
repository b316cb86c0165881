import { ActivityFailure, sleep } from '@temporalio/workflow';

import { type Leftover, RECONCILE_SOURCES, type ReconcileResult, type ReconcileSource } from '../domain/reconcile.ts';
import { checkoutWorkflowId, refundWorkflowId, repairWorkflowId, webhookWorkflowId } from '../domain/workflow-ids.ts';
import { reasonOf } from './failures.ts';
import { searching } from './services.ts';

/** One run takes on so many, so that its history and its result stay small; the next run goes on. */
const MOST_LEFTOVERS = 500;
/** One answer of a service, and one question to Temporal. */
const PAGE = 250;
/** So many pages of each source are looked through: most of what is open is worked on by a live workflow. */
const MOST_PAGES = 80;
const DAY_MS = 24 * 60 * 60_000;
/** The gateway's books are compared with the payments for what moved within this time. */
const LEDGER_WINDOW_MS = 7 * DAY_MS;
/** A refund is in the gateway's books a moment before it is in ours. */
const SECOND_LOOK_AFTER_MS = 2_000;

/** What is `found` where a payment is not what the gateway's books say. */
export const LEDGER_DIFFERS = 'gateway ledger differs';

/** A leftover if none of these workflows runs. */
type Suspect = Leftover & Readonly<{ workers: readonly string[] }>;
type Suspects = Readonly<{ items: readonly Suspect[]; next: string | null }>;
type Searched = Readonly<{ leftovers: readonly Leftover[]; busyOrders: readonly string[]; more: boolean }>;
type Unreachable = ReconcileResult['unreachable'][number];

export type Search = Readonly<{ leftovers: readonly Leftover[] }> & Pick<ReconcileResult, 'more' | 'unreachable'>;

/** Asks all sources at once: several that are down cost one time limit, not the sum. */
export async function searchLeftovers(): Promise<Search> {
  const answers = await Promise.all(
    RECONCILE_SOURCES.map(async (source): Promise<Searched | Unreachable> => {
      try {
        return await searchSource(source);
      } catch (error) {
        if (!(error instanceof ActivityFailure)) throw error;
        return { source, reason: reasonOf(error).slice(0, 300) };
      }
    }),
  );
  const searched = answers.filter((answer): answer is Searched => !('reason' in answer));
  const busy = new Set(searched.flatMap(({ busyOrders }) => busyOrders));
  const leftovers = merged(searched.flatMap((one) => one.leftovers)).filter(
    // Money of a refund under way is in one of the two books already.
    ({ kind, orderId }) => kind !== 'ledger' || orderId === null || !busy.has(orderId),
  );
  return {
    leftovers: leftovers.slice(0, MOST_LEFTOVERS),
    more: leftovers.length > MOST_LEFTOVERS || searched.some(({ more }) => more),
    unreachable: answers.filter((answer): answer is Unreachable => 'reason' in answer),
  };
}

/** Orders whose payment is not what the gateway's books say; undefined when they cannot be compared. */
export async function ledgerDifferences(): Promise<ReadonlySet<string> | undefined> {
  try {
    const items = await searching.payments.findLedgerDifferences({ sinceMs: LEDGER_WINDOW_MS });
    return new Set(items.map(({ orderId }) => orderId));
  } catch (error) {
    if (error instanceof ActivityFailure) return undefined;
    throw error;
  }
}

async function searchSource(source: ReconcileSource): Promise<Searched> {
  const leftovers: Leftover[] = [];
  const busyOrders: string[] = [];
  let after: string | null = null;
  for (let page = 1; ; page += 1) {
    const { items, next }: Suspects = await FIND[source](after);
    const idle = new Set(await idleAmong(items));
    if (source === 'refunds') busyOrders.push(...items.flatMap((one) => (idle.has(one) ? [] : (one.orderId ?? []))));
    if (idle.size > 0) leftovers.push(...(await stillThere(source, after, [...idle])));
    if (next === null) return { leftovers, busyOrders, more: false };
    if (leftovers.length >= MOST_LEFTOVERS || page >= MOST_PAGES) return { leftovers, busyOrders, more: true };
    after = next;
  }
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
  after: string | null,
  idle: readonly Suspect[],
): Promise<Leftover[]> {
  if (source === 'ledger') await sleep(SECOND_LOOK_AFTER_MS);
  const ids = new Set((await FIND[source](after)).items.map(({ id }) => id));
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

const FIND: Readonly<Record<ReconcileSource, (after: string | null) => Promise<Suspects>>> = {
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
  ledger: async () => {
    const items = await searching.payments.findLedgerDifferences({ sinceMs: LEDGER_WINDOW_MS });
    return pageOf({ items, next: null }, ordersOf(LEDGER_DIFFERS, 'ledger'));
  },
};
