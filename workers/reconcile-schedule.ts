import type { Config } from '../infra/config.ts';
import type { WantedSchedule } from '../infra/temporal-schedule.ts';
import { QUEUES, RECONCILE_WORKFLOW } from '../workflows/contract.ts';

/** Longer than its own limits add up to: two readings of the books in vain, two minutes of repairs, the books again. */
const RUN_TIMEOUT_MS = 45 * 60_000;
/** Far longer than the pause between two runs. What an outage of hours leaves, `npm run reconcile` finds. */
const WINDOW_MS = 60 * 60_000;

/** The reconciler, every few minutes (docs/operations.md, "Reconcile"). Temporal counts in whole seconds. */
export const reconcileSchedule = ({ reconcileIntervalMs }: Pick<Config, 'reconcileIntervalMs'>): WantedSchedule => ({
  scheduleId: 'reconcile',
  when: { everyMs: Math.max(1, Math.round(reconcileIntervalMs / 1_000)) * 1_000 },
  workflowType: RECONCILE_WORKFLOW,
  taskQueue: QUEUES.checkout,
  args: [{ apply: true, windowMs: Math.max(WINDOW_MS, 2 * reconcileIntervalMs), goOn: true }],
  runTimeoutMs: RUN_TIMEOUT_MS,
});
