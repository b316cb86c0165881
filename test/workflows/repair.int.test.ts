import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { HeaderState } from '../../activities/inventory/contract.ts';
import type { Abandoned } from '../../activities/payments/contract.ts';
import type { RepairResult } from '../../domain/reconcile.ts';
import { repairWorkflowId } from '../../domain/workflow-ids.ts';
import { REPAIR_WORKFLOW } from '../../workflows/contract.ts';
import type { repair } from '../../workflows/repair.ts';
import type { WorkRun } from '../support/bench-run.ts';
import { PAYMENT_ID, refuses, type Script, type StepName } from '../support/fake-services.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

type OrderState = 'CREATED' | 'PAID' | 'CLOSED' | null;

const CAPTURED: Abandoned = { outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID };
const GIVEN_UP: Abandoned = { outcome: 'CANCELLED', refusal: null };
const DECLINED = refusedWith('PAYMENT_DECLINED');
const EXPIRED = refusedWith('HOLD_EXPIRED');
const COMPLETED: RepairResult = { outcome: 'COMPLETED' };
const FAILED: RepairResult = { outcome: 'UNDONE', code: 'CHECKOUT_FAILED' };

const LOOK = ['abandonPayment', 'readHeader', 'readOrderState'] as const;
const FORWARD = ['commitStock', 'markOrderPaid'] as const;
const UNDO = ['releaseStock', 'closeOrder', 'settleWithGateway'] as const;
/** The order is closed before its money is given back, and before stock is touched. */
const GIVES_BACK = ['closeOrder', 'abandonPayment', ...UNDO] as const;
const AMOUNT = { minor: 4_500, currency: 'KRW' };
const REFUNDED = { outcome: 'REFUNDED', paymentId: PAYMENT_ID, amount: AMOUNT } as const;
const MOST_EVENTS = 50;

describe('the repair of an order that no checkout works on', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  function start(payment: Abandoned, stock: HeaderState['state'] | 'none', order: OrderState, more: Script = {}) {
    const orderId = randomUUID();
    const script: Script = {
      abandonPayment: () => payment,
      readHeader: () => (stock === 'none' ? null : { customerId: '1', requestHash: 'b'.repeat(64), state: stock }),
      readOrderState: () => ({ state: order, placed: order !== null }),
      ...more,
    };
    const id = repairWorkflowId(orderId);
    return bench.startWork<typeof repair>(REPAIR_WORKFLOW, id, [{ orderId }], { orderId, script });
  }

  const matrix: [string, Abandoned, HeaderState['state'] | 'none', OrderState, readonly StepName[], RepairResult][] = [
    ['terminated before anything was reserved', GIVEN_UP, 'none', null, ['closeOrder', 'settleWithGateway'], FAILED],
    ['terminated after the reservation', GIVEN_UP, 'RESERVED', null, UNDO, FAILED],
    ['terminated before the charge', GIVEN_UP, 'RESERVED', 'CREATED', UNDO, FAILED],
    ['terminated after a declined charge', DECLINED, 'RESERVED', 'CREATED', UNDO, codeOf('PAYMENT_DECLINED')],
    ['terminated after the hold was over', EXPIRED, 'RESERVED', 'CREATED', UNDO, codeOf('HOLD_EXPIRED')],
    ['terminated after the stock was given back', GIVEN_UP, 'RELEASED', 'CREATED', UNDO, FAILED],
    ['terminated after the order was closed', GIVEN_UP, 'RELEASED', 'CLOSED', UNDO, FAILED],
    ['terminated after the capture', CAPTURED, 'RESERVED', 'CREATED', FORWARD, COMPLETED],
    ['terminated after the stock was committed', CAPTURED, 'COMMITTED', 'CREATED', FORWARD, COMPLETED],
    ['terminated after the order was paid', CAPTURED, 'RESERVED', 'PAID', FORWARD, COMPLETED],
    ['that ended well', CAPTURED, 'COMMITTED', 'PAID', FORWARD, COMPLETED],
    ['captured although its stock is gone', CAPTURED, 'RELEASED', 'CREATED', GIVES_BACK, FAILED],
    ['captured although it is closed', CAPTURED, 'RELEASED', 'CLOSED', GIVES_BACK, FAILED],
  ];
  for (const [which, payment, stock, order, steps, result] of matrix) {
    it(`of one ${which}: ${result.outcome}, by the steps of the saga alone`, async () => {
      const run = await start(payment, stock, order);
      assert.deepEqual(await run.result(), result);
      const called = run.calls.map(({ step }) => step);
      assert.equal(called[0], 'abandonPayment');
      assert.deepEqual([...called].sort(), [...LOOK, ...steps].sort());
      if (result.outcome === 'UNDONE') assert.deepEqual(called.slice(3), steps);
      assert.equal((await run.status()).status, 'DONE');
    });
  }

  it('closes the order with the refusal that is on record, and an expired hold as expired', async () => {
    const ends = await Promise.all(
      [DECLINED, EXPIRED, GIVEN_UP].map(async (payment) => {
        const run = await start(payment, 'RESERVED', 'CREATED');
        await run.result();
        return inputOf(run, 'closeOrder')['end'] as { status: string; refusal: { code: string } };
      }),
    );
    assert.deepEqual(
      ends.map(({ status, refusal }) => [status, refusal.code]),
      [
        ['REJECTED', 'PAYMENT_DECLINED'],
        ['EXPIRED', 'HOLD_EXPIRED'],
        ['REJECTED', 'CHECKOUT_FAILED'],
      ],
    );
  });

  it('tells whoever asks again why there is no order, but leaves the answer of one that was placed', async () => {
    const key = { customerId: '1', requestHash: 'b'.repeat(64) };
    const unplaced = await start(GIVEN_UP, 'RESERVED', null);
    await unplaced.result();
    const { unplaced: refusal, ...rest } = inputOf(unplaced, 'releaseStock');
    assert.deepEqual(rest, { orderId: unplaced.orderId, ...key });
    assert.equal((refusal as { code: string }).code, 'CHECKOUT_FAILED');

    const placed = await start(GIVEN_UP, 'RESERVED', 'CREATED');
    await placed.result();
    assert.deepEqual(inputOf(placed, 'releaseStock'), { orderId: placed.orderId, ...key, unplaced: null });
  });

  it('writes money that it gave back into the history of the order, and looks again where a charge may land', async () => {
    const run = await start(GIVEN_UP, 'RESERVED', 'CREATED', {
      settleWithGateway: (_input, call) => (call === 1 ? { outcome: 'LOOK_AGAIN', afterMs: 20 } : REFUNDED),
    });
    assert.deepEqual(await run.result(), FAILED);
    assert.equal(run.calls.filter(({ step }) => step === 'settleWithGateway').length, 2);
    const { orderId } = run;
    assert.deepEqual(inputOf(run, 'recordSettlement'), { orderId, paymentId: PAYMENT_ID, amount: AMOUNT });
  });

  it('is parked after a wrong amount was given back, and ends when a person has looked', async () => {
    const run = await start(refusedWith('PAYMENT_AMOUNT_MISMATCH'), 'RESERVED', 'CREATED', {
      settleWithGateway: refuses('PAYMENT_AMOUNT_MISMATCH'),
    });
    const { parked } = await run.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
    assert.deepEqual(
      parked.map(({ step }) => step),
      ['settleWithGateway'],
    );
    assert.ok(run.steps.includes('closeOrder') && run.steps.includes('releaseStock'));
    assert.equal((await run.shown())['CheckoutStatus'], 'NEEDS_ATTENTION');

    assert.deepEqual(await run.resolve('markDone'), ['settleWithGateway']);
    assert.deepEqual(await run.result(), codeOf('PAYMENT_AMOUNT_MISMATCH'));
    assert.equal(run.resolutions.length, 1);
    assert.equal((await run.shown())['CheckoutStatus'], 'DONE');
  });

  for (const [which, stock, order, step] of [
    ['a paid order whose stock is gone', 'RELEASED', 'PAID', 'commitStock'],
    ['sold stock of a closed order', 'COMMITTED', 'CLOSED', 'markOrderPaid'],
  ] as const) {
    it(`leaves ${which} to a person, and moves no money by itself`, async () => {
      const run = await start(CAPTURED, stock, order, { [step]: refuses('CHECKOUT_ABANDONED') });
      const { parked } = await run.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
      assert.deepEqual(
        parked.map((one) => one.step),
        [step],
      );
      await run.resolve('markDone');
      assert.deepEqual(await run.result(), COMPLETED);
      assert.ok(!run.steps.includes('settleWithGateway') && !run.steps.includes('releaseStock'));
    });
  }

  it('carries an order forward that turns out to be paid when it is to be closed', async () => {
    const run = await start(CAPTURED, 'RELEASED', 'CREATED', { closeOrder: refuses('NOT_CANCELLABLE') });
    assert.deepEqual(await run.result(), COMPLETED);
    assert.ok(!run.steps.includes('releaseStock') && !run.steps.includes('settleWithGateway'));
  });

  it('reads nothing before the payment is decided, however long that takes', async () => {
    const run = await start(GIVEN_UP, 'RESERVED', 'CREATED', {
      abandonPayment: (_input, call) => (call === 1 ? refuses('NOT_FOUND')() : GIVEN_UP),
    });
    await run.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
    assert.deepEqual(run.steps, ['abandonPayment']);
    await run.resolve('retry');
    assert.deepEqual(await run.result(), FAILED);
  });

  it('goes on when somebody cancels it, and leaves a small history', async () => {
    const run = await start(GIVEN_UP, 'RESERVED', 'CREATED', {
      closeOrder: (_input, call) => (call === 1 ? refuses('NOT_CANCELLABLE')() : undefined),
    });
    await run.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
    await run.handle.cancel();
    await run.resolve('retry');
    assert.deepEqual(await run.result(), FAILED);

    const small = await start(CAPTURED, 'RESERVED', 'CREATED');
    await small.result();
    const { historyLength } = await small.handle.describe();
    assert.ok(historyLength < MOST_EVENTS, `${historyLength} events`);
  });
});

function refusedWith(code: 'PAYMENT_DECLINED' | 'HOLD_EXPIRED' | 'PAYMENT_AMOUNT_MISMATCH'): Abandoned {
  return { outcome: 'CANCELLED', refusal: { code, message: 'on record' } };
}

function codeOf(code: 'PAYMENT_DECLINED' | 'HOLD_EXPIRED' | 'PAYMENT_AMOUNT_MISMATCH'): RepairResult {
  return { outcome: 'UNDONE', code };
}

function inputOf(run: WorkRun<typeof repair>, wanted: StepName): Record<string, unknown> {
  const call = run.calls.find(({ step }) => step === wanted);
  assert.ok(call, `${wanted} was not called`);
  return call.input as Record<string, unknown>;
}
