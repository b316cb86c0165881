import assert from 'node:assert/strict';

import type { Run } from '../support/bench-run.ts';
import { type AnswerOf, isDown, PAYMENT_ID, type StepName } from '../support/fake-services.ts';
import { timeSkippingBench } from '../support/time-skipping.ts';
import { cartOf, REQUEST_HASH, type WorkflowBench } from '../support/workflow-bench.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DOWN = {
  code: 'CHECKOUT_FAILED',
  message: 'a service was down for too long, so the checkout was given up: buy again with a new key',
};
const REASON = 'connect ECONNREFUSED 127.0.0.1:5432';
const REJECTED = { status: 'REJECTED', code: DOWN.code };
const UNDO_PAYMENT = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'] as const;

/** What is called while this step is down, and nothing else. */
const STEPS = {
  reserveStock: ['reserveStock', ...UNDO_PAYMENT],
  createOrder: ['reserveStock', 'createOrder', ...UNDO_PAYMENT],
  capturePayment: ['reserveStock', 'createOrder', 'capturePayment', ...UNDO_PAYMENT],
} as const satisfies Record<string, readonly StepName[]>;

/** A limit really ran out: the last repeat would have been later than it, and pauses between repeats are short. */
function assertAbout(milliseconds: number, limit: number, longestPause: number): void {
  const said = `${milliseconds / SECOND} s, limit ${limit / SECOND} s`;
  assert.ok(milliseconds > limit - longestPause - SECOND, said);
  assert.ok(milliseconds < limit + 5 * SECOND, said);
}

/** What is parked after this time of the server's clock, milliseconds, with the search attribute that finds it. */
async function parkedAfter(run: Run, bench: WorkflowBench, ms: number): Promise<unknown> {
  await bench.sleep(ms);
  const { status, parked } = await run.status();
  assert.equal(status, 'NEEDS_ATTENTION', JSON.stringify(await run.timeline()));
  assert.equal((await run.shown())['CheckoutStatus'], 'NEEDS_ATTENTION');
  return parked.map(({ step, reason }) => ({ step, reason }));
}

const ANSWERS: Readonly<{ [Undo in (typeof UNDO_PAYMENT)[number]]: AnswerOf<Undo> }> = {
  abandonPayment: { outcome: 'CANCELLED', refusal: null },
  releaseStock: undefined,
  closeOrder: undefined,
  settleWithGateway: { outcome: 'NOTHING_CHARGED' },
};

/** Down for the calls before this one, counted from 1. */
const upFrom =
  <T>(firstGood: number, answer: T) =>
  (_input: unknown, call: number): T =>
    call < firstGood ? isDown() : answer;

describe('a checkout whose services are down', () => {
  let bench: WorkflowBench;
  before(async function () {
    bench = await timeSkippingBench(this);
  });
  after(() => bench?.close());

  for (const step of ['reserveStock', 'createOrder', 'capturePayment'] as const) {
    it(`gives up after two minutes of ${step}, undoes what may have landed, and ends REJECTED`, async () => {
      const run = await bench.start({ [step]: isDown });
      assert.deepEqual(await run.result(), REJECTED);
      assert.deepEqual(run.steps, STEPS[step]);
      assert.ok(run.calls.filter((call) => call.step === step).length > 5);
      assertAbout(await run.between('RESERVING', `stopped: ${DOWN.code}`), 2 * MINUTE, 20 * SECOND);

      const placed = await run.placed();
      const total = step === 'capturePayment' ? { OrderTotalMinor: 4_500 } : {};
      if (step === 'capturePayment') assert.ok('order' in placed);
      else assert.deepEqual(placed, { requestHash: REQUEST_HASH, refusal: DOWN });
      assert.deepEqual(await run.shown(), { CheckoutStatus: 'REJECTED', FailureCode: DOWN.code, ...total });

      const { orderId, customerId, requestHash } = cartOf(run.orderId);
      const released = run.calls.find((call) => call.step === 'releaseStock');
      const unplaced = step === 'capturePayment' ? null : DOWN;
      assert.deepEqual(released?.input, { orderId, customerId, requestHash, unplaced });
      const closed = run.calls.find((call) => call.step === 'closeOrder');
      const end = { status: 'REJECTED', refusal: DOWN };
      assert.deepEqual(closed?.input, { orderId, end });
    });
  }

  it('goes on as if nothing had happened when a service comes back in time', async () => {
    const run = await bench.start({ capturePayment: upFrom(4, { status: 'CAPTURED', paymentId: PAYMENT_ID }) });
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    assert.deepEqual(
      run.calls.slice(0, 6).map(({ step }) => step),
      ['reserveStock', 'createOrder', ...Array<StepName>(4).fill('capturePayment')],
    );
  });

  it('goes forward when the money turns out to be captured although nobody answered', async () => {
    const run = await bench.start({
      capturePayment: isDown,
      abandonPayment: () => ({ outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID }),
    });
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    const [, , , abandoned, ...rest] = run.steps;
    assert.equal(abandoned, 'abandonPayment');
    assert.deepEqual(rest.sort(), ['commitStock', 'markOrderPaid']);
    const paid = run.calls.find((call) => call.step === 'markOrderPaid');
    assert.deepEqual(paid?.input, { orderId: run.orderId, paymentId: PAYMENT_ID });
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'COMPLETED', OrderTotalMinor: 4_500 });
    assert.equal((await run.status()).failureCode, null);
  });

  for (const undo of UNDO_PAYMENT) {
    it(`parks ${undo} after ten minutes, runs the other undos meanwhile, and goes on by itself a minute later`, async () => {
      let isUp = false;
      const run = await bench.start({
        capturePayment: isDown,
        [undo]: () => (isUp ? ANSWERS[undo] : isDown()),
      });
      const parked = await parkedAfter(run, bench, 12 * MINUTE);
      assert.deepEqual(parked, [{ step: undo, reason: REASON }]);
      // Nothing is settled before it is known whether the money goes back: both are the payment service's.
      const meanwhile = STEPS.capturePayment.filter(
        (step) => undo !== 'abandonPayment' || step !== 'settleWithGateway',
      );
      assert.deepEqual(run.steps, meanwhile);

      isUp = true;
      assert.deepEqual(await run.result(), REJECTED);
      assertAbout(await run.between('UNDOING', `${undo} is parked: ${REASON}`), 10 * MINUTE, 30 * SECOND);
      const pause = await run.between(`${undo} is parked: ${REASON}`, `${undo} goes on: retry`);
      assertAbout(pause, MINUTE, 0);
      assert.deepEqual((await run.status()).parked, []);
      assert.equal((await run.shown())['CheckoutStatus'], 'REJECTED');
    });
  }

  it('pauses twice as long after each failed round', async () => {
    let isUp = false;
    const run = await bench.start({ commitStock: () => (isUp ? undefined : isDown()) });
    await bench.sleep(24 * MINUTE);
    isUp = true;
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    const times = (await run.timeline()).filter(({ what }) => what.startsWith('commitStock'));
    const [firstParked, firstRetry, secondParked, secondRetry] = times.map(({ at }) => Date.parse(at));
    assertAbout((firstRetry ?? 0) - (firstParked ?? 0), MINUTE, 0);
    assertAbout((secondRetry ?? 0) - (secondParked ?? 0), 2 * MINUTE, 0);
    assert.equal(times.length, 4);
  });

  it('shows that a paid order is not marked yet, never undoes it, and completes when the service is back', async () => {
    let isUp = false;
    const run = await bench.start({ markOrderPaid: () => (isUp ? undefined : isDown()) });
    const parked = await parkedAfter(run, bench, 10 * MINUTE + 20 * SECOND);
    assert.deepEqual(parked, [{ step: 'markOrderPaid', reason: REASON }]);
    isUp = true;
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    assert.deepEqual([...run.steps].sort(), [
      'capturePayment',
      'commitStock',
      'createOrder',
      'markOrderPaid',
      'reserveStock',
    ]);
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'COMPLETED', OrderTotalMinor: 4_500 });
  });
});
