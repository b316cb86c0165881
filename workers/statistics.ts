import { cancellationSignal, heartbeat } from '@temporalio/activity';

import { type StatisticsActivities, statisticsActivities } from '../activities/views/statistics.ts';
import type { Config } from '../infra/config.ts';
import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { compareDay, repairDay, shopToday } from '../projections/daily-sums.ts';

/** The batch statistics on their database. What was wrong is in the log, whoever finds it. */
export const openStatistics = (
  { shopTimeZone }: Pick<Config, 'shopTimeZone'>,
  views: Databases['views'],
  log: Logger,
): StatisticsActivities =>
  statisticsActivities({
    today: () => shopToday(views, shopTimeZone),
    compare: (day) => compareDay(views, day),
    async repair(day) {
      const differences = await repairDay(views, day);
      if (differences.length > 0)
        log.warn({ day, differences }, 'daily sales were not what the orders come to: repaired');
      return differences;
    },
    beat: (day) => heartbeat(day),
    signal: cancellationSignal,
  });
