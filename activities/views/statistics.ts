import { ApplicationFailure } from '@temporalio/common';

import { type DayRange, daysIn, daysUpTo, MOST_DAYS, type SumDifference } from '../../domain/daily-sales.ts';

/** The last days of the shop, today included. */
export type FindSalesDifferencesInput = Readonly<{ days: number }>;

/** What was looked at, and what was found, as Temporal keeps it. */
export type SalesDifferences = DayRange &
  Readonly<{
    /** Days on which a sum is not what the orders come to, in order. */
    differing: readonly string[];
    /** Sums that are not right, of all days. */
    count: number;
    /** The first of them. */
    differences: readonly SumDifference[];
  }>;

export type StatisticsDeps = Readonly<{
  /** The day of the shop that it is now, such as `2026-11-22`. */
  today: () => Promise<string>;
  /** Reads alone. */
  compare: (day: string) => Promise<readonly SumDifference[]>;
  /** Makes a day right. @returns what was wrong then */
  repair: (day: string) => Promise<readonly SumDifference[]>;
  /** Says that it lives and where it is. */
  beat: (day: string) => void;
  /** Aborted when the activity is cancelled, or its worker ends. */
  signal: () => AbortSignal;
}>;

/** So many are kept in a history; a day more that is not right is counted. */
const MOST_KEPT = 300;

/** Batch statistics of the view `sales` (task queue `views`). */
export const statisticsActivities = ({ today, compare, repair, beat, signal }: StatisticsDeps) => ({
  /** Compares the sums of the last days with the orders of each. Changes nothing. */
  async findSalesDifferences({ days }: FindSalesDifferencesInput): Promise<SalesDifferences> {
    if (!Number.isInteger(days) || days < 1 || days > MOST_DAYS) {
      throw ApplicationFailure.nonRetryable(`days must be 1 to ${MOST_DAYS}, and not ${days}`, 'BadRange');
    }
    const range = daysUpTo(await today(), days);
    const differing: string[] = [];
    const differences: SumDifference[] = [];
    let count = 0;
    for (const day of daysIn(range)) {
      signal().throwIfAborted();
      beat(day);
      const found = await compare(day);
      if (found.length === 0) continue;
      differing.push(day);
      count += found.length;
      differences.push(...found.slice(0, MOST_KEPT - differences.length));
    }
    return { ...range, differing, count, differences };
  },

  /**
   * Makes the sums of a day what its orders come to. Repeat-safe: an attempt whose answer was lost leaves nothing to do.
   *
   * @returns how many sums it put right
   */
  async repairSalesDay({ day }: Readonly<{ day: string }>): Promise<number> {
    return (await repair(day)).length;
  },
});

export type StatisticsActivities = ReturnType<typeof statisticsActivities>;
