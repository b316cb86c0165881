import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { RefundRequest } from '../../domain/refund.ts';
import { refundWorkflowId } from '../../domain/workflow-ids.ts';
import { begunUpdate, REFUND_WORKFLOW } from '../../workflows/contract.ts';
import type { refund } from '../../workflows/refund.ts';
import type { WorkRun } from '../support/bench-run.ts';
import { Gate, PAYMENT_ID, refuses, type Script, type StepName, UNIT_MINOR } from '../support/fake-services.ts';
import { assertRefused } from '../support/refused-update.ts';
import { REQUEST_HASH, WorkflowBench } from '../support/workflow-bench.ts';

type RefundRun = WorkRun<typeof refund> & Readonly<{ refundId: string }>;

const AMOUNT = { minor: 2_000, currency: 'KRW' };
const LINES = [
  { lineNo: 1, quantity: 2, restock: true },
  { lineNo: 2, quantity: 1, restock: false },
];
const SUCCEEDED = { status: 'SUCCEEDED' };
const MOST_EVENTS = 45;
const refusedForGood = () => ({ status: 'FAILED', failureCode: 'refund_refused' }) as const;

describe('the refund of a paid order', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  /** @param asked null: the reconciler goes on with a refund that is on record */
  async function start(asked: Partial<RefundRequest> | null = {}, script: Script = {}): Promise<RefundRun> {
    const [orderId, refundId] = [randomUUID(), randomUUID()];
    const request: RefundRequest | null = asked && {
      ...{ amount: AMOUNT, lines: [], reason: 'damaged', by: 'operator-7', requestHash: REQUEST_HASH },
      ...asked,
    };
    const about = { orderId, about: [refundId], script };
    const id = refundWorkflowId(refundId);
    const run = await bench.startWork<typeof refund>(REFUND_WORKFLOW, id, [{ refundId, orderId, request }], about);
    return Object.assign(run, { refundId });
  }

  const begun = (run: RefundRun, hash = REQUEST_HASH) => run.handle.executeUpdate(begunUpdate, { args: [hash] });
  const stepsOf = (run: RefundRun): StepName[] => run.calls.map(({ step }) => step);
  const inputOf = (run: RefundRun, wanted: StepName): unknown => run.calls.find(({ step }) => step === wanted)?.input;

  it('answers when it is on record, then gives the money back, books it, and is finished last', async () => {
    const gate = new Gate();
    const run = await start({}, { refundAtGateway: gate.before(() => ({ status: 'SUCCEEDED', failureCode: null })) });
    const { orderId, refundId } = run;
    const refundOnRecord = {
      ...{ refundId, orderId, paymentId: PAYMENT_ID, amount: AMOUNT },
      ...{ reason: 'damaged', by: 'operator-7', requestHash: REQUEST_HASH, lines: [] },
    };
    assert.deepEqual(await begun(run), { requestHash: REQUEST_HASH, refund: refundOnRecord });
    gate.open();
    assert.deepEqual(await run.result(), SUCCEEDED);
    assert.deepEqual(stepsOf(run), [
      'readRefundable',
      'beginRefund',
      'refundAtGateway',
      'recordRefund',
      'finishRefund',
    ]);
    const booked = { orderId, refundId, amount: AMOUNT, reason: 'damaged', by: 'operator-7' };
    assert.deepEqual(inputOf(run, 'recordRefund'), booked);
    assert.deepEqual(inputOf(run, 'finishRefund'), { refundId, status: 'SUCCEEDED', failureCode: null });
    assert.deepEqual(await run.shown(), {});
    const { historyLength } = await run.handle.describe();
    assert.ok(historyLength < MOST_EVENTS, `${historyLength} events`);
  });

  it('puts only those lines on sale again that the request says', async () => {
    const run = await start({ amount: null, lines: LINES });
    assert.deepEqual(await run.result(), SUCCEEDED);
    const { orderId, refundId } = run;
    assert.deepEqual(inputOf(run, 'readRefundable'), { orderId, lines: LINES });
    assert.deepEqual(inputOf(run, 'restock'), { refundId, orderId, lines: [{ lineNo: 1, quantity: 2 }] });
    assert.equal(stepsOf(run).at(-1), 'finishRefund');
  });

  for (const step of ['readRefundable', 'beginRefund'] as const) {
    it(`answers a refusal of ${step}, and asks the gateway for nothing`, async () => {
      const run = await start({}, { [step]: refuses('REFUND_EXCEEDS_CAPTURE', { left: 1 }) });
      const refusal = {
        code: 'REFUND_EXCEEDS_CAPTURE',
        message: 'refused with REFUND_EXCEEDS_CAPTURE',
        detail: { left: 1 },
      };
      assert.deepEqual(await begun(run), { requestHash: REQUEST_HASH, refusal });
      assert.deepEqual(await run.result(), { status: 'REFUSED', ...refusal });
      assert.equal(stepsOf(run).at(-1), step);
      const { status, failureCode } = await run.status();
      assert.deepEqual([status, failureCode], ['DONE', 'REFUND_EXCEEDS_CAPTURE']);
    });
  }

  it("tells the order's history when the gateway refuses for good, then frees the amount, and books and restocks nothing", async () => {
    const run = await start({ amount: null, lines: LINES }, { refundAtGateway: refusedForGood });
    assert.deepEqual(await run.result(), { status: 'FAILED', code: 'refund_refused' });
    const { refundId, orderId } = run;
    assert.deepEqual(stepsOf(run), [
      'readRefundable',
      'beginRefund',
      'refundAtGateway',
      'recordRefundFailure',
      'finishRefund',
    ]);
    const told = {
      orderId,
      refundId,
      amount: { minor: UNIT_MINOR, currency: 'KRW' },
      reason: 'damaged',
      by: 'operator-7',
    };
    assert.deepEqual(inputOf(run, 'recordRefundFailure'), { ...told, failureCode: 'refund_refused' });
    assert.deepEqual(inputOf(run, 'finishRefund'), { refundId, status: 'FAILED', failureCode: 'refund_refused' });
  });

  it('goes on with what is on record where the reconciler starts it, and knows the request by its hash', async () => {
    const run = await start(null);
    const { orderId, refundId } = run;
    assert.deepEqual(await run.result(), SUCCEEDED);
    assert.deepEqual(inputOf(run, 'beginRefund'), { refundId, orderId, request: null, lines: [] });
    assert.ok(!stepsOf(run).includes('readRefundable'));

    const gate = new Gate();
    const going = await start(null, {
      refundAtGateway: gate.before(() => ({ status: 'SUCCEEDED', failureCode: null })),
    });
    await gate.reached;
    await assertRefused(begun(going, 'f'.repeat(64)), 'IDEMPOTENCY_KEY_REUSED');
    assert.ok('refund' in (await begun(going)));
    gate.open();
    assert.deepEqual(await going.result(), SUCCEEDED);
  });

  it('refuses to answer another request under the same key', async () => {
    const gate = new Gate();
    const run = await start({}, { refundAtGateway: gate.before(() => ({ status: 'SUCCEEDED', failureCode: null })) });
    await assertRefused(begun(run, 'f'.repeat(64)), 'IDEMPOTENCY_KEY_REUSED');
    gate.open();
    assert.deepEqual(await run.result(), SUCCEEDED);
  });

  for (const step of ['refundAtGateway', 'recordRefund', 'restock', 'finishRefund'] as const) {
    it(`is parked when ${step} cannot be done, shows it, and ends when a person says so`, async () => {
      const run = await start({ amount: null, lines: LINES }, { [step]: refuses('NOT_FOUND') });
      const { parked, orderId } = await run.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
      assert.deepEqual([orderId, parked.map((one) => one.step)], [run.orderId, [step]]);
      assert.equal((await run.shown())['CheckoutStatus'], 'NEEDS_ATTENTION');
      await run.handle.cancel(); // of no effect: it is on record
      assert.deepEqual(await run.resolve('markDone'), [step]);
      assert.deepEqual(await run.result(), SUCCEEDED);
      assert.equal(run.resolutions.length, 1);
      assert.equal((await run.shown())['CheckoutStatus'], 'DONE');
      assert.ok(stepsOf(run).includes('finishRefund'));
    });
  }

  it('is parked when the order cannot be told that the gateway refused, and stays unfinished until a person says so', async () => {
    const script = { refundAtGateway: refusedForGood, recordRefundFailure: refuses('NOT_FOUND') };
    const run = await start({}, script);
    const { parked } = await run.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
    assert.deepEqual(
      parked.map(({ step }) => step),
      ['recordRefundFailure'],
    );
    assert.ok(!stepsOf(run).includes('finishRefund'));
    assert.deepEqual(await run.resolve('markDone'), ['recordRefundFailure']);
    assert.deepEqual(await run.result(), { status: 'FAILED', code: 'refund_refused' });
    assert.equal(stepsOf(run).at(-1), 'finishRefund');
  });

  it('stays unfinished until the order and the stock know of it, so that the reconciler would find it', async () => {
    const run = await start(
      { amount: null, lines: LINES },
      { recordRefund: (_input, call) => (call === 1 ? refuses('NOT_FOUND')() : undefined) },
    );
    await run.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
    assert.ok(!stepsOf(run).includes('finishRefund'));
    await run.resolve('retry');
    assert.deepEqual(await run.result(), SUCCEEDED);
    assert.equal(stepsOf(run).at(-1), 'finishRefund');
  });

  it('says in its details what happened, in the words of an operator', async () => {
    const run = await start();
    await run.result();
    assert.deepEqual(await run.story(), ['on record: 2000 KRW, 0 lines', 'SUCCEEDED', 'DONE']);
  });
});
