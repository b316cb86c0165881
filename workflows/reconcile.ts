import { continueAsNew, setCurrentDetails, setHandler } from '@temporalio/workflow';

import {
  type Leftover,
  RECONCILE_SOURCES,
  type ReconcileInput,
  type ReconcilePosition,
  type ReconcileProgress,
  type ReconcileResult,
  type ReconcileRow,
} from '../domain/reconcile.ts';
import { progressQuery } from './contract.ts';
import { putRight } from './reconcile-apply.ts';
import { LEDGER_DIFFERS, searchLeftovers, stillDiffering } from './reconcile-search.ts';

const HOUR_MS = 60 * 60_000;
/** So many rows that need a person are named in Temporal Web. */
const MOST_NAMED = 20;

/**
 * Looks for what a terminated, lost or never-started workflow left behind, and has it put right, one workflow per order,
 * refund or webhook (docs/operations.md, "Reconcile"). What is still worked on after two minutes is reported as RUNNING
 * and goes on by itself. A source that cannot be asked is named in the result, and the others are gone through. A source
 * that is too long for one run is gone on with in the next.
 */
export async function reconcile(input: ReconcileInput): Promise<ReconcileResult> {
  const { apply, windowMs = HOUR_MS, from = EVERYWHERE, goOn = false } = input;
  let progress: ReconcileProgress = { at: 'looking for leftovers', found: 0, ended: 0 };
  setHandler(progressQuery, () => progress, { description: 'How far this run is' });

  const { leftovers, next, unreachable } = await searchLeftovers({ from, windowMs });
  progress = { at: 'putting right', found: leftovers.length, ended: 0 };
  const ended = (): void => void (progress = { ...progress, ended: progress.ended + 1 });
  const rows = apply ? await checked(await putRight(leftovers, ended), windowMs) : leftovers.map(asFound);

  const result = { apply, rows, next, unreachable };
  setCurrentDetails(detailsOf(result));
  if (goOn && next !== null) await continueAsNew<typeof reconcile>({ ...input, from: next });
  return result;
}

const asFound = (leftover: Leftover): ReconcileRow => ({ ...leftover, result: 'FOUND', detail: null });

const EVERYWHERE: ReconcilePosition = Object.fromEntries(RECONCILE_SOURCES.map((source) => [source, null]));

/** Whether a repair helped against a difference in the books, only the books can say. */
async function checked(rows: readonly ReconcileRow[], windowMs: number): Promise<ReconcileRow[]> {
  const orderIds = rows.filter(doubtful).flatMap(({ orderId }) => orderId ?? []);
  if (orderIds.length === 0) return [...rows];
  const differing = await stillDiffering(orderIds, windowMs);
  return rows.map((row): ReconcileRow => {
    if (!doubtful(row)) return row;
    if (differing === undefined) return { ...row, result: 'LEFT', detail: 'the books could not be looked at again' };
    if (row.orderId === null || !differing.has(row.orderId)) return row;
    return { ...row, result: 'LEFT', detail: 'the books still differ: a person must look' };
  });
}

const doubtful = ({ result, found }: ReconcileRow): boolean => result === 'REPAIRED' && found.includes(LEDGER_DIFFERS);

function detailsOf({ rows, next, unreachable }: ReconcileResult): string {
  const counts = new Map<string, number>();
  for (const { result } of rows) counts.set(result, (counts.get(result) ?? 0) + 1);
  const lines = [...counts].map(([result, count]) => `- ${result}: ${count}`);
  for (const { source, reason } of unreachable) lines.push(`- **${source} could not be asked**: ${reason}`);
  if (next !== null) lines.push('- there is more: the next run goes on');
  const unmended = rows.filter(({ result }) => result === 'FAILED' || result === 'LEFT');
  for (const { kind, id, result, detail } of unmended.slice(0, MOST_NAMED)) {
    lines.push(`- **${kind} ${id} ${result}**: ${detail ?? ''}`);
  }
  return ['### Reconciled', ...(lines.length > 0 ? lines : ['- nothing to do'])].join('\n');
}
