import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CaptureInput, WebhookOutcome, WebhookRef } from '../../activities/payments/contract.ts';
import { openWebhooks, storeWebhook } from '../../activities/payments/webhook-store.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { refusalCode } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { assertOutboxIsSound } from '../support/outbox.ts';
import {
  act,
  captureInput,
  eventAbout,
  moneyOf,
  openPayments,
  paymentOf,
  type PaymentService,
  refundedInFull,
  settleFully,
  transferInput,
} from '../support/payments.ts';

describe('the events of a provider', function () {
  this.timeout(60_000);
  let shop: PaymentService;

  before(async () => {
    shop = await openPayments();
  });
  after(() => shop.close());
  afterEach(async () => {
    await shop.letGo();
    await assertOutboxIsSound(shop.adminUrl);
  });

  /** Stores an event about the charge of an order. */
  async function eventOf({ orderId }: CaptureInput, type?: string): Promise<WebhookRef> {
    const event = await eventAbout(shop, orderId, type);
    assert.equal(await storeWebhook(shop.payment, event), 'stored');
    return { provider: event.provider, eventId: event.eventId };
  }
  const apply = (ref: WebhookRef) => shop.webhooks.applyWebhook(ref);
  const outcomeOf = async (ref: WebhookRef): Promise<WebhookOutcome> => (await apply(ref)).outcome;
  const statusOf = async ({ orderId }: CaptureInput) => (await paymentOf(shop, orderId))?.['status'];
  async function awaiting(input = transferInput()): Promise<CaptureInput> {
    assert.equal((await shop.activities.capturePayment(input)).status, 'AWAITING_CONFIRMATION');
    return input;
  }
  const stored = (eventId: string) =>
    query(
      shop.adminUrl,
      'select type, provider_payment_id as charge, fields, body_hash as hash, outcome from payment_webhooks where event_id = $1',
      [eventId],
    );

  describe('when they come in', () => {
    it('are stored once, however often and however much at once they come', async () => {
      const event = await eventAbout(shop, (await awaiting()).orderId);
      const answers = await Promise.all(Array.from({ length: 10 }, () => storeWebhook(shop.payment, event)));
      assert.deepEqual(answers.toSorted(), [...Array.from({ length: 9 }, () => 'known'), 'stored']);
      const { type, providerPaymentId: charge, fields, bodyHash: hash } = event;
      assert.deepEqual(await stored(event.eventId), [{ type, charge, fields, hash, outcome: null }]);
    });

    it('keep the first body of an id, whatever comes under it later', async () => {
      const event = await eventAbout(shop, (await awaiting()).orderId);
      await storeWebhook(shop.payment, event);
      const first = await stored(event.eventId);
      const other = { ...event, bodyHash: 'b'.repeat(64), providerPaymentId: 'ch_other', type: 'charge.refunded' };
      assert.equal(await storeWebhook(shop.payment, other), 'known');
      assert.deepEqual(await stored(event.eventId), first);
    });

    it('of two providers may have the same id', async () => {
      const event = await eventAbout(shop, (await awaiting()).orderId);
      assert.equal(await storeWebhook(shop.payment, event), 'stored');
      assert.equal(await storeWebhook(shop.payment, { ...event, provider: 'stripe' }), 'stored');
      await shop.webhooks.closeWebhook({ provider: 'stripe', eventId: event.eventId, outcome: 'UNKNOWN_CHARGE' });
      assert.deepEqual((await stored(event.eventId)).map(({ outcome }) => outcome as string | null).toSorted(), [
        'UNKNOWN_CHARGE',
        null,
      ]);
    });

    it('are listed oldest first, a page at a time, until they have an outcome', async () => {
      await query(shop.adminUrl, 'delete from payment_webhooks');
      const input = await awaiting();
      const refs: WebhookRef[] = [];
      for (let i = 0; i < 5; i++) refs.push(await eventOf(input));
      assert.deepEqual(await readAll(2), refs);
      assert.deepEqual(await readAll(5), refs);

      const [first, second, ...rest] = refs;
      assert.ok(first !== undefined && second !== undefined);
      await shop.webhooks.closeWebhook({ ...second, outcome: 'APPLIED' });
      assert.deepEqual(await readAll(1), [first, ...rest]);
    });

    async function readAll(limit: number): Promise<WebhookRef[]> {
      const all: WebhookRef[] = [];
      for (let after: string | null = null; ;) {
        const { items, next }: Awaited<ReturnType<typeof openWebhooks>> = await openWebhooks(shop.payment, {
          after,
          limit,
        });
        assert.ok(items.length <= limit);
        all.push(...items);
        if (next === null) return all;
        after = next;
      }
    }
  });

  describe('when they are applied', () => {
    it('say that the payment was captured, and so does every repeat, as the first may not have been heard', async () => {
      const input = await awaiting();
      await act(shop, input.orderId, 'transfer');
      const ref = await eventOf(input);
      const answer = { outcome: 'APPLIED', orderId: input.orderId };
      assert.deepEqual(await apply(ref), answer);
      assert.equal(await statusOf(input), 'CAPTURED');
      assert.deepEqual(await apply(ref), answer);
      await shop.webhooks.closeWebhook({ ...ref, outcome: 'APPLIED' });
      await shop.webhooks.closeWebhook({ ...ref, outcome: 'UNCHANGED' });
      assert.deepEqual(await apply(ref), answer);
      assert.equal((await stored(ref.eventId))[0]?.['outcome'], 'APPLIED');
    });

    it('change nothing when the checkout knew before they came', async () => {
      const input = await awaiting();
      await act(shop, input.orderId, 'transfer');
      await shop.activities.checkPayment(input);
      await sleep(5);
      assert.equal(await outcomeOf(await eventOf(input)), 'UNCHANGED');
    });

    it('say that the payment was refused', async () => {
      const input = await awaiting();
      await act(shop, input.orderId, 'expire');
      assert.equal(await outcomeOf(await eventOf(input, 'charge.cancelled')), 'APPLIED');
      assert.equal(await refusalCode(shop.activities.checkPayment(input)), 'HOLD_EXPIRED');
      assert.equal(await outcomeOf(await eventOf(input, 'charge.captured')), 'UNCHANGED');
    });

    it('believe the gateway, not the event: one that says captured captures nothing', async () => {
      const input = await awaiting();
      assert.equal(await outcomeOf(await eventOf(input, 'charge.captured')), 'UNCHANGED');
      assert.equal(await statusOf(input), 'AWAITING_CONFIRMATION');
    });

    it('decide a capture whose answer got lost, so that its repeat only reads it', async () => {
      const input = captureInput();
      await shop.script({ route: 'confirm', kind: 'drop_after', orderId: input.orderId });
      await assert.rejects(shop.activities.capturePayment(input), GatewayOutage);
      assert.equal(await outcomeOf(await eventOf(input)), 'APPLIED');
      assert.equal((await shop.activities.capturePayment(input)).status, 'CAPTURED');
      assert.equal((await moneyOf(shop, input.orderId)).length, 1);
    });

    it('do not make the shopper wait, which only the capture can: it knows for how long', async () => {
      const input = transferInput(10);
      await shop.script({ route: 'confirm', kind: 'drop_after', orderId: input.orderId });
      await assert.rejects(shop.activities.capturePayment(input), GatewayOutage);
      assert.equal(await outcomeOf(await eventOf(input)), 'UNCHANGED');
      assert.equal(await statusOf(input), 'PENDING');
      const state = await shop.activities.capturePayment(input);
      assert.ok(state.status === 'AWAITING_CONFIRMATION' && state.holdMs <= 10_000);
    });

    it('find money that came for an order which is given up, until it is given back', async () => {
      const input = captureInput();
      const { orderId } = input;
      await shop.script({ route: 'confirm', kind: 'land_anyway', ms: 1_600, orderId });
      await assert.rejects(shop.activities.capturePayment(input), GatewayOutage);
      await shop.activities.abandonPayment(input);
      assert.deepEqual(await settleFully(shop, orderId), { outcome: 'NOTHING_CHARGED' });
      assert.equal(await statusOf(input), 'CANCELLED');
      const early = await eventOf(input, 'charge.cancelled');
      assert.equal(await outcomeOf(early), 'UNCHANGED');

      await untilMoneyMoved(orderId);
      const late = { outcome: 'LATE_CAPTURE', orderId };
      const ref = await eventOf(input);
      assert.deepEqual(await apply(ref), late);
      assert.deepEqual(await apply(ref), late);
      assert.equal(await statusOf(input), 'CANCELLED');

      assert.deepEqual(await settleFully(shop, orderId), refundedInFull(orderId));
      assert.equal(await statusOf(input), 'REFUNDED');
      // Whoever gave it back may have been lost before the order's history said so: the next event sees to it.
      assert.deepEqual(await apply(ref), { ...late, wasSettled: true });
      assert.deepEqual(await shop.webhooks.readWebhook(ref), { orderId });
      assert.deepEqual(
        (await moneyOf(shop, orderId)).map(({ type }) => type),
        ['CAPTURE', 'REFUND'],
      );
    });

    it('find money that came for an order which was refused', async () => {
      const input = captureInput('tok_unknown');
      assert.equal(await refusalCode(shop.activities.capturePayment(input)), 'PAYMENT_METHOD_INVALID');
      const confirm = await shop.gateway.confirm(
        ...([input.orderId, (await eventAbout(shop, input.orderId)).providerPaymentId] as const),
        { method: 'card', token: 'tok_ok' },
      );
      assert.equal(confirm.status, 'captured');
      assert.equal(await outcomeOf(await eventOf(input)), 'LATE_CAPTURE');
      assert.deepEqual(await settleFully(shop, input.orderId), refundedInFull(input.orderId));
    });

    it('leave another amount than was asked to whoever hears the refusal', async () => {
      const input = await awaiting();
      await act(shop, input.orderId, 'transfer', { amount: { minor: 1, currency: 'KRW' } });
      assert.equal(await outcomeOf(await eventOf(input)), 'APPLIED');
      await sleep(5);
      assert.equal(await outcomeOf(await eventOf(input)), 'UNCHANGED');
      assert.equal(await refusalCode(shop.activities.checkPayment(input)), 'PAYMENT_AMOUNT_MISMATCH');
    });

    it('leave another amount to them also while they give it back, so that one person is asked and not two', async () => {
      const input = captureInput('tok_wrong_amount');
      const { orderId } = input;
      const early = await withEvent(input, () => refusalCode(shop.activities.capturePayment(input)));
      await sleep(5);
      const later = await eventOf(input);
      await shop.activities.abandonPayment(input);
      await shop.script({ route: 'refund', kind: 'status', status: 503, orderId });
      await assert.rejects(shop.activities.settleWithGateway(input), GatewayOutage);
      assert.equal(await statusOf(input), 'LATE_CAPTURED');
      assert.deepEqual(await apply(early), { outcome: 'APPLIED', orderId });
      assert.deepEqual(await apply(later), { outcome: 'UNCHANGED', orderId });

      await settleFully(shop, orderId);
      assert.equal(await statusOf(input), 'REFUNDED');
      for (const ref of [early, later]) {
        assert.deepEqual(await apply(ref), { outcome: 'LATE_CAPTURE', orderId, wasSettled: true });
      }
    });

    it('say that money was given back which somebody gives back while they ask the gateway', async () => {
      const input = captureInput('tok_wrong_amount');
      const { orderId } = input;
      assert.equal(await refusalCode(shop.activities.capturePayment(input)), 'PAYMENT_AMOUNT_MISMATCH');
      const ref = await eventOf(input);
      await shop.activities.abandonPayment(input);
      await shop.script({ route: 'lookup', kind: 'hold', orderId });
      const applied = apply(ref);
      await shop.untilHeld();
      await settleFully(shop, orderId);
      await shop.letGo();
      assert.deepEqual(await applied, { outcome: 'LATE_CAPTURE', orderId, wasSettled: true });
    });

    it('are of no order of ours when no payment has that charge', async () => {
      const event = {
        ...(await eventAbout(shop, (await awaiting()).orderId)),
        providerPaymentId: `ch_${randomUUID()}`,
      };
      await storeWebhook(shop.payment, event);
      assert.deepEqual(await apply(event), { outcome: 'UNKNOWN_CHARGE', orderId: null });
    });

    it('wait while the gateway is down or has lost the charge, and change nothing', async () => {
      const input = await awaiting();
      await act(shop, input.orderId, 'transfer');
      const ref = await eventOf(input);
      for (const [fault, error] of [
        [{ kind: 'status', status: 503 }, GatewayOutage],
        [{ kind: 'not_found' }, /does not know/],
      ] as const) {
        await shop.script({ ...fault, route: 'lookup', orderId: input.orderId });
        await assert.rejects(apply(ref), error);
        assert.equal(await statusOf(input), 'AWAITING_CONFIRMATION');
      }
      assert.equal(await outcomeOf(ref), 'APPLIED');
    });

    it('cannot be applied when they were never stored', async () => {
      await assert.rejects(apply({ provider: 'simulated', eventId: 'evt_nobody' }), /was stored/);
    });
  });

  /** An event of this order that comes while the work is done, before the payment is decided. */
  async function withEvent(input: CaptureInput, work: () => Promise<unknown>): Promise<WebhookRef> {
    await shop.script({ route: 'confirm', kind: 'hold', orderId: input.orderId });
    const done = work();
    await shop.untilHeld();
    const ref = await eventOf(input);
    await shop.letGo();
    await done;
    return ref;
  }
  async function untilMoneyMoved(orderId: string): Promise<void> {
    const deadline = Date.now() + 10_000;
    while ((await moneyOf(shop, orderId)).length === 0) {
      assert.ok(Date.now() < deadline, 'the charge never landed');
      // A charge lands when the gateway looks at it, as at its next call.
      await shop.gateway.lookup((await eventAbout(shop, orderId)).providerPaymentId);
      await sleep(50);
    }
  }
});
