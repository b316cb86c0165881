import type { Context, Runnable, Suite } from 'mocha';

/**
 * Skips the running test, or all tests of a suite from its `before` hook. The run lists the test with its reason; a
 * skip without one (`it.skip`, `this.skip()`) fails the run.
 */
export function skipBecause(context: Context, reason: string): never {
  const runnable = context.runnable();
  const target: (Runnable | Suite) & { skipReason?: string } =
    'type' in runnable && runnable.type === 'hook' ? (runnable.parent ?? runnable) : runnable;
  target.skipReason = reason;
  return context.skip();
}
