import assert from 'node:assert/strict';

import { placedOrder, type Reservation } from '../../domain/checkout.ts';
import type { Run } from '../support/bench-run.ts';
import { Gate, isDown, PAYMENT_ID, refuses, type Script, type StepName, UNIT_MINOR } from '../support/fake-services.ts';
import { assertRefused } from '../support/refused-update.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

type Step = 'reserveStock' | 'createOrder' | 'capturePayment';
const CANCELLED = { status: 'CANCELLED', code: 'CHECKOUT_CANCELLED' };
const REFUSAL = { code: 'CHECKOUT_CANCELLED', message: 'the checkout was cancelled' };
const UNDO_PAYMENT = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'] as const;

/** What runs when the cancel comes while this step runs and succeeds, and nothing else. */
const STEPS: Readonly<Record<Step, readonly StepName[]>> = {
  reserveStock: ['reserveStock', ...UNDO_PAYMENT],
  createOrder: ['reserveStock', 'createOrder', ...UNDO_PAYMENT],
  capturePayment: ['reserveStock', 'createOrder', 'capturePayment', ...UNDO_PAYMENT],
};

/** Of money that was taken meanwhile, the order decides, and then it is on record before anything else is undone. */
const CAPTURED_MEANWHILE: readonly StepName[] = [
  ...['reserveStock', 'createOrder', 'capturePayment', 'abandonPayment', 'closeOrder', 'abandonPayment'],
  ...['releaseStock', 'closeOrder', 'settleWithGateway', 'recordSettlement'],
] as StepName[];

/** Ways to cancel: each returns when Temporal has it, and then what to check when the checkout has ended. */
const WAYS: Readonly<Record<string, (run: Run) => Promise<() => Promise<void>>>> = {
  'the update `cancel`': async (run) => {
    const { answer } = await run.cancel();
    return async () => assert.equal(await answer(), 'CANCELLED');
  },
  "Temporal's own cancel": async (run) => {
    await run.handle.cancel();
    return async () => {};
  },
};

const reservation: Reservation = {
  lines: [],
  total: { minor: UNIT_MINOR, currency: 'KRW' },
  paymentMethod: 'card',
  placedAt: '2026-11-23T01:02:03.000Z',
};

/** A script whose step waits in its service, and then succeeds. */
function succeedingAt(step: Step, gate: Gate, orderId: () => string): Script {
  if (step === 'reserveStock') return { reserveStock: gate.before(() => reservation) };
  if (step === 'createOrder') return { createOrder: gate.before(() => placedOrder(orderId(), reservation)) };
  return {
    capturePayment: gate.before(() => ({ status: 'CAPTURED', paymentId: PAYMENT_ID })),
    abandonPayment: () => ({ outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID }),
    settleWithGateway: () => ({
      outcome: 'REFUNDED',
      paymentId: PAYMENT_ID,
      amount: { minor: 4_500, currency: 'KRW' },
    }),
  };
}

describe('cancelling a checkout', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  for (const [way, cancel] of Object.entries(WAYS)) {
    for (const step of ['reserveStock', 'createOrder', 'capturePayment'] as const) {
      it(`by ${way} wins over a ${step} that succeeds meanwhile: ${STEPS[step].join(', ')}`, async () => {
        const gate = new Gate();
        const run: Run = await bench.start(succeedingAt(step, gate, () => run.orderId));
        await gate.reached;
        const check = await cancel(run);
        gate.open();

        assert.deepEqual(await run.result(), CANCELLED);
        await check();
        assert.deepEqual(
          run.calls.map((call) => call.step),
          step === 'capturePayment' ? CAPTURED_MEANWHILE : STEPS[step],
        );
        const { orderId } = run;
        assert.deepEqual(
          run.calls.flatMap((call) => (call.step === 'abandonPayment' ? [call.input] : [])),
          [{ orderId }, ...(step === 'capturePayment' ? [{ orderId, giveBack: true }] : [])],
        );
        const closed = run.calls.find((call) => call.step === 'closeOrder');
        assert.deepEqual(closed?.input, { orderId: run.orderId, end: { status: 'CANCELLED', refusal: REFUSAL } });
        const { CheckoutStatus, FailureCode } = await run.shown();
        assert.deepEqual({ CheckoutStatus, FailureCode }, { CheckoutStatus: 'CANCELLED', FailureCode: REFUSAL.code });
        const placed = await run.placed();
        if (step === 'reserveStock') assert.deepEqual('refusal' in placed && placed.refusal, REFUSAL);
        else assert.ok('order' in placed);
      });
    }

    it(`by ${way} wins over a decline that comes meanwhile`, async () => {
      const gate = new Gate();
      const run = await bench.start({ capturePayment: gate.before(refuses('PAYMENT_DECLINED')) });
      await gate.reached;
      const check = await cancel(run);
      gate.open();
      assert.deepEqual(await run.result(), CANCELLED);
      await check();
      assert.deepEqual(run.steps, STEPS.capturePayment);
    });

    it(`by ${way} does not change the refusal that a reservation has on record meanwhile`, async () => {
      const gate = new Gate();
      const run = await bench.start({ reserveStock: gate.before(refuses('OUT_OF_STOCK')) });
      await gate.reached;
      const check = await cancel(run);
      gate.open();
      const placed = await run.placed();
      assert.deepEqual('refusal' in placed && placed.refusal.code, 'OUT_OF_STOCK');
      assert.deepEqual(await run.result(), CANCELLED);
      await check();
      assert.deepEqual(run.steps, ['reserveStock']);
    });
  }

  it('ends the repeats of a step whose service is down', async () => {
    const run = await bench.start({ capturePayment: isDown });
    await run.statusWhen(() => run.steps.includes('capturePayment'));
    const { answer } = await run.cancel();
    assert.equal(await answer(), 'CANCELLED');
    assert.deepEqual(await run.result(), CANCELLED);
    assert.deepEqual(run.steps, STEPS.capturePayment);
  });

  it('is refused once the money is captured, and the checkout completes', async () => {
    const gate = new Gate();
    const run = await bench.start({ markOrderPaid: gate.before(() => undefined) });
    await gate.reached;
    await assertRefused(run.handle.executeUpdate('cancel'), 'NOT_CANCELLABLE');
    gate.open();
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
  });

  it("does nothing by Temporal's own cancel once the money is captured", async () => {
    const gate = new Gate();
    const run = await bench.start({ commitStock: gate.before(() => undefined) });
    await gate.reached;
    await run.handle.cancel();
    gate.open();
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    assert.deepEqual(
      [...run.steps].sort(),
      ['reserveStock', 'createOrder', 'capturePayment', 'markOrderPaid', 'commitStock'].sort(),
    );
  });

  for (const step of ['reserveStock', 'createOrder', 'capturePayment'] as const) {
    it(`is refused, and goes forward, where an earlier run has paid the order, as found after ${step}`, async () => {
      const gate = new Gate();
      const run: Run = await bench.start({
        ...succeedingAt(step, gate, () => run.orderId),
        abandonPayment: () => ({ outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID }),
        closeOrder: refuses('NOT_CANCELLABLE'),
      });
      await gate.reached;
      const { answer } = await run.cancel();
      gate.open();
      await assertRefused(answer(), 'NOT_CANCELLABLE');
      assert.deepEqual(await run.result(), { status: 'COMPLETED' });
      assert.ok('order' in (await run.placed()));
      const undone = ['releaseStock', 'settleWithGateway'] as const;
      assert.ok(undone.every((name) => !run.steps.includes(name)));
      const abandoned = run.calls.filter((call) => call.step === 'abandonPayment');
      assert.deepEqual(abandoned, [{ step: 'abandonPayment', input: { orderId: run.orderId } }]);
      assert.equal((await run.status()).failureCode, null);
    });
  }

  it('is refused while a checkout ends for another reason, which stays the reason', async () => {
    const gate = new Gate();
    const run = await bench.start({
      capturePayment: refuses('PAYMENT_DECLINED'),
      releaseStock: gate.before(() => undefined),
    });
    await gate.reached;
    await assertRefused(run.handle.executeUpdate('cancel'), 'NOT_CANCELLABLE');
    await run.handle.cancel();
    gate.open();
    assert.deepEqual(await run.result(), { status: 'REJECTED', code: 'PAYMENT_DECLINED' });
    assert.equal((await run.shown())['CheckoutStatus'], 'REJECTED');
  });

  it('answers CANCELLING while the gateway is asked for long, also when it is asked again', async () => {
    const capture = new Gate();
    const settle = new Gate();
    const run = await bench.start({
      capturePayment: capture.before(() => ({ status: 'CAPTURED', paymentId: PAYMENT_ID })),
      settleWithGateway: settle.before(() => ({
        outcome: 'REFUNDED',
        paymentId: PAYMENT_ID,
        amount: { minor: 4_500, currency: 'KRW' },
      })),
    });
    await capture.reached;
    const { answer } = await run.cancel();
    capture.open();
    await settle.reached;
    const again = await run.cancel();
    assert.deepEqual([await answer(), await again.answer()], ['CANCELLING', 'CANCELLING']);

    assert.equal((await run.status()).status, 'UNDOING');
    assert.deepEqual(run.steps, STEPS.capturePayment);
    settle.open();
    assert.deepEqual(await run.result(), CANCELLED);
  });
});
