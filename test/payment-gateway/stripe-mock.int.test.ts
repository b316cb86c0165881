import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal, type PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { stripeGateway } from '../../infra/payment-gateway/stripe.ts';
import { askStripe } from '../../infra/payment-gateway/stripe-client.ts';
import { stripeLedger } from '../../infra/payment-gateway/stripe-ledger.ts';
import { paymentIntent } from '../../infra/payment-gateway/stripe-shapes.ts';
import { startStripeMock, type StripeMock } from '../support/stripe-mock.ts';

const DOLLARS = { minor: 2_500, currency: 'USD' };

/**
 * stripe-mock refuses every request that Stripe's own specification does not know, and answers in its shapes: an intent
 * that waits for a payment method, and a refund of what was asked in USD. So a call that passes was well formed, and its
 * answer was believed.
 */
describe('requests and answers of the Stripe adapter, against stripe-mock', function () {
  this.timeout(360_000);
  let mock: StripeMock;
  let gateway: PaymentGateway;
  let options: { secretKey: string; apiUrl: string; timeoutMs: number };

  before(async function () {
    mock = await startStripeMock(this);
    options = { secretKey: 'sk_test_123', apiUrl: mock.url, timeoutMs: 10_000 };
    gateway = stripeGateway({ ...options, maxProcessingMs: 1_000 });
  });
  after(() => mock?.close());

  it('a request with a parameter that Stripe does not know is refused, so the other tests can fail', async () => {
    const wrong = { amount: 1, currency: 'usd', amont: 2 };
    const send = askStripe(options)('test', paymentIntent, (stripe) => stripe.paymentIntents.create(wrong));
    await assert.rejects(send, (error: unknown) => {
      assert.ok(error instanceof GatewayRefusal, String(error));
      assert.equal(error.gatewayCode, 'invalid_request_error');
      return true;
    });
  });

  it('a card payment is prepared', async () => {
    const providerId = await gateway.prepare({ orderId: randomUUID(), amount: DOLLARS, method: 'card' });
    assert.match(providerId, /^pi_/);
  });

  for (const currency of ['EUR', 'GBP', 'JPY', 'MXN', 'USD']) {
    it(`a bank transfer in ${currency} is prepared, for a customer of its own`, async () => {
      const request = { orderId: randomUUID(), amount: { minor: 2_500, currency }, method: 'bank_transfer' } as const;
      assert.match(await gateway.prepare(request), /^pi_/);
    });
  }

  for (const [name, choice] of [
    ['a card by its token', { method: 'card', token: 'tok_visa' }],
    ['a card by its payment method', { method: 'card', token: 'pm_card_visa' }],
    ['a bank transfer', { method: 'bank_transfer' }],
  ] as const) {
    for (const returnUrl of [undefined, 'https://shop.example/back']) {
      it(`${name} is confirmed ${returnUrl === undefined ? 'without' : 'with'} a page to come back to`, async () => {
        const its = stripeGateway({ ...options, maxProcessingMs: 1, returnUrl });
        const charge = await its.confirm(randomUUID(), 'pi_mine', choice);
        assert.deepEqual([charge.providerId, charge.captured], ['pi_mine', null]);
      });
    }
  }

  it('a charge is looked up', async () => {
    assert.equal((await gateway.lookup('pi_mine'))?.providerId, 'pi_mine');
  });

  it('a charge is cancelled', async () => {
    assert.equal((await gateway.cancel('pi_mine')).providerId, 'pi_mine');
  });

  it('the refunds of a charge are read, and one is made', async () => {
    const refund = await gateway.refund('pi_mine', 'order-1:settle-refund', DOLLARS);
    assert.deepEqual(refund, { status: 'succeeded', failureCode: null });
  });

  for (const [name, since] of [
    ['all intents', undefined],
    ['what moved since an instant', new Date(Date.UTC(2026, 0, 1))],
  ] as const) {
    it(`the books are read: ${name}`, async () => {
      let entries = 0;
      const books = stripeLedger(options).charges({ since, say: (count) => void (entries = count) });
      // Its intents have no order of ours, and its movements no intent, so nothing of them is booked.
      for await (const charge of books) assert.fail(`${charge.providerId} is not ours`);
      assert.equal(entries, since === undefined ? 1 : 0);
    });
  }

  it('a key that Stripe does not accept leaves the outcome in doubt', async () => {
    const stranger = stripeGateway({ ...options, secretKey: 'nonsense', maxProcessingMs: 1 });
    await assert.rejects(stranger.lookup('pi_mine'), (error: unknown) => {
      assert.ok(error instanceof GatewayOutage, String(error));
      assert.equal(error.message, 'stripe lookup: HTTP 401');
      return true;
    });
  });
});
