import assert from 'node:assert/strict';

import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';

import { withRefusals } from '../../activities/refusals.ts';
import { CheckoutError } from '../../domain/errors.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';

/** What Temporal hears when a step throws this. */
async function reported(error: Error): Promise<unknown> {
  const { step } = withRefusals({ step: () => Promise.reject(error) });
  return step().then(
    () => assert.fail('it did not fail'),
    (reason: unknown) => reason,
  );
}

describe('the border between activities and Temporal', () => {
  it('reports a refusal by its code, for good, and as no reason for alarm', async () => {
    const failure = await reported(new CheckoutError('OUT_OF_STOCK', 'none left', [{ lineNo: 1 }]));
    assert.ok(failure instanceof ApplicationFailure);
    assert.deepEqual(
      [failure.type, failure.message, failure.details, failure.nonRetryable, failure.category],
      ['OUT_OF_STOCK', 'none left', [[{ lineNo: 1 }]], true, ApplicationFailureCategory.BENIGN],
    );
  });

  it('leaves an outage as the driver reported it, so that it is tried again', async () => {
    const outage = new GatewayOutage('gateway confirm: HTTP 500');
    assert.equal(await reported(outage), outage);
  });

  it('comes back when the gateway asked for it, but never later than in a minute', async () => {
    for (const [asked, delay] of [
      [3_000, 3_000],
      [3_600_000, 60_000],
    ] as const) {
      const failure = await reported(new GatewayOutage('gateway confirm: HTTP 429', { retryAfterMs: asked }));
      assert.ok(failure instanceof ApplicationFailure);
      assert.deepEqual([failure.nextRetryDelay, failure.nonRetryable], [delay, false]);
    }
  });
});
