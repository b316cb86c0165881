import type { ErrorCode } from '../../domain/errors.ts';
import type { Run } from '../support/bench-run.ts';
import { isDown, PAYMENT_ID, refuses, type Script } from '../support/fake-services.ts';
import type { WorkflowBench } from '../support/workflow-bench.ts';
import type { Checkout } from './real-cases.ts';

type FakeCase = Readonly<{
  script: Script;
  ends: ErrorCode | 'COMPLETED';
  /** What somebody does while it runs. */
  meanwhile?: (run: Run) => Promise<unknown>;
}>;

/**
 * Checkouts whose Temporal and workflow are real and whose services are fakes: real ones would have to be down for minutes
 * at the right moment, or to refuse what they never refuse. A history has commands and answers, and these are the same.
 */
export const FAKE_CASES = {
  /** Takes the two minutes that a step before the pivot is tried for. */
  'outage-undone': { script: { createOrder: isDown }, ends: 'CHECKOUT_FAILED' },
  /** The same two minutes, but the money was taken although nobody answered: the saga goes forward. */
  'captured-after-all': {
    script: {
      capturePayment: isDown,
      abandonPayment: () => ({ outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID }),
    },
    ends: 'COMPLETED',
  },
  'parked-retried': {
    script: { commitStock: (_input, call) => (call === 1 ? refuses('CHECKOUT_ABANDONED')() : undefined) },
    ends: 'COMPLETED',
    meanwhile: async (run) => {
      await run.statusWhen(({ parked }) => parked.some(({ step }) => step === 'commitStock'));
      await run.resolve('retry');
    },
  },
} as const satisfies Readonly<Record<string, FakeCase>>;
export type FakeCaseName = keyof typeof FAKE_CASES;

/** Starts the checkout of a case, and what happens meanwhile. @returns the checkout, which ends by itself */
export async function playFake(name: FakeCaseName, bench: WorkflowBench): Promise<Checkout> {
  const { script, meanwhile }: FakeCase = FAKE_CASES[name];
  const run = await bench.start(script);
  await meanwhile?.(run);
  return run.handle;
}
