import assert from 'node:assert/strict';

import type { Run } from '../support/bench-run.ts';
import { Gate, PAYMENT_ID, refuses, type StepName } from '../support/fake-services.ts';
import { assertRefused } from '../support/refused-update.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

const DECLINED = { capturePayment: refuses('PAYMENT_DECLINED') } as const;
const REJECTED = { status: 'REJECTED', code: 'PAYMENT_DECLINED' };
const UNDOS = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'] as const;

/** The steps that are parked once this many are, with the search attribute that finds them. */
async function parkedSteps(run: Run, count: number): Promise<string[]> {
  const { status, parked } = await run.statusWhen((found) => found.parked.length === count);
  assert.equal(status, 'NEEDS_ATTENTION');
  assert.equal((await run.shown())['CheckoutStatus'], 'NEEDS_ATTENTION');
  return parked.map(({ step }) => step);
}

const timesCalled = (run: Run, step: StepName): number => run.calls.filter((call) => call.step === step).length;

describe('a checkout that needs a person', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  for (const undo of UNDOS) {
    it(`parks ${undo} when it is refused for good, runs the other undos, and ends when it is marked done`, async () => {
      const run = await bench.start({ ...DECLINED, [undo]: refuses('NOT_CANCELLABLE') });
      assert.deepEqual(await parkedSteps(run, 1), [undo]);
      // What is settled depends on what became of the payment.
      const others = undo === 'abandonPayment' ? UNDOS.slice(0, -1) : UNDOS;
      await run.statusWhen(() => others.every((name) => run.steps.includes(name)));
      const [parked] = (await run.status()).parked;
      assert.equal(parked?.reason, 'NOT_CANCELLABLE: refused with NOT_CANCELLABLE');
      assert.ok(Date.parse(parked.since) <= Date.now());

      assert.deepEqual(await run.resolve('markDone'), [undo]);
      assert.deepEqual(await run.result(), REJECTED);
      assert.deepEqual(
        run.calls.map((call) => call.step),
        ['reserveStock', 'createOrder', 'capturePayment', ...UNDOS],
      );
      const [kept, ...more] = run.resolutions as { resolutionId: string }[];
      assert.ok(kept?.resolutionId);
      const { orderId } = run;
      const decision = { steps: [undo], action: 'markDone', reason: 'looked at it', by: 'operator-7' };
      assert.deepEqual([kept, more], [{ orderId, resolutionId: kept.resolutionId, ...decision }, []]);
      assert.equal((await run.shown())['CheckoutStatus'], 'REJECTED');
      assert.deepEqual((await run.story()).slice(-4), [
        `${undo} is parked: NOT_CANCELLABLE: refused with NOT_CANCELLABLE`,
        'operator-7 resolved with markDone: looked at it',
        `${undo} goes on: markDone`,
        'REJECTED',
      ]);
    });
  }

  it('runs a parked undo again when it is told to retry', async () => {
    const run = await bench.start({
      ...DECLINED,
      settleWithGateway: (_input, call) =>
        call === 1 ? refuses('PAYMENT_AMOUNT_MISMATCH')() : { outcome: 'NOTHING_CHARGED' },
    });
    assert.deepEqual(await parkedSteps(run, 1), ['settleWithGateway']);
    assert.deepEqual(await run.resolve('retry'), ['settleWithGateway']);
    assert.deepEqual(await run.result(), REJECTED);
    assert.equal(timesCalled(run, 'settleWithGateway'), 2);
  });

  it('resolves all that is parked at once, and does not end before all of it has ended', async () => {
    const run = await bench.start({
      ...DECLINED,
      releaseStock: (_input, call) => (call === 1 ? refuses('NOT_CANCELLABLE')() : undefined),
      closeOrder: (_input, call) => (call < 3 ? refuses('NOT_CANCELLABLE')() : undefined),
    });
    assert.deepEqual(await parkedSteps(run, 2), ['releaseStock', 'closeOrder']);
    assert.deepEqual(await run.resolve('retry'), ['releaseStock', 'closeOrder']);
    await run.statusWhen(() => timesCalled(run, 'closeOrder') === 2);
    assert.deepEqual(await parkedSteps(run, 1), ['closeOrder']);
    assert.deepEqual(await run.resolve('retry'), ['closeOrder']);
    assert.deepEqual(await run.result(), REJECTED);
  });

  it('refunds a capture that a parked abandonPayment finds after the stock went back, and does not go forward', async () => {
    const settle = new Gate();
    const run = await bench.start({
      ...DECLINED,
      abandonPayment: (_input, call) =>
        call === 1 ? refuses('NOT_FOUND')() : { outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID },
      settleWithGateway: settle.before(() => ({
        outcome: 'REFUNDED',
        paymentId: PAYMENT_ID,
        amount: { minor: 4_500, currency: 'KRW' },
      })),
    });
    await run.statusWhen(() => timesCalled(run, 'closeOrder') === 1);
    assert.equal(timesCalled(run, 'settleWithGateway'), 0, 'nobody knows yet whether the money goes back');
    await run.resolve('retry');
    await settle.reached;
    assert.equal(timesCalled(run, 'abandonPayment'), 2);
    settle.open();
    assert.deepEqual(await run.result(), REJECTED);
    assert.deepEqual(run.steps, ['reserveStock', 'createOrder', 'capturePayment', ...UNDOS, 'recordSettlement']);
  });

  it('leaves the money of a paid order where it is, when its payment is known too late to go forward', async () => {
    const run = await bench.start({
      ...DECLINED,
      abandonPayment: (_input, call) =>
        call === 1 ? refuses('NOT_FOUND')() : { outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID },
      releaseStock: refuses('NOT_CANCELLABLE'),
      closeOrder: refuses('NOT_CANCELLABLE'),
    });
    assert.deepEqual(await parkedSteps(run, 3), ['abandonPayment', 'releaseStock', 'closeOrder']);
    await run.resolve('retry');
    await run.statusWhen(() => timesCalled(run, 'closeOrder') === 2);
    assert.deepEqual((await parkedSteps(run, 2)).toSorted(), ['closeOrder', 'releaseStock']);
    await run.resolve('markDone');
    await run.result();
    assert.equal(timesCalled(run, 'settleWithGateway'), 0);
  });

  it('parks after a wrong amount was given back and recorded, and looks again when it is told to retry', async () => {
    const run = await bench.start({
      ...DECLINED,
      settleWithGateway: () => ({
        outcome: 'REFUNDED',
        paymentId: PAYMENT_ID,
        amount: { minor: 4_501, currency: 'KRW' },
        mismatch: true,
      }),
    });
    assert.deepEqual(await parkedSteps(run, 1), ['settleWithGateway']);
    assert.match(
      (await run.status()).parked[0]?.reason ?? '',
      /^PAYMENT_AMOUNT_MISMATCH: order .* 4501 KRW were given/,
    );
    assert.equal(timesCalled(run, 'recordSettlement'), 1);
    await run.resolve('retry');
    await run.statusWhen(() => timesCalled(run, 'settleWithGateway') === 2);
    await parkedSteps(run, 1);
    await run.resolve('markDone');
    assert.deepEqual(await run.result(), REJECTED);
  });

  it('parks a step after the capture instead of undoing anything, and completes when it is retried', async () => {
    const run = await bench.start({
      commitStock: (_input, call) => (call === 1 ? refuses('CHECKOUT_ABANDONED')() : undefined),
    });
    assert.deepEqual(await parkedSteps(run, 1), ['commitStock']);
    await run.handle.cancel();
    assert.deepEqual(await run.resolve('retry'), ['commitStock']);
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    assert.deepEqual([...run.steps].sort(), [
      'capturePayment',
      'commitStock',
      'createOrder',
      'markOrderPaid',
      'reserveStock',
    ]);
  });

  it('does not end before the decision is in the history of the order, which may be down for a while', async () => {
    const run = await bench.start({
      ...DECLINED,
      releaseStock: refuses('NOT_CANCELLABLE'),
      recordResolution: (_input, call) => {
        if (call === 1) throw new Error('connect ECONNREFUSED 127.0.0.1:5432');
      },
    });
    assert.deepEqual(await parkedSteps(run, 1), ['releaseStock']);
    assert.deepEqual(await run.resolve('markDone'), ['releaseStock']);
    assert.deepEqual(await run.result(), REJECTED);
    const ids = (run.resolutions as { resolutionId: string }[]).map(({ resolutionId }) => resolutionId);
    assert.deepEqual([ids.length, new Set(ids).size], [2, 1], 'tried twice under one id');
  });

  it('refuses to resolve when nothing is parked', async () => {
    const gate = new Gate();
    const run = await bench.start({
      capturePayment: gate.before(() => ({ status: 'CAPTURED', paymentId: PAYMENT_ID })),
    });
    await gate.reached;
    await assertRefused(run.resolve('retry'), 'NOT_FOUND');
    gate.open();
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
  });

  it('refuses an action that it does not know', async () => {
    const run = await bench.start({ ...DECLINED, releaseStock: refuses('NOT_CANCELLABLE') });
    await parkedSteps(run, 1);
    const forget = { action: 'forget', reason: 'why not', by: 'operator-7' };
    const nobody = { action: 'retry', reason: 'why not' };
    const silent = { action: 'retry', reason: ' ', by: 'operator-7' };
    for (const decision of [forget, nobody, silent]) {
      await assertRefused(
        run.handle.executeUpdate<string[], [unknown]>('resolve', { args: [decision] }),
        'INVALID_REQUEST',
      );
    }
    await run.resolve('markDone');
    assert.deepEqual(await run.result(), REJECTED);
  });
});
