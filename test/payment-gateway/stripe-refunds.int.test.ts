import assert from 'node:assert/strict';

import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal, type PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { stripeGateway } from '../../infra/payment-gateway/stripe.ts';
import { listJson, refundJson, refuses, says, type StripeStandIn, stripeStandIn } from '../support/stripe-stand-in.ts';

const LIST = 'GET /v1/refunds';
const CREATE = 'POST /v1/refunds';
const DOLLARS = { minor: 2_500, currency: 'USD' };
const REPLAYED = { 'idempotent-replayed': 'true' };
const tooPoor = { type: 'invalid_request_error', code: 'balance_insufficient' };

describe('refunds through Stripe', function () {
  this.timeout(30_000);
  let stripe: StripeStandIn;
  let gateway: PaymentGateway;
  const refund = () => gateway.refund('pi_1', 'key-1', DOLLARS);
  const keys = () => stripe.requests.filter(({ route }) => route === CREATE).map(({ key }) => key);

  before(async () => {
    stripe = await stripeStandIn();
    gateway = stripeGateway({ secretKey: 'sk_test_1', apiUrl: stripe.url, timeoutMs: 2_000, maxProcessingMs: 7 });
  });
  beforeEach(() => {
    stripe.reset();
    stripe.on(LIST, says(200, listJson([])));
  });
  after(() => stripe.close());

  it('carries the refund key as its idempotency key and in its own metadata', async () => {
    stripe.on(CREATE, says(200, refundJson()));
    assert.deepEqual(await refund(), { status: 'succeeded', failureCode: null });
    assert.deepEqual(stripe.requests.at(-1)?.params, {
      payment_intent: 'pi_1',
      amount: '2500',
      'metadata[refund_key]': 'key-1',
    });
    assert.deepEqual(keys(), ['key-1']);
  });

  it('one that was made before is not asked for again, also when it is on a later page', async () => {
    const others = Array.from({ length: 3 }, (_, i) =>
      refundJson({ id: `re_${i}`, metadata: { refund_key: `k${i}` } }),
    );
    const ours = refundJson({ id: 're_9', metadata: { refund_key: 'key-1' }, status: 'pending' });
    stripe.on(LIST, says(200, listJson(others, true)), says(200, listJson([ours])));
    assert.deepEqual(await refund(), { status: 'pending', failureCode: null });
    assert.deepEqual(keys(), []);
  });

  for (const [status, expected, failureCode] of [
    ['pending', 'pending', null],
    ['requires_action', 'pending', null],
    ['failed', 'failed', 'lost_or_stolen_card'],
    ['canceled', 'failed', 'lost_or_stolen_card'],
  ] as const) {
    it(`one that is ${status} counts as ${expected}`, async () => {
      stripe.on(CREATE, says(200, refundJson({ status, failure_reason: 'lost_or_stolen_card' })));
      assert.deepEqual(await refund(), { status: expected, failureCode });
    });
  }

  it('a refusal is final for this call', async () => {
    stripe.on(CREATE, refuses(400, tooPoor));
    await assert.rejects(refund(), (error) => error instanceof GatewayRefusal);
    assert.deepEqual(keys(), ['key-1']);
  });

  it('what Stripe has refused is really tried again, though it repeats its refusal for a day', async () => {
    stripe.on(CREATE, refuses(400, tooPoor, REPLAYED), refuses(400, tooPoor, REPLAYED), says(200, refundJson()));
    assert.equal((await refund()).status, 'succeeded');
    assert.deepEqual(keys(), ['key-1', 'key-1:2', 'key-1:3']);
  });

  it('a failure that Stripe repeats is never taken for a refusal: it may have given the money back', async () => {
    stripe.on(CREATE, refuses(500, { type: 'api_error' }, REPLAYED));
    await assert.rejects(refund(), (error) => error instanceof GatewayOutage);
    assert.deepEqual(keys(), ['key-1']);
  });

  it('it does not go on for ever', async () => {
    stripe.on(CREATE, refuses(400, tooPoor, REPLAYED));
    await assert.rejects(refund(), (error) => error instanceof GatewayRefusal);
    assert.equal(keys().length, 10);
  });

  it('nothing is asked for while the refunds that were made cannot be read to the end', async () => {
    for (const reply of [
      says(200, listJson([], true)),
      says(200, { object: 'list', data: [] }),
      refuses(400, tooPoor),
      refuses(500, { type: 'api_error' }),
    ]) {
      stripe.on(LIST, reply);
      await assert.rejects(refund(), (error) => error instanceof GatewayOutage);
    }
    assert.deepEqual(keys(), []);
  });

  for (const [name, other] of [
    ['amount', { amount: 2_499 }],
    ['currency', { currency: 'eur' }],
    ['charge', { payment_intent: 'pi_2' }],
  ] as const) {
    it(`a refund of another ${name} is not believed`, async () => {
      stripe.on(CREATE, says(200, refundJson(other)));
      await assert.rejects(refund(), (error: unknown) => {
        assert.ok(error instanceof GatewayOutage, String(error));
        assert.equal(error.message, 'stripe refund: the answer is about another refund');
        return true;
      });
    });
  }
});
