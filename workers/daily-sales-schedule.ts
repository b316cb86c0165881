import type { Config } from '../infra/config.ts';
import type { WantedSchedule } from '../infra/temporal-schedule.ts';
import { DAILY_SALES_WORKFLOW, QUEUES } from '../workflows/contract.ts';

/** Today included. What is older is looked at by `npm run sales:recompute`. */
const DAYS = 7;
/** Before the next run is due. It is that long only where the database is away. */
const RUN_TIMEOUT_MS = 20 * 3_600_000;

/** Every night, when the shop is quiet and its day is over (docs/operations.md, "Daily sales"). */
export const dailySalesSchedule = ({ shopTimeZone }: Pick<Config, 'shopTimeZone'>): WantedSchedule => ({
  scheduleId: 'daily-sales',
  when: { dailyAt: { hour: 3, minute: 10 }, timeZone: shopTimeZone },
  workflowType: DAILY_SALES_WORKFLOW,
  taskQueue: QUEUES.checkout,
  args: [{ days: DAYS }],
  runTimeoutMs: RUN_TIMEOUT_MS,
});
