import { setCurrentDetails } from '@temporalio/workflow';

import type { FindSalesDifferencesInput, SalesDifferences } from '../activities/views/statistics.ts';
import type { SumDifference } from '../domain/daily-sales.ts';
import { recomputing } from './services.ts';

/** `repaired` counts sums: fewer than were found where the projection came to the day first. */
export type DailySalesResult = SalesDifferences & Readonly<{ repaired: number }>;

/** So many are named in Temporal Web; the result has more. */
const MOST_NAMED = 20;

/**
 * Recomputes the sums of the last days from the orders of each, and repairs those that differ, a day at a time
 * (docs/operations.md, "Daily sales"). What was wrong is on record before anything is changed.
 */
export async function dailySales(input: FindSalesDifferencesInput): Promise<DailySalesResult> {
  const found = await recomputing.findSalesDifferences(input);
  let repaired = 0;
  for (const day of found.differing) {
    const summary = `Sums of ${day}`;
    repaired += await recomputing.repairSalesDay.executeWithOptions({ summary }, [{ day }]);
  }

  const result = { ...found, repaired };
  setCurrentDetails(detailsOf(result));
  return result;
}

function detailsOf({ from, to, count, differing, differences, repaired }: DailySalesResult): string {
  const title = `### Daily sales, ${from} to ${to}`;
  if (count === 0) return `${title}\n- every sum is what its orders come to`;
  const named = differences.slice(0, MOST_NAMED);
  return [
    title,
    `- **${count} sums of ${differing.length} days were wrong**, ${repaired} were put right`,
    ...named.map(lineOf),
    ...(count > named.length ? [`- … and ${count - named.length} more`] : []),
  ].join('\n');
}

const lineOf = ({ day, currency, column, was, is }: SumDifference): string =>
  `- ${day} ${currency} ${column}: was ${was ?? 'missing'}, is ${is ?? 'gone'}`;
