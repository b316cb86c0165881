import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CaptureInput } from '../../activities/payments/contract.ts';
import { settlementKey } from '../../activities/payments/settlement-tables.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal } from '../../infra/payment-gateway/port.ts';
import { refusalCode } from '../support/activity-refusal.ts';
import { assertOutboxIsSound } from '../support/outbox.ts';
import {
  activitiesWith,
  captureInput,
  moneyOf,
  openPayments,
  paymentOf,
  type PaymentService,
  refundedInFull,
  settleFully,
} from '../support/payments.ts';

/** Less than the gateway's maximum processing time of these tests, milliseconds. */
const LANDS_AFTER_MS = 700;

/** The first attempt gets no answer, and what it asked for lands whatever the gateway says to the second one. */
describe('a charge that lands after the gateway has said something else', function () {
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

  async function attempted(token?: string): Promise<CaptureInput> {
    const input = captureInput(token);
    await shop.script({ route: 'confirm', kind: 'land_anyway', ms: LANDS_AFTER_MS, orderId: input.orderId });
    await assert.rejects(shop.activities.capturePayment(input), GatewayOutage);
    return input;
  }
  /** Nobody else notices: there are no webhooks here, and no reconciler. */
  async function endsWithNothingKept({ orderId }: CaptureInput): Promise<void> {
    assert.deepEqual(await settleFully(shop, orderId), refundedInFull(orderId));
    await sleep(LANDS_AFTER_MS);
    assert.deepEqual(await moneyOf(shop, orderId), [
      { type: 'CAPTURE', minor: 39_000, currency: 'KRW', key: null },
      { type: 'REFUND', minor: 39_000, currency: 'KRW', key: settlementKey(orderId) },
    ]);
    assert.equal((await paymentOf(shop, orderId))?.['status'], 'REFUNDED');
  }

  it('is waited for and given back when the second attempt was declined', async () => {
    const input = await attempted('tok_declined');
    assert.equal(await refusalCode(shop.activities.capturePayment(input)), 'PAYMENT_DECLINED');
    await endsWithNothingKept(input);
  });

  it('is waited for and given back when the second attempt was refused', async () => {
    const input = await attempted();
    const confirm = () => Promise.reject(new GatewayRefusal('invalid_payment_method', 'the token is spent'));
    const refusing = activitiesWith(shop.payment, { ...shop.gateway, confirm });
    assert.equal(await refusalCode(refusing.capturePayment(input)), 'PAYMENT_METHOD_INVALID');
    await endsWithNothingKept(input);
  });

  it('is waited for and given back when the second attempt asks the shopper, who cancels at once', async () => {
    const input = await attempted('tok_requires_confirmation');
    const { orderId } = input;
    assert.equal((await shop.activities.capturePayment(input)).status, 'AWAITING_CONFIRMATION');
    assert.deepEqual(await shop.activities.abandonPayment({ orderId }), { outcome: 'CANCELLED', refusal: null });
    await endsWithNothingKept(input);
  });

  it('is waited for no longer than it may take: then it is certain that nothing was taken', async () => {
    const input = captureInput('tok_declined');
    const { orderId } = input;
    await shop.script({ route: 'confirm', kind: 'drop_before', orderId });
    await assert.rejects(shop.activities.capturePayment(input), GatewayOutage);
    assert.equal(await refusalCode(shop.activities.capturePayment(input)), 'PAYMENT_DECLINED');
    const first = await shop.activities.settleWithGateway({ orderId });
    assert.ok(first.outcome === 'LOOK_AGAIN' && first.afterMs <= shop.gateway.maxProcessingMs, JSON.stringify(first));
    assert.deepEqual(await settleFully(shop, orderId), { outcome: 'NOTHING_CHARGED' });
    assert.equal((await paymentOf(shop, orderId))?.['status'], 'FAILED');
  });

  it('is not waited for where the first attempt was answered: a decline is settled at once', async () => {
    const input = captureInput('tok_declined');
    assert.equal(await refusalCode(shop.activities.capturePayment(input)), 'PAYMENT_DECLINED');
    assert.equal(await refusalCode(shop.activities.capturePayment(input)), 'PAYMENT_DECLINED');
    assert.deepEqual(await shop.activities.settleWithGateway(input), { outcome: 'NOTHING_CHARGED' });
  });

  it('is not waited for where the shopper was asked at the first attempt, however often that is repeated', async () => {
    const input = captureInput('tok_requires_confirmation');
    for (let i = 0; i < 3; i++) await shop.activities.capturePayment(input);
    await shop.activities.abandonPayment(input);
    assert.deepEqual(await shop.activities.settleWithGateway(input), { outcome: 'NOTHING_CHARGED' });
  });
});
