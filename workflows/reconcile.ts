import { setCurrentDetails, setHandler } from '@temporalio/workflow';

import type {
  Leftover,
  ReconcileInput,
  ReconcileProgress,
  ReconcileResult,
  ReconcileRow,
} from '../domain/reconcile.ts';
import { progressQuery } from './contract.ts';
import { putRight } from './reconcile-apply.ts';
import { LEDGER_DIFFERS, ledgerDifferences, searchLeftovers } from './reconcile-search.ts';

/**
 * Looks for what a terminated, lost or never-started workflow left behind, and has it put right, one workflow per order,
 * refund or webhook (docs/operations.md, "Reconcile"). What is still worked on after two minutes is reported as RUNNING
 * and goes on by itself. A source that cannot be asked is named in the result, and the others are gone through.
 */
export async function reconcile({ apply }: ReconcileInput): Promise<ReconcileResult> {
  let progress: ReconcileProgress = { at: 'looking for leftovers', found: 0, ended: 0 };
  setHandler(progressQuery, () => progress, { description: 'How far this run is' });

  const { leftovers, more, unreachable } = await searchLeftovers();
  progress = { at: 'putting right', found: leftovers.length, ended: 0 };
  const ended = (): void => void (progress = { ...progress, ended: progress.ended + 1 });
  const rows = apply ? await checked(await putRight(leftovers, ended)) : leftovers.map(asFound);

  const result = { apply, rows, more, unreachable };
  setCurrentDetails(detailsOf(result));
  return result;
}

const asFound = (leftover: Leftover): ReconcileRow => ({ ...leftover, result: 'FOUND', detail: null });

/** Whether a repair helped against a difference in the books, only the books can say. */
async function checked(rows: readonly ReconcileRow[]): Promise<ReconcileRow[]> {
  if (!rows.some(doubtful)) return [...rows];
  const differing = await ledgerDifferences();
  return rows.map((row): ReconcileRow => {
    if (!doubtful(row)) return row;
    if (differing === undefined) return { ...row, result: 'LEFT', detail: 'the books could not be looked at again' };
    if (row.orderId === null || !differing.has(row.orderId)) return row;
    return { ...row, result: 'LEFT', detail: 'the books still differ: a person must look' };
  });
}

const doubtful = ({ result, found }: ReconcileRow): boolean => result === 'REPAIRED' && found.includes(LEDGER_DIFFERS);

function detailsOf({ rows, more, unreachable }: ReconcileResult): string {
  const counts = new Map<string, number>();
  for (const { result } of rows) counts.set(result, (counts.get(result) ?? 0) + 1);
  const lines = [...counts].map(([result, count]) => `- ${result}: ${count}`);
  for (const { source, reason } of unreachable) lines.push(`- **${source} could not be asked**: ${reason}`);
  if (more) lines.push('- there is more: the next run goes on');
  return ['### Reconciled', ...(lines.length > 0 ? lines : ['- nothing to do'])].join('\n');
}
