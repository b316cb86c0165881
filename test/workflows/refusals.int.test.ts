import assert from 'node:assert/strict';

import { placedOrder, type Reservation } from '../../domain/checkout.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import { PAYMENT_ID, refuses, type StepName } from '../support/fake-services.ts';
import { cartOf, REQUEST_HASH, WorkflowBench } from '../support/workflow-bench.ts';

/** Every "no" of the three steps before the pivot. */
const REFUSALS: readonly (readonly ['reserveStock' | 'createOrder' | 'capturePayment', ErrorCode])[] = [
  ['reserveStock', 'UNKNOWN_USER'],
  ['reserveStock', 'UNKNOWN_PRODUCT'],
  ['reserveStock', 'PRODUCT_NOT_FOR_SALE'],
  ['reserveStock', 'OUT_OF_STOCK'],
  ['reserveStock', 'PRICE_CHANGED'],
  ['reserveStock', 'MIXED_CURRENCY'],
  ['reserveStock', 'AMOUNT_OUT_OF_RANGE'],
  ['reserveStock', 'TOO_MANY_OPEN_CHECKOUTS'],
  ['reserveStock', 'UNITS_LIMIT'],
  ['reserveStock', 'START_DEADLINE_PASSED'],
  ['reserveStock', 'CHECKOUT_ABANDONED'],
  ['createOrder', 'CHECKOUT_ABANDONED'],
  ['capturePayment', 'PAYMENT_DECLINED'],
  ['capturePayment', 'PAYMENT_METHOD_INVALID'],
  ['capturePayment', 'CHECKOUT_ABANDONED'],
];

const UNDO = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'] as const;

/** What runs after the refusal, in this order, and nothing else. */
const UNDONE: Readonly<Record<(typeof REFUSALS)[number][0], readonly StepName[]>> = {
  reserveStock: ['reserveStock'],
  createOrder: ['reserveStock', 'createOrder', ...UNDO],
  capturePayment: ['reserveStock', 'createOrder', 'capturePayment', ...UNDO],
};

/** Only a refusal that is on record says that nothing of this checkout was ever done. */
const undone = (step: (typeof REFUSALS)[number][0], code: ErrorCode): readonly StepName[] =>
  step === 'reserveStock' && code === 'CHECKOUT_ABANDONED' ? ['reserveStock', ...UNDO] : UNDONE[step];

describe('a checkout', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench.close());

  it('goes from cart to a completed order when nobody says no', async () => {
    const run = await bench.start();
    const placed = await run.placed();
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });

    const [reserved, created, captured, ...rest] = run.calls;
    const cart = cartOf(run.orderId);
    const { orderId, customerId, requestHash } = cart;
    assert.deepEqual(reserved, { step: 'reserveStock', input: cart });
    assert.ok('order' in placed);
    const { orderNumber, status, orderId: placedId, ...reservation } = placed.order;
    assert.deepEqual(
      { requestHash: placed.requestHash, status, placedId },
      { requestHash, status: 'PENDING', placedId: orderId },
    );
    assert.deepEqual(created, { step: 'createOrder', input: { orderId, customerId, requestHash, reservation } });
    assert.deepEqual(placed.order, placedOrder(orderId, reservation satisfies Reservation));
    const amount = { minor: 4_500, currency: 'KRW' };
    assert.deepEqual(captured, {
      step: 'capturePayment',
      input: { orderId, customerId, amount, payment: { method: 'card', token: 'tok_visa' } },
    });
    // These two run side by side, so either may come first.
    assert.deepEqual(
      rest.sort((a, b) => a.step.localeCompare(b.step)),
      [
        { step: 'commitStock', input: { orderId, customerId, requestHash } },
        { step: 'markOrderPaid', input: { orderId, paymentId: PAYMENT_ID } },
      ],
    );
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'COMPLETED', OrderTotalMinor: 4_500 });
    assert.deepEqual(await run.status(), { orderId, orderNumber, status: 'COMPLETED', failureCode: null, parked: [] });
  });

  for (const [step, code] of REFUSALS) {
    it(`ends REJECTED and calls ${undone(step, code).join(', ')} when ${step} refuses with ${code}`, async () => {
      const run = await bench.start({ [step]: refuses(code, { lineNo: 1 }) });
      const placed = await run.placed();
      assert.deepEqual(await run.result(), { status: 'REJECTED', code, detail: { lineNo: 1 } });

      assert.deepEqual(
        run.calls.map((call) => call.step),
        undone(step, code),
      );
      const refusal = { code, message: `refused with ${code}`, detail: { lineNo: 1 } };
      if (step === 'capturePayment') assert.ok('order' in placed);
      else assert.deepEqual(placed, { requestHash: REQUEST_HASH, refusal });

      const end = { status: 'REJECTED', refusal };
      const closed = run.calls.find((call) => call.step === 'closeOrder');
      if (closed !== undefined) assert.deepEqual(closed.input, { orderId: run.orderId, end });
      const { failureCode, status, parked } = await run.status();
      assert.deepEqual({ failureCode, status, parked }, { failureCode: code, status: 'REJECTED', parked: [] });
      const total = step === 'capturePayment' ? { OrderTotalMinor: 4_500 } : {};
      assert.deepEqual(await run.shown(), { CheckoutStatus: 'REJECTED', FailureCode: code, ...total });
    });
  }

  it('tells the inventory what to answer from now on when the order could not be created', async () => {
    const run = await bench.start({ createOrder: refuses('CHECKOUT_ABANDONED') });
    await run.result();
    const released = run.calls.find((call) => call.step === 'releaseStock');
    const { orderId, customerId, requestHash } = cartOf(run.orderId);
    const unplaced = { code: 'CHECKOUT_ABANDONED', message: 'refused with CHECKOUT_ABANDONED' };
    assert.deepEqual(released?.input, { orderId, customerId, requestHash, unplaced });
  });

  it('leaves the stored answer as it is when a placed order is not paid', async () => {
    const run = await bench.start({ capturePayment: refuses('PAYMENT_DECLINED', { reason: 'insufficient_funds' }) });
    assert.deepEqual((await run.result()).detail, { reason: 'insufficient_funds' });
    const released = run.calls.find((call) => call.step === 'releaseStock');
    const { orderId, customerId, requestHash } = cartOf(run.orderId);
    assert.deepEqual(released?.input, { orderId, customerId, requestHash, unplaced: null });
  });
});
