import assert from 'node:assert/strict';

import type { PlacedAnswer } from '../../domain/checkout.ts';
import { placedUpdate } from '../../workflows/contract.ts';
import type { Run } from '../support/bench-run.ts';
import { Gate, PAYMENT_ID, refuses } from '../support/fake-services.ts';
import { assertRefused } from '../support/refused-update.ts';
import { REQUEST_HASH, WorkflowBench } from '../support/workflow-bench.ts';

const OTHER_HASH = 'b'.repeat(64);
const askAgain = (run: Run, hash = REQUEST_HASH): Promise<PlacedAnswer> =>
  run.handle.executeUpdate(placedUpdate, { args: [hash] });

describe('the placed answer', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  it('comes as soon as the order exists, while the payment goes on', async () => {
    const gate = new Gate();
    const run = await bench.start({
      capturePayment: gate.before(() => ({ status: 'CAPTURED', paymentId: PAYMENT_ID })),
    });
    const placed = await run.placed();
    assert.deepEqual('order' in placed && placed.order.orderId, run.orderId);
    await gate.reached;
    assert.equal((await run.status()).status, 'PAYING');
    const { CheckoutStatus, OrderTotalMinor } = await run.shown();
    assert.deepEqual([CheckoutStatus, OrderTotalMinor], ['PLACED', 4_500]);
    gate.open();
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
  });

  it('is the same for everyone who asks, before and after it is known', async () => {
    const order = new Gate();
    const capture = new Gate();
    const run = await bench.start({
      reserveStock: order.before(refuses('OUT_OF_STOCK', [{ lineNo: 1, asked: 2, available: 0 }])),
    });
    await order.reached;
    const joined = [askAgain(run), askAgain(run)];
    assert.equal((await run.status()).status, 'RESERVING');
    order.open();
    const first = await run.placed();
    assert.deepEqual(await Promise.all(joined), [first, first]);
    assert.deepEqual('refusal' in first && first.refusal.code, 'OUT_OF_STOCK');

    const paying = await bench.start({
      capturePayment: capture.before(() => ({ status: 'CAPTURED', paymentId: PAYMENT_ID })),
    });
    const known = await paying.placed();
    await capture.reached;
    assert.deepEqual(await askAgain(paying), known);
    capture.open();
    await paying.result();
  });

  it('stays the placed order while the checkout is undone', async () => {
    const gate = new Gate();
    const run = await bench.start({
      capturePayment: refuses('PAYMENT_DECLINED'),
      releaseStock: gate.before(() => undefined),
    });
    const placed = await run.placed();
    await gate.reached;
    assert.deepEqual(await askAgain(run), placed);
    assert.ok('order' in placed);
    const { status, failureCode } = await run.status();
    assert.deepEqual([status, failureCode], ['UNDOING', 'PAYMENT_DECLINED']);
    assert.equal((await run.shown())['CheckoutStatus'], 'UNDOING');
    gate.open();
    await run.result();
  });

  it('is refused to another request with the same key, and that request changes nothing', async () => {
    const gate = new Gate();
    const run = await bench.start({
      capturePayment: gate.before(() => ({ status: 'CAPTURED', paymentId: PAYMENT_ID })),
    });
    await gate.reached;
    await assertRefused(askAgain(run, OTHER_HASH), 'IDEMPOTENCY_KEY_REUSED');
    gate.open();
    assert.deepEqual(await run.result(), { status: 'COMPLETED' });
    assert.equal(run.calls.filter(({ step }) => step === 'capturePayment').length, 1);
  });
});

describe('what an operator sees of a checkout', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  it('is its story, with times that never go back', async () => {
    const run = await bench.start();
    await run.result();
    assert.deepEqual(await run.story(), ['RESERVING', 'PLACED', 'PAYING', 'PAID', 'COMPLETED']);
    const times = (await run.timeline()).map(({ at }) => Date.parse(at));
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
  });

  it('is a summary on every step, the order number on the whole, and details for people', async () => {
    const run = await bench.start({ capturePayment: refuses('PAYMENT_DECLINED') });
    await run.result();
    const { orderNumber } = await run.status();
    const { staticSummary } = await run.handle.describe();
    assert.equal(await staticSummary(), orderNumber);

    const { events } = await run.handle.fetchHistory();
    const summaries = (events ?? [])
      .filter((event) => event.activityTaskScheduledEventAttributes)
      .map((event) => JSON.parse(Buffer.from(event.userMetadata?.summary?.data ?? []).toString()) as string);
    assert.deepEqual(summaries, [
      'Reserve 2 lines',
      'Create the order',
      `Charge 4500 KRW for ${orderNumber}`,
      'Abandon the payment',
      'Give the stock back',
      'Close the order: PAYMENT_DECLINED',
      'Settle with the gateway',
    ]);
    const details = await run.handle.query<string>('__temporal_workflow_metadata');
    assert.match(JSON.stringify(details), new RegExp(`### Order ${orderNumber}`));
  });
});
