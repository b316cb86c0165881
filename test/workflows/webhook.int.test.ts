import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { WebhookOutcome, WebhookRef } from '../../activities/payments/contract.ts';
import { webhookWorkflowId } from '../../domain/workflow-ids.ts';
import { WEBHOOK_WORKFLOW } from '../../workflows/contract.ts';
import type { webhook } from '../../workflows/webhook.ts';
import type { WorkRun } from '../support/bench-run.ts';
import { Gate, PAYMENT_ID, refuses, type Script, type StepName } from '../support/fake-services.ts';
import { CAPTURED, waitsFor } from '../support/waiting-payment.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

type WebhookRun = WorkRun<typeof webhook>;
const AMOUNT = { minor: 4_500, currency: 'KRW' };
/** Few: there is one such workflow for every change of every charge. */
const MOST_EVENTS = 26;

describe('the workflow of an event from the payment provider', () => {
  let bench: WorkflowBench;
  before(async () => (bench = await WorkflowBench.onDevServer()));
  after(() => bench?.close());

  /** @param applied what the payment service finds out, for an order that this makes up or that is given */
  async function start(applied: WebhookOutcome | Script, orderId: string = randomUUID()): Promise<WebhookRun> {
    const event: WebhookRef = { provider: 'simulated', eventId: `evt_${randomUUID()}` };
    const script = typeof applied === 'string' ? { applyWebhook: () => ({ outcome: applied, orderId }) } : applied;
    const about = { orderId, about: [event.eventId], script };
    const workflowId = webhookWorkflowId(event.provider, event.eventId);
    return bench.startWork<typeof webhook>(WEBHOOK_WORKFLOW, workflowId, [event], about);
  }

  const stepsOf = (run: WebhookRun): StepName[] => run.calls.map(({ step }) => step);
  const closedWith = (run: WebhookRun): unknown =>
    (run.calls.find(({ step }) => step === 'closeWebhook')?.input as { outcome?: unknown } | undefined)?.outcome;

  it('writes down what the gateway says, wakes the checkout that waits, and closes the event', async () => {
    const order = await bench.start({ capturePayment: () => waitsFor(), checkPayment: () => CAPTURED });
    await order.statusWhen(({ status }) => status === 'AWAITING_PAYMENT');
    // The steps of order and event are told apart by their ids: those of the event do not name the order.
    const eventId = `evt_${randomUUID()}`;
    const event = { provider: 'simulated', eventId };
    const { orderId } = order;
    const run = await bench.startWork<typeof webhook>(
      WEBHOOK_WORKFLOW,
      webhookWorkflowId('simulated', eventId),
      [event],
      {
        about: [eventId],
        script: { applyWebhook: () => ({ outcome: 'APPLIED', orderId }) },
      },
    );
    assert.deepEqual(await run.result(), { outcome: 'APPLIED', orderId });
    assert.deepEqual(
      run.calls.map(({ step, input }) => [step, input]),
      [
        ['applyWebhook', event],
        ['closeWebhook', { ...event, outcome: 'APPLIED' }],
      ],
    );
    assert.deepEqual(await order.result(), { status: 'COMPLETED' });
  });

  for (const outcome of ['APPLIED', 'UNCHANGED'] as const) {
    it(`is done when it is ${outcome} and no checkout waits for it any more, or ever did`, async () => {
      const run = await start(outcome);
      assert.deepEqual(await run.result(), { outcome, orderId: run.orderId });
      assert.deepEqual(
        stepsOf(run).filter((step) => step.endsWith('Webhook')),
        ['applyWebhook', 'closeWebhook'],
      );
      const story = await run.story();
      assert.ok(story.includes(`nobody waits for order ${run.orderId}`));
      assert.equal(story.includes(`repairs order ${run.orderId}`), outcome === 'APPLIED');

      const closed = await bench.start();
      await closed.result();
      const late = await start(outcome, closed.orderId);
      assert.deepEqual(await late.result(), { outcome, orderId: closed.orderId });
      assert.equal(closedWith(late), outcome);
    });
  }

  it('closes an event about a charge that is none of ours, and does nothing else', async () => {
    const run = await start({ applyWebhook: () => ({ outcome: 'UNKNOWN_CHARGE', orderId: null }) });
    assert.deepEqual(await run.result(), { outcome: 'UNKNOWN_CHARGE', orderId: null });
    assert.deepEqual(stepsOf(run), ['applyWebhook', 'closeWebhook']);
  });

  it('gives money back that came too late, records it, and only then closes the event', async () => {
    const run = await start({
      applyWebhook: () => ({ outcome: 'LATE_CAPTURE', orderId: run.orderId }),
      settleWithGateway: (_input, call) =>
        call === 1
          ? { outcome: 'LOOK_AGAIN', afterMs: 10 }
          : { outcome: 'REFUNDED', paymentId: PAYMENT_ID, amount: AMOUNT },
    });
    assert.deepEqual(await run.result(), { outcome: 'LATE_CAPTURE', orderId: run.orderId });
    const { orderId } = run;
    assert.deepEqual(run.calls.slice(1, -1), [
      { step: 'settleWithGateway', input: { orderId } },
      { step: 'settleWithGateway', input: { orderId } },
      { step: 'recordSettlement', input: { orderId, paymentId: PAYMENT_ID, amount: AMOUNT } },
    ]);
    assert.equal(closedWith(run), 'LATE_CAPTURE');
  });

  it('parks a refund that is refused for good, keeps the event open, and ends when a person has done it', async () => {
    const run = await start({
      applyWebhook: () => ({ outcome: 'LATE_CAPTURE', orderId: run.orderId }),
      settleWithGateway: refuses('REFUND_REFUSED'),
    });
    const { orderId, status, parked } = await run.statusWhen((found) => found.parked.length > 0);
    assert.deepEqual([orderId, status], [run.orderId, 'NEEDS_ATTENTION']);
    assert.deepEqual(
      parked.map(({ step, reason }) => [step, reason]),
      [['settleWithGateway', 'REFUND_REFUSED: refused with REFUND_REFUSED']],
    );
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'NEEDS_ATTENTION' });
    assert.equal(closedWith(run), undefined);

    assert.deepEqual(await run.resolve('markDone'), ['settleWithGateway']);
    assert.deepEqual(await run.result(), { outcome: 'LATE_CAPTURE', orderId: run.orderId });
    assert.equal(run.resolutions.length, 1, 'the decision is in the history of the order');
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'DONE' });
    assert.equal((await run.status()).status, 'DONE');
  });

  it('can be resolved before anybody knows which order it is about', async () => {
    const run = await start({ applyWebhook: refuses('NOT_FOUND') });
    const { orderId, orderNumber } = await run.statusWhen((found) => found.parked.length > 0);
    assert.deepEqual([orderId, orderNumber], [null, null]);
    assert.deepEqual(await run.resolve('markDone'), ['applyWebhook']);
    assert.deepEqual(await run.result(), { outcome: 'UNCHANGED', orderId: null });
    assert.deepEqual(run.resolutions, []);
    assert.ok((await run.story()).includes('operator-7 resolved with markDone: looked at it'));
  });

  it('is not stopped half-way by a cancel', async () => {
    const gate = new Gate();
    const run = await start({
      applyWebhook: () => ({ outcome: 'LATE_CAPTURE', orderId: run.orderId }),
      settleWithGateway: gate.before(() => ({ outcome: 'REFUNDED', paymentId: PAYMENT_ID, amount: AMOUNT })),
    });
    await gate.reached;
    await run.handle.cancel();
    gate.open();
    assert.deepEqual(await run.result(), { outcome: 'LATE_CAPTURE', orderId: run.orderId });
    assert.deepEqual(stepsOf(run), ['applyWebhook', 'settleWithGateway', 'recordSettlement', 'closeWebhook']);
  });

  it('is short', async () => {
    const run = await start('UNCHANGED');
    await run.result();
    const { length } = (await run.handle.fetchHistory()).events ?? [];
    assert.ok(length > 0 && length <= MOST_EVENTS, `${length} events`);
  });
});
