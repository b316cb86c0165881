import assert from 'node:assert/strict';

import type { Run } from '../support/bench-run.ts';
import { Gate, PAYMENT_ID, refuses, type Script, type StepName } from '../support/fake-services.ts';
import { assertRefused } from '../support/refused-update.ts';
import { CAPTURED, EXPIRES_AT, INSTRUCTIONS, waitsFor } from '../support/waiting-payment.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

const COMPLETED = { status: 'COMPLETED' };
const EXPIRED = { status: 'EXPIRED', code: 'HOLD_EXPIRED' };
const CANCELLED = { status: 'CANCELLED', code: 'CHECKOUT_CANCELLED' };
const UNDOS = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'] as const;
const BEFORE = ['reserveStock', 'createOrder', 'capturePayment', 'awaitPayment'] as const;
const TRANSFER = { payment: { method: 'bank_transfer' } } as const;
/** Long enough to see it waiting, short enough to see it end. */
const SHORT_HOLD_MS = 1_500;

const looks = (run: Run): number => run.calls.filter(({ step }) => step === 'checkPayment').length;
const isAwaiting = (run: Run) => run.statusWhen(({ status }) => status === 'AWAITING_PAYMENT');

/** A payment by transfer of which the gateway knows as little as its row, until the test says otherwise. */
function transfer(script: Script = {}, holdMs?: number): Script {
  return { capturePayment: () => waitsFor(holdMs), checkPayment: () => waitsFor(holdMs), ...script };
}

function assertCompleted(run: Run): void {
  assert.deepEqual([...run.steps].sort(), [...BEFORE, 'checkPayment', 'commitStock', 'markOrderPaid'].sort());
  const paid = run.calls.find(({ step }) => step === 'markOrderPaid');
  assert.deepEqual(paid?.input, { orderId: run.orderId, paymentId: PAYMENT_ID });
}

describe('a checkout whose shopper still has to pay', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  it('says how to pay and until when, waits, and completes when the payment arrives', async () => {
    let paid = false;
    const run = await bench.start(transfer({ checkPayment: () => (paid ? CAPTURED : waitsFor()) }), TRANSFER);
    assert.ok('order' in (await run.placed()));
    await isAwaiting(run);
    assert.equal((await run.shown())['CheckoutStatus'], 'AWAITING_PAYMENT');
    const shown = run.calls.find(({ step }) => step === 'awaitPayment');
    assert.deepEqual(shown?.input, { orderId: run.orderId, instructions: INSTRUCTIONS, expiresAt: EXPIRES_AT });
    assert.equal(looks(run), 0, 'nobody asks before anybody says that something changed');

    paid = true;
    await run.paymentChanged();
    assert.deepEqual(await run.result(), COMPLETED);
    assertCompleted(run);
    assert.equal(looks(run), 1);
    assert.deepEqual(await run.story(), ['RESERVING', 'PLACED', 'PAYING', 'AWAITING_PAYMENT', 'PAID', 'COMPLETED']);
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'COMPLETED', OrderTotalMinor: 4_500 });
  });

  it('does not miss a signal that comes before the answer of the charge', async () => {
    const gate = new Gate();
    const run = await bench.start(
      transfer({ capturePayment: gate.before(() => waitsFor()), checkPayment: () => CAPTURED }),
    );
    await gate.reached;
    await run.paymentChanged();
    gate.open();
    assert.deepEqual(await run.result(), COMPLETED);
    assertCompleted(run);
  });

  it('does not need a signal of a charge that was captured at once', async () => {
    const gate = new Gate();
    const run = await bench.start({ markOrderPaid: gate.before(() => undefined) });
    await gate.reached;
    await run.paymentChanged();
    gate.open();
    assert.deepEqual(await run.result(), COMPLETED);
    assert.equal(looks(run), 0);
  });

  it('goes on waiting after a signal that means nothing', async () => {
    const run = await bench.start(transfer({ checkPayment: (_input, call) => (call < 3 ? waitsFor() : CAPTURED) }));
    await isAwaiting(run);
    for (let look = 1; look <= 2; look++) {
      await run.paymentChanged();
      await run.statusWhen(() => looks(run) === look);
      assert.equal((await isAwaiting(run)).failureCode, null);
    }
    await run.paymentChanged();
    assert.deepEqual(await run.result(), COMPLETED);
  });

  it('looks twice, not sixty times, when sixty signals come while it looks', async () => {
    const gate = new Gate();
    const run = await bench.start(
      transfer({
        checkPayment: async (_input, call) => {
          if (call === 1) await gate.before(() => undefined)();
          return call === 1 ? waitsFor() : CAPTURED;
        },
      }),
    );
    await isAwaiting(run);
    await run.paymentChanged();
    await gate.reached;
    await Promise.all(Array.from({ length: 60 }, () => run.paymentChanged()));
    gate.open();
    assert.deepEqual(await run.result(), COMPLETED);
    assert.equal(looks(run), 2);
    const { events } = await run.handle.fetchHistory();
    assert.ok((events ?? []).length < 60 + 80, `${events?.length} events, 60 of them signals`);
  });

  it('is rejected when the shopper was declined while it waited', async () => {
    const run = await bench.start(transfer({ checkPayment: refuses('PAYMENT_DECLINED', { reason: 'do_not_honor' }) }));
    await isAwaiting(run);
    await run.paymentChanged();
    const detail = { reason: 'do_not_honor' };
    assert.deepEqual(await run.result(), { status: 'REJECTED', code: 'PAYMENT_DECLINED', detail });
    assert.deepEqual(run.steps, [...BEFORE, 'checkPayment', ...UNDOS]);
  });

  it('expires when the bank has closed the account before the hold was over', async () => {
    const run = await bench.start(transfer({ checkPayment: refuses('HOLD_EXPIRED') }));
    await isAwaiting(run);
    await run.paymentChanged();
    assert.deepEqual(await run.result(), EXPIRED);
    assert.equal((await run.shown())['CheckoutStatus'], 'EXPIRED');
  });

  it('expires when the hold is over, looks once more before it does, and gives everything back', async () => {
    const run = await bench.start(transfer({}, SHORT_HOLD_MS));
    assert.deepEqual(await run.result(), EXPIRED);
    assert.deepEqual(
      run.calls.map(({ step }) => step),
      [...BEFORE, 'checkPayment', ...UNDOS],
    );
    const { end } = run.calls.find(({ step }) => step === 'closeOrder')?.input as { end: unknown };
    const message =
      'the payment did not arrive in time, so the goods were given free: order again if you still want them';
    assert.deepEqual(end, { status: 'EXPIRED', refusal: { code: 'HOLD_EXPIRED', message } });
    const shown = { CheckoutStatus: 'EXPIRED', FailureCode: 'HOLD_EXPIRED', OrderTotalMinor: 4_500 };
    assert.deepEqual(await run.shown(), shown);
    assert.ok((await run.between('PAYING', 'stopped: HOLD_EXPIRED')) >= SHORT_HOLD_MS);
  });

  it('completes at the end of the hold although every webhook was lost', async () => {
    const run = await bench.start(transfer({ checkPayment: () => CAPTURED }, SHORT_HOLD_MS));
    assert.deepEqual(await run.result(), COMPLETED);
    assertCompleted(run);
  });

  it('goes forward when the row says that the payment was faster than the expiry', async () => {
    const run = await bench.start(
      transfer({ abandonPayment: () => ({ outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID }) }, SHORT_HOLD_MS),
    );
    assert.deepEqual(await run.result(), COMPLETED);
    const after: StepName[] = ['checkPayment', 'abandonPayment', 'commitStock', 'markOrderPaid'];
    assert.deepEqual([...run.steps].sort(), [...BEFORE, ...after].sort());
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'COMPLETED', OrderTotalMinor: 4_500 });
    assert.equal((await run.status()).failureCode, null);
    const abandoned = run.calls.find(({ step }) => step === 'abandonPayment');
    assert.deepEqual(abandoned?.input, { orderId: run.orderId });
  });

  it('gives money back that came after the expiry, and says so in the history of the order', async () => {
    const amount = { minor: 4_500, currency: 'KRW' };
    const run = await bench.start(
      transfer({ settleWithGateway: () => ({ outcome: 'REFUNDED', paymentId: PAYMENT_ID, amount }) }, SHORT_HOLD_MS),
    );
    assert.deepEqual(await run.result(), EXPIRED);
    const recorded = run.calls.filter(({ step }) => step === 'recordSettlement').map(({ input }) => input);
    assert.deepEqual(recorded, [{ orderId: run.orderId, paymentId: PAYMENT_ID, amount }]);
  });

  it('looks at the gateway again when a charge may still land, and ends only when it is certain', async () => {
    const run = await bench.start(
      transfer(
        {
          settleWithGateway: (_input, call) =>
            call < 3 ? { outcome: 'LOOK_AGAIN', afterMs: 600 } : { outcome: 'NOTHING_CHARGED' },
        },
        SHORT_HOLD_MS,
      ),
    );
    assert.deepEqual(await run.result(), EXPIRED);
    const calls = run.calls.map(({ step }) => step);
    assert.deepEqual(calls.slice(-3), Array<StepName>(3).fill('settleWithGateway'));
    assert.ok((await run.between('UNDOING', 'EXPIRED')) >= 2 * 600);
    assert.deepEqual((await run.status()).parked, []);
  });

  for (const [way, cancel] of [
    ['the update `cancel`', async (run: Run) => assert.equal(await (await run.cancel()).answer(), 'CANCELLED')],
    ["Temporal's own cancel", (run: Run) => run.handle.cancel()],
  ] as const) {
    it(`is cancelled at once by ${way} while it waits`, async () => {
      const run = await bench.start(transfer());
      await isAwaiting(run);
      await cancel(run);
      assert.deepEqual(await run.result(), CANCELLED);
      assert.deepEqual(run.steps, [...BEFORE, ...UNDOS]);
    });
  }

  it('is cancelled at once although it looks at the payment, which is refunded when it arrives meanwhile', async () => {
    const gate = new Gate();
    const run = await bench.start(
      transfer({
        checkPayment: gate.before(() => CAPTURED),
        abandonPayment: () => ({ outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID }),
        settleWithGateway: () => ({
          outcome: 'REFUNDED',
          paymentId: PAYMENT_ID,
          amount: { minor: 4_500, currency: 'KRW' },
        }),
      }),
    );
    await isAwaiting(run);
    await run.paymentChanged();
    await gate.reached;
    const { answer } = await run.cancel();
    assert.equal(await answer(), 'CANCELLED');
    assert.deepEqual(await run.result(), CANCELLED);
    gate.open();
    const undone: StepName[] = ['abandonPayment', 'closeOrder', 'releaseStock', 'settleWithGateway'];
    assert.deepEqual(run.steps, [...BEFORE, 'checkPayment', ...undone, 'recordSettlement']);
  });

  it('cannot be cancelled any more once it has expired', async () => {
    const gate = new Gate();
    const run = await bench.start(transfer({ releaseStock: gate.before(() => undefined) }, SHORT_HOLD_MS));
    await gate.reached;
    await assertRefused(run.handle.executeUpdate('cancel'), 'NOT_CANCELLABLE');
    await run.paymentChanged();
    gate.open();
    assert.deepEqual(await run.result(), EXPIRED);
  });

  it('parks the record of a refund for itself, without asking the gateway again', async () => {
    const run = await bench.start(
      transfer(
        {
          settleWithGateway: () => ({
            outcome: 'REFUNDED',
            paymentId: PAYMENT_ID,
            amount: { minor: 4_500, currency: 'KRW' },
          }),
          recordSettlement: (_input, call) => (call === 1 ? refuses('NOT_FOUND')() : undefined),
        },
        SHORT_HOLD_MS,
      ),
    );
    await run.statusWhen(({ parked }) => parked.length > 0);
    assert.deepEqual(await run.resolve('retry'), ['recordSettlement']);
    assert.deepEqual(await run.result(), EXPIRED);
    assert.equal(run.calls.filter(({ step }) => step === 'settleWithGateway').length, 1);
  });

  it('undoes everything when nobody can tell the shopper how to pay', async () => {
    const run = await bench.start(transfer({ awaitPayment: refuses('CHECKOUT_ABANDONED') }));
    assert.deepEqual(await run.result(), { status: 'REJECTED', code: 'CHECKOUT_ABANDONED' });
    assert.deepEqual(run.steps, [...BEFORE, ...UNDOS]);
  });
});
