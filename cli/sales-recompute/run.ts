import { type DayRange, daysIn, type SumDifference } from '../../domain/daily-sales.ts';
import type { Databases } from '../../infra/databases.ts';
import { compareDay, repairDay } from '../../projections/daily-sums.ts';
import { patiently } from '../../projections/rebuild-past.ts';

export type RecomputeOptions = Readonly<{
  /** Compare alone. */
  dryRun: boolean;
  signal: AbortSignal;
  /** Told how far it is. */
  onDay: (what: string) => void;
  /** Told of the sums of a day that differed. */
  onDifferences: (differences: readonly SumDifference[]) => void;
}>;

export type Recomputed = DayRange & Readonly<{ dryRun: boolean; days: number; differences: readonly SumDifference[] }>;

/** An exchange of the tables by a rebuild, or a batch of the projection, is waited for. */
const ATTEMPTS = 4;

/**
 * Compares the sums of every day with what its orders come to and repairs them, a day at a time. Repeat-safe.
 *
 * @throws what the signal says, and what a database throws for seconds
 */
export async function recomputeSales(
  views: Databases['views'],
  range: DayRange,
  { dryRun, signal, onDay, onDifferences }: RecomputeOptions,
): Promise<Recomputed> {
  const days = daysIn(range);
  const differences: SumDifference[] = [];
  for (const [index, day] of days.entries()) {
    onDay(`${day}, day ${index + 1} of ${days.length}, ${differences.length} sums differed`);
    let found = await patiently(signal, () => compareDay(views, day), ATTEMPTS);
    // Under the locks the day is looked at once more, and what it had then is what is told.
    if (found.length > 0 && !dryRun) found = await patiently(signal, () => repairDay(views, day), ATTEMPTS);
    if (found.length > 0) onDifferences(found);
    differences.push(...found);
  }
  return { ...range, dryRun, days: days.length, differences };
}
