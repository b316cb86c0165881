import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import Stripe from 'stripe';

import { stripeWebhook } from '../../infra/payment-gateway/stripe-webhook.ts';
import { WebhookRejected } from '../../infra/payment-gateway/webhook.ts';

const OLD = 'whsec_old_secret';
const NEW = 'whsec_new_secret';
const ORDER = '9f3d3c52-6f0c-5d2b-9a53-2f6f2a1f7c11';

const event = (type: string, object: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>> = {}) =>
  JSON.stringify({
    ...{ object: 'event', id: 'evt_1', type, created: 1_795_000_000, livemode: true, api_version: '2020-08-27' },
    ...more,
    data: { object },
  });
const INTENT = {
  object: 'payment_intent',
  id: 'pi_1',
  status: 'succeeded',
  metadata: { order_id: ORDER },
  receipt_email: 'someone@example.com',
};
const SUCCEEDED = event('payment_intent.succeeded', INTENT);

const now = () => Math.floor(Date.now() / 1_000);
const sign = (payload: string, secret = NEW, timestamp = now()) =>
  Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });

describe('webhooks of Stripe', () => {
  const read = stripeWebhook([NEW, OLD]);
  const receive = (payload: string | Buffer, signature: string | undefined) =>
    read(Buffer.from(payload), { 'stripe-signature': signature });
  const rejected = (error: unknown) => {
    assert.ok(error instanceof WebhookRejected, String(error));
    assert.ok(!/whsec|pi_1|example/.test(error.message), 'the message names no secret and no content');
    return true;
  };

  it('an event about one of our charges keeps only what is allowed', () => {
    assert.deepEqual(receive(SUCCEEDED, sign(SUCCEEDED)), {
      provider: 'stripe',
      eventId: 'evt_1',
      type: 'payment_intent.succeeded',
      providerPaymentId: 'pi_1',
      fields: { orderId: ORDER, status: 'succeeded', createdAt: 1_795_000_000, live: 1 },
      bodyHash: createHash('sha256').update(SUCCEEDED).digest('hex'),
    });
  });

  it('each of the two live secrets is accepted, a third is not', () => {
    assert.notEqual(receive(SUCCEEDED, sign(SUCCEEDED, OLD)), null);
    assert.notEqual(receive(SUCCEEDED, sign(SUCCEEDED, NEW)), null);
    assert.throws(() => receive(SUCCEEDED, sign(SUCCEEDED, 'whsec_third')), rejected);
  });

  it('without a secret everything is rejected', () => {
    for (const secrets of [[], [''], [' ']]) {
      const closed = stripeWebhook(secrets);
      const headers = { 'stripe-signature': sign(SUCCEEDED, ' ') };
      assert.throws(() => closed(Buffer.from(SUCCEEDED), headers), rejected);
    }
  });

  it('an event may be five minutes old or early, and not a second more', () => {
    for (const age of [0, 295, -295]) assert.notEqual(receive(SUCCEEDED, sign(SUCCEEDED, NEW, now() - age)), null);
    for (const age of [302, -305, 86_400, -86_400]) {
      assert.throws(() => receive(SUCCEEDED, sign(SUCCEEDED, NEW, now() - age)), rejected, `${age} s`);
    }
  });

  it('an event that was altered by one byte, anywhere, is rejected', () => {
    const signature = sign(SUCCEEDED);
    for (let at = 0; at < SUCCEEDED.length; at++) {
      const altered = Buffer.from(SUCCEEDED);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      assert.throws(() => receive(altered, signature), rejected, `byte ${at}`);
    }
  });

  it('bytes that a decoder would drop or repair are rejected', () => {
    assert.throws(() => receive(Buffer.from(`\uFEFF${SUCCEEDED}`), sign(SUCCEEDED)), rejected);
    const withMark = event('payment_intent.succeeded', { ...INTENT, note: '\uFFFD' });
    const broken = Buffer.from(withMark);
    const at = broken.indexOf(Buffer.from('\uFFFD'));
    const repaired = Buffer.concat([broken.subarray(0, at), Buffer.from([0xff]), broken.subarray(at + 3)]);
    assert.equal(repaired.toString('utf8'), withMark, 'a lenient decoder sees the same text');
    assert.throws(() => receive(repaired, sign(withMark)), rejected);
  });

  it('a header that is missing, doubled or nonsense is rejected', () => {
    for (const header of [undefined, '', 't=1', 'v1=00', `t=${now()}`, `t=x,v1=00`, `t=${now()},v1=00`, ',,,']) {
      assert.throws(() => receive(SUCCEEDED, header), rejected, String(header));
    }
    const twice = [sign(SUCCEEDED), sign(SUCCEEDED)];
    assert.throws(() => read(Buffer.from(SUCCEEDED), { 'stripe-signature': twice }), rejected);
    const early = sign(SUCCEEDED, NEW, now() + 600);
    assert.throws(() => receive(SUCCEEDED, `t=${now()},${early}`), rejected, 'two time stamps');
  });

  for (const [name, payload] of [
    ['no JSON', 'not json'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a thin event', JSON.stringify({ object: 'v2.core.event', id: 'evt_1', type: 'v1.billing.meter' })],
    ['an id of another form', event('payment_intent.succeeded', INTENT, { id: '1; drop table' })],
    ['an intent without an id', event('payment_intent.succeeded', { object: 'payment_intent' })],
  ] as const) {
    it(`a genuine signature over ${name} is rejected`, () => {
      assert.throws(() => receive(payload, sign(payload)), rejected);
    });
  }

  for (const [type, object, fields] of [
    ['charge.refunded', { object: 'charge', id: 'ch_1', status: 'succeeded' }, { charge: 'ch_1', status: 'succeeded' }],
    ['charge.refund.updated', { object: 'refund', id: 're_1', status: 'failed' }, { refund: 're_1', status: 'failed' }],
    ['refund.failed', { object: 'refund', id: 're_1', status: null }, { refund: 're_1', status: null }],
  ] as const) {
    it(`${type} is about the charge that it gives back from`, () => {
      const payload = event(type, { ...object, payment_intent: 'pi_7' });
      const given = receive(payload, sign(payload));
      assert.equal(given?.providerPaymentId, 'pi_7');
      assert.deepEqual(given.fields, { ...fields, createdAt: 1_795_000_000, live: 1 });
    });
  }

  for (const [name, payload] of [
    ['another kind of event', event('customer.created', { object: 'customer', id: 'cus_1' })],
    ['an intent without an order', event('payment_intent.succeeded', { ...INTENT, metadata: {} })],
    [
      'an intent with an order of another shop',
      event('payment_intent.created', { ...INTENT, metadata: { order_id: '7' } }),
    ],
    ['a refund without an intent', event('refund.created', { object: 'refund', id: 're_1', payment_intent: null })],
    ['a subject that we do not follow', event('payment_intent.created', { object: 'order' })],
  ] as const) {
    it(`${name} is genuine and none of ours`, () => {
      assert.equal(receive(payload, sign(payload)), null);
    });
  }
});
