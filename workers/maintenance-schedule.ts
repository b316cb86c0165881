import type { Config } from '../infra/config.ts';
import type { WantedSchedule } from '../infra/temporal-schedule.ts';
import { MAINTENANCE_WORKFLOW, QUEUES } from '../workflows/contract.ts';

/** Longer than its own limits add up to: the inboxes, and after them the log. */
const RUN_TIMEOUT_MS = 7 * 60 * 60_000;

/** Takes away what is old, when few buy (docs/operations.md, "Upkeep"). */
export const maintenanceSchedule = ({ shopTimeZone }: Pick<Config, 'shopTimeZone'>): WantedSchedule => ({
  scheduleId: 'maintenance',
  when: { dailyAt: { hour: 3, minute: 40 }, timeZone: shopTimeZone },
  workflowType: MAINTENANCE_WORKFLOW,
  taskQueue: QUEUES.checkout,
  args: [{ dryRun: false }],
  runTimeoutMs: RUN_TIMEOUT_MS,
});
