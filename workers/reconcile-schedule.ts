import type { Config } from '../infra/config.ts';
import type { WantedSchedule } from '../infra/temporal-schedule.ts';
import { QUEUES, RECONCILE_WORKFLOW } from '../workflows/contract.ts';

/** Longer than its own limits add up to: two minutes for a search in vain, again for the books, two for the repairs. */
const RUN_TIMEOUT_MS = 15 * 60_000;

/** The reconciler, every few minutes (docs/operations.md, "Reconcile"). Temporal counts in whole seconds. */
export const reconcileSchedule = ({ reconcileIntervalMs }: Pick<Config, 'reconcileIntervalMs'>): WantedSchedule => ({
  scheduleId: 'reconcile',
  everyMs: Math.max(1, Math.round(reconcileIntervalMs / 1_000)) * 1_000,
  workflowType: RECONCILE_WORKFLOW,
  taskQueue: QUEUES.checkout,
  args: [{ apply: true }],
  runTimeoutMs: RUN_TIMEOUT_MS,
});
