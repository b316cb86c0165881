import assert from 'node:assert/strict';

import type { Run } from '../support/bench-run.ts';
import { isDown, PAYMENT_ID, type StepName } from '../support/fake-services.ts';
import { timeSkippingBench } from '../support/time-skipping.ts';
import { CAPTURED, HOLD_MS, waitsFor } from '../support/waiting-payment.ts';
import type { WorkflowBench } from '../support/workflow-bench.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const EXPIRED = { status: 'EXPIRED', code: 'HOLD_EXPIRED' };

const timesCalled = (run: Run, step: StepName): number => run.calls.filter((call) => call.step === step).length;
const held = (run: Run): Promise<number> => run.between('PAYING', 'stopped: HOLD_EXPIRED');

describe('the hold of a payment, as long as it really is', () => {
  let bench: WorkflowBench;
  before(async function () {
    bench = await timeSkippingBench(this);
  });
  after(() => bench?.close());

  for (const [name, holdMs] of [
    ['fifteen minutes', HOLD_MS],
    ['three days', 3 * DAY],
  ] as const) {
    it(`of ${name} ends after ${name}, and no sooner`, async () => {
      const run = await bench.start({ capturePayment: () => waitsFor(holdMs), checkPayment: () => waitsFor(holdMs) });
      assert.deepEqual(await run.result(), EXPIRED);
      const ms = await held(run);
      assert.ok(ms >= holdMs && ms < holdMs + 30 * SECOND, `${ms} ms`);
      assert.equal(timesCalled(run, 'checkPayment'), 1);
    });
  }

  it('is not made longer by signals', async () => {
    const run = await bench.start({ capturePayment: () => waitsFor(), checkPayment: () => waitsFor() });
    for (let minute = 0; minute < 3; minute++) {
      await bench.sleep(4 * MINUTE);
      await run.paymentChanged();
    }
    assert.deepEqual(await run.result(), EXPIRED);
    const ms = await held(run);
    assert.ok(ms >= HOLD_MS && ms < HOLD_MS + 30 * SECOND, `${ms} ms`);
    assert.equal(timesCalled(run, 'checkPayment'), 4);
  });

  it('is paid a minute after a look that failed, although nobody says a second time that it was paid', async () => {
    let isUp = false;
    const run = await bench.start({
      capturePayment: () => waitsFor(),
      checkPayment: () => (isUp ? CAPTURED : isDown()),
    });
    await bench.sleep(MINUTE);
    await run.paymentChanged();
    await bench.sleep(45 * SECOND); // the look has been given up
    isUp = true;
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    const ms = await run.between('PAYING', 'PAID');
    assert.ok(ms > 2 * MINUTE && ms < 3 * MINUTE, `${ms} ms`);
  });

  it('is paid when its end finds a payment service that is slow to start', async () => {
    const run = await bench.start({
      capturePayment: () => waitsFor(),
      checkPayment: (_input, call) => (call < 12 ? isDown() : CAPTURED), // 12 looks take more than 20 seconds
    });
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    const ms = await run.between('PAYING', 'PAID');
    assert.ok(ms > HOLD_MS + 20 * SECOND && ms < HOLD_MS + 2 * MINUTE, `${ms} ms`);
  });

  it('ends within two minutes while nobody can look at the payment, and asks the locked row', async () => {
    const run = await bench.start({
      capturePayment: () => waitsFor(),
      checkPayment: isDown,
      abandonPayment: () => ({ outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID }),
    });
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    const ms = await held(run);
    assert.ok(ms >= HOLD_MS + MINUTE && ms < HOLD_MS + 3 * MINUTE, `${ms} ms`);
    assert.ok(run.steps.includes('markOrderPaid'));
  });

  it('ends although nobody can look, gives everything back once, and parks nothing', async () => {
    const run = await bench.start({ capturePayment: () => waitsFor(), checkPayment: isDown });
    assert.deepEqual(await run.result(), EXPIRED);
    const before = ['reserveStock', 'createOrder', 'capturePayment', 'awaitPayment', 'checkPayment'];
    const undos = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'];
    assert.deepEqual(run.steps, [...before, ...undos]);
    assert.deepEqual((await run.status()).parked, []);
  });

  it('parks what the gateway refuses for more than an hour, has freed the stock at once, and settles it then', async () => {
    let refusals = 0;
    let isUp = false;
    const run = await bench.start({
      capturePayment: () => waitsFor(MINUTE),
      checkPayment: () => waitsFor(MINUTE),
      settleWithGateway: () => {
        if (isUp) return { outcome: 'NOTHING_CHARGED' };
        refusals += 1;
        return isDown();
      },
    });
    await bench.sleep(70 * MINUTE);
    const { status, parked } = await run.status();
    assert.deepEqual([status, parked.map(({ step }) => step)], ['NEEDS_ATTENTION', ['settleWithGateway']]);
    assert.ok(refusals > 20);
    isUp = true;
    assert.deepEqual(await run.result(), EXPIRED);
    assert.equal(timesCalled(run, 'releaseStock'), 1);
    assert.equal(timesCalled(run, 'closeOrder'), 1);
  });
});
