import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { webhookWorkflowId } from '../../domain/workflow-ids.ts';
import { WEBHOOK_WORKFLOW } from '../../workflows/contract.ts';
import type { webhook } from '../../workflows/webhook.ts';
import type { WorkRun } from '../support/bench-run.ts';
import { isDown, PAYMENT_ID, type Script } from '../support/fake-services.ts';
import { timeSkippingBench } from '../support/time-skipping.ts';
import type { WorkflowBench } from '../support/workflow-bench.ts';

type WebhookRun = WorkRun<typeof webhook>;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const REASON = 'connect ECONNREFUSED 127.0.0.1:5432';
/** The round is over by now, and the minute after which it goes on by itself is not. */
const A_ROUND = 10 * MINUTE + 40 * SECOND;
const AMOUNT = { minor: 4_500, currency: 'KRW' };

/** How such work is listed, found by its order and decided over HTTP: test/api/attention.int.test.ts. */
describe('the event of a charge whose gateway is down', () => {
  let bench: WorkflowBench;
  before(async function () {
    bench = await timeSkippingBench(this);
  });
  after(() => bench?.close());

  async function start(script: Script): Promise<WebhookRun> {
    const orderId = randomUUID();
    const event = { provider: 'simulated', eventId: `evt_${randomUUID()}` };
    const workflowId = webhookWorkflowId(event.provider, event.eventId);
    return bench.startWork<typeof webhook>(WEBHOOK_WORKFLOW, workflowId, [event], {
      ...{ orderId, about: [event.eventId] },
      script: { readWebhook: () => ({ orderId }), ...script },
    });
  }
  const timesCalled = (run: WebhookRun, wanted: string): number =>
    run.calls.filter(({ step }) => step === wanted).length;

  it('is parked after ten minutes with the order that it is about, and stays open', async () => {
    let isUp = false;
    const run = await start({
      applyWebhook: () => (isUp ? { outcome: 'UNCHANGED', orderId: run.orderId } : isDown()),
    });
    await bench.sleep(A_ROUND);
    const { orderId, status, parked } = await run.status();
    assert.deepEqual([orderId, status], [run.orderId, 'NEEDS_ATTENTION'], JSON.stringify(await run.timeline()));
    assert.deepEqual(
      parked.map(({ step, reason }) => [step, reason]),
      [['applyWebhook', REASON]],
    );
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'NEEDS_ATTENTION' });
    assert.deepEqual(run.steps, ['applyWebhook', 'readWebhook']);
    assert.ok(timesCalled(run, 'applyWebhook') > 20, 'it was asked for ten minutes');

    isUp = true;
    assert.deepEqual(await run.result(), { outcome: 'UNCHANGED', orderId: run.orderId });
    assert.deepEqual(await run.shown(), { CheckoutStatus: 'DONE' });
  });

  it('goes on at once when a person says so, and the decision is in the history of the order', async () => {
    let isUp = false;
    const run = await start({
      applyWebhook: () => (isUp ? { outcome: 'LATE_CAPTURE', orderId: run.orderId } : isDown()),
      settleWithGateway: () => ({ outcome: 'REFUNDED', paymentId: PAYMENT_ID, amount: AMOUNT }),
    });
    await bench.sleep(A_ROUND);
    isUp = true;
    assert.deepEqual(await run.resolve('retry'), ['applyWebhook']);
    assert.deepEqual(await run.result(), { outcome: 'LATE_CAPTURE', orderId: run.orderId });
    assert.deepEqual(run.steps.slice(2), ['settleWithGateway', 'recordSettlement', 'closeWebhook']);
    const [decision, ...more] = run.resolutions as Readonly<Record<string, unknown>>[];
    const { orderId } = run;
    assert.deepEqual(
      [{ ...decision, resolutionId: '' }, more],
      [
        {
          orderId,
          resolutionId: '',
          steps: ['applyWebhook'],
          action: 'retry',
          reason: 'looked at it',
          by: 'operator-7',
        },
        [],
      ],
    );
  });

  it('is left as it is when a person has done what there was to do', async () => {
    const run = await start({ applyWebhook: isDown });
    await bench.sleep(A_ROUND);
    assert.deepEqual(await run.resolve('markDone'), ['applyWebhook']);
    assert.deepEqual(await run.result(), { outcome: 'UNCHANGED', orderId: null });
    assert.deepEqual(run.steps, ['applyWebhook', 'readWebhook', 'closeWebhook']);
    assert.equal(run.resolutions.length, 1);
  });

  it('is parked without its order while the payment database is down too, and says which it is once that can be read', async () => {
    let [isUp, isReadable] = [false, false];
    const run = await start({
      readWebhook: () => (isReadable ? { orderId: run.orderId } : isDown()),
      applyWebhook: () => (isUp ? { outcome: 'UNCHANGED', orderId: run.orderId } : isDown()),
    });
    // Ten minutes of asking the gateway, then two of asking which order it is about; parked for one.
    await bench.sleep(A_ROUND + 90 * SECOND);
    assert.deepEqual([(await run.status()).orderId, (await run.status()).status], [null, 'NEEDS_ATTENTION']);
    isReadable = true;
    await bench.sleep(11 * MINUTE + 20 * SECOND); // the next round, whose question is answered; parked for two
    assert.deepEqual([(await run.status()).orderId, (await run.status()).status], [run.orderId, 'NEEDS_ATTENTION']);
    isUp = true;
    assert.deepEqual(await run.result(), { outcome: 'UNCHANGED', orderId: run.orderId });
  });
});
