import assert from 'node:assert/strict';

import { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';

import type { BeginRefundInput } from '../../activities/payments/contract.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { holdLock } from '../support/locks.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { moneyOf, paymentOf } from '../support/payments.ts';
import { openRefunds, refundInput, type RefundService, refundsOf, returned } from '../support/refunds.ts';

/** The code of a refusal; anything else fails the test. */
function codeOf(error: unknown): string {
  if (error instanceof ApplicationFailure && error.nonRetryable === true) return error.type ?? '';
  throw error;
}

describe('refunds of one payment beside each other', function () {
  this.timeout(120_000);
  let shop: RefundService;
  let orderId: string;

  before(async () => {
    shop = await openRefunds();
  });
  after(() => shop.close());
  beforeEach(async () => {
    orderId = await shop.paidOrder();
  });
  afterEach(async () => {
    await shop.letGo();
    await assertOutboxIsSound(shop.adminUrl);
  });

  /** What the gateway's books say went back, minor units. */
  const gaveBack = async (): Promise<number> => {
    const entries = await moneyOf(shop, orderId);
    return entries.filter(({ type }) => type === 'REFUND').reduce((sum, { minor }) => sum + minor, 0);
  };
  /** The end of a whole refund: a refusal is its code. */
  const endOf = (input: BeginRefundInput): Promise<string> => shop.refundWhole(input).catch(codeOf);

  it('give back the capture at most when twenty at once ask for twice as much', async () => {
    // Ten of them fill the capture exactly, so that none may be lost either.
    const inputs = Array.from({ length: 20 }, () => refundInput(orderId, { minor: 3_900 }));
    const ends = await Promise.all(inputs.map(endOf));
    assert.equal(ends.filter((end) => end === 'SUCCEEDED').length, 10);
    assert.equal(ends.filter((end) => end === 'REFUND_EXCEEDS_CAPTURE').length, 10);

    assert.equal(await gaveBack(), 39_000);
    const payment = await paymentOf(shop, orderId);
    assert.deepEqual([payment?.['status'], payment?.['refunded'], payment?.['version']], ['REFUNDED', 39_000, 12]);
    const told = (await eventsOf(shop.adminUrl, orderId)).filter(({ type }) => type === 'PaymentRefunded');
    assert.deepEqual(
      told.map(({ data }) => data['refundedMinor']),
      Array.from({ length: 10 }, (_, index) => 3_900 * (index + 1)),
    );
    assert.deepEqual(await Promise.all(inputs.map(endOf)), ends);
    assert.equal(await gaveBack(), 39_000);
  });

  it('return a unit once when two return the last one of a line at the same time', async () => {
    for (let round = 0; round < 10; round++) {
      orderId = await shop.paidOrder();
      const inputs = [1, 2].map(() => refundInput(orderId, { minor: 1_000, lines: [returned(1, 2, true)] }));
      const ends = await Promise.all(inputs.map(endOf));
      assert.deepEqual([...ends].sort(), ['REFUND_QUANTITY_EXCEEDED', 'SUCCEEDED']);
      assert.equal(await gaveBack(), 1_000);
      assert.equal((await refundsOf(shop, orderId)).length, 1);
    }
  });

  it('wait for each other at their decision row: two live copies of each step do it once', async () => {
    const input = refundInput(orderId, { minor: 9_000, lines: [returned(1, 1)] });
    const ref = { refundId: input.refundId };
    const lock = await holdLock(shop.adminUrl, 'select 1 from payment_marks where order_id = $1 for update', [orderId]);
    const begins = [shop.refunds.beginRefund(input), shop.refunds.beginRefund(input)];
    try {
      await lock.untilWaiting(2);
    } finally {
      await lock.release();
    }
    const [first, second] = await Promise.all(begins);
    assert.deepEqual(first, second);

    const asked = await Promise.allSettled([1, 2, 3].map(() => shop.refunds.refundAtGateway(ref)));
    for (const end of asked) {
      if (end.status === 'rejected') assert.ok(end.reason instanceof GatewayOutage, String(end.reason));
    }
    const ending = await shop.refunds.refundAtGateway(ref);
    await Promise.all([1, 2, 3].map(() => shop.refunds.finishRefund({ ...ref, ...ending })));
    assert.equal(await gaveBack(), 9_000);
    assert.equal((await refundsOf(shop, orderId)).length, 1);
    const payment = await paymentOf(shop, orderId);
    assert.deepEqual([payment?.['refunded'], payment?.['version']], [9_000, 3]);
  });

  it('never pass what was taken or ordered, and agree with the gateway, in any order and with any repeats', async () => {
    const refunds = fc.array(
      fc.record({
        minor: fc.option(fc.integer({ min: 0, max: 25_000 })),
        units: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }),
        refused: fc.boolean(),
      }),
      { minLength: 1, maxLength: 5 },
    );
    /** Which refund makes its next step, or its last one again: a step comes twice, late, or never. */
    const turns = fc.array(fc.record({ refund: fc.nat({ max: 4 }), again: fc.boolean() }), { maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(refunds, turns, async (asked, order) => {
        orderId = await shop.paidOrder();
        const runs = asked.map(({ minor, units, refused }) => {
          const lines = units.flatMap((quantity, index) => (quantity > 0 ? [returned(index + 1, quantity)] : []));
          return stepsOf(refundInput(orderId, { minor, lines }), refused);
        });
        for (const { refund, again } of order) await runs[refund % runs.length]?.(again);
        await assertBounded();
        // Whatever is open is finished, as a workflow or the reconciler would.
        for (const run of runs) for (let step = 0; step < 3; step++) await run(false);
        await assertBounded();
        const rows = await refundsOf(shop, orderId);
        assert.ok(rows.every(({ finished }) => finished));
        const succeeded = rows.filter(({ status }) => status === 'SUCCEEDED');
        const sum = succeeded.reduce((total, row) => total + Number(row['minor']), 0);
        assert.deepEqual([(await paymentOf(shop, orderId))?.['refunded'], await gaveBack()], [sum, sum]);
      }),
      { numRuns: 15 },
    );
  });

  /** The next step of a refund on each call, or the one before again. After the last it repeats that one. */
  function stepsOf(input: BeginRefundInput, refused: boolean): (again: boolean) => Promise<void> {
    const { refundId } = input;
    let step = 0;
    let ending: Awaited<ReturnType<typeof shop.refunds.refundAtGateway>> | undefined;
    const steps = [
      async () => {
        await shop.refunds.beginRefund(input);
      },
      async () => {
        if (refused && ending === undefined) await shop.script({ route: 'refund', kind: 'refuse', orderId });
        ending = await shop.refunds.refundAtGateway({ refundId });
      },
      async () => ending && shop.refunds.finishRefund({ refundId, ...ending }),
    ];
    return async (again) => {
      if (again) return step === 0 ? undefined : steps[step - 1]?.();
      try {
        await steps[step]?.();
        step = Math.min(step + 1, 2);
      } catch (error) {
        const code = codeOf(error);
        assert.match(code, /^(REFUND_EXCEEDS_CAPTURE|REFUND_QUANTITY_EXCEEDED|AMOUNT_OUT_OF_RANGE)$/);
        assert.equal(step, 0, 'only the first step may refuse');
      }
    };
  }

  async function assertBounded(): Promise<void> {
    const rows = (await refundsOf(shop, orderId)).filter(({ status }) => status !== 'FAILED');
    const units = new Map<number, number>();
    for (const [lineNo, quantity] of rows.flatMap((row) => row['lines'] as [number, number][])) {
      units.set(lineNo, (units.get(lineNo) ?? 0) + quantity);
    }
    assert.ok(rows.reduce((total, row) => total + Number(row['minor']), 0) <= 39_000);
    assert.ok([...units.values()].every((quantity) => quantity <= 3));
    assert.ok((await gaveBack()) <= 39_000);
  }
});
