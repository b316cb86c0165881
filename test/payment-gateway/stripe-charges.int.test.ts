import assert from 'node:assert/strict';

import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal, type PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { stripeGateway } from '../../infra/payment-gateway/stripe.ts';
import {
  capturedJson,
  intentJson,
  listJson,
  refundJson,
  refuses,
  says,
  type StripeStandIn,
  stripeStandIn,
} from '../support/stripe-stand-in.ts';

const CONFIRM = 'POST /v1/payment_intents/pi_1/confirm';
const CANCEL = 'POST /v1/payment_intents/pi_1/cancel';
const LOOKUP = 'GET /v1/payment_intents/pi_1';
const CARD = { method: 'card', token: 'pm_card_visa' } as const;
const DOLLARS = { minor: 2_500, currency: 'USD' };
const OPEN = {
  providerId: 'pi_1',
  status: 'open',
  captured: null,
  refundedMinor: 0,
  declineCode: null,
  instructions: null,
};

const refused = (code: string) => (error: unknown) => {
  assert.ok(error instanceof GatewayRefusal, String(error));
  assert.equal(error.gatewayCode, code);
  assert.ok(!error.message.includes('Kim'), 'the words of an answer are not repeated');
  return true;
};
const inDoubt = (message: string) => (error: unknown) => {
  assert.ok(error instanceof GatewayOutage, String(error));
  assert.equal(error.message, message);
  return true;
};

describe('charges through Stripe', function () {
  this.timeout(30_000);
  let stripe: StripeStandIn;
  let gateway: PaymentGateway;

  before(async () => {
    stripe = await stripeStandIn();
    gateway = stripeGateway({ secretKey: 'sk_test_1', apiUrl: stripe.url, timeoutMs: 2_000, maxProcessingMs: 7 });
  });
  beforeEach(() => stripe.reset());
  after(() => stripe.close());

  describe('prepare', () => {
    it('asks for the amount in the unit that Stripe counts, with the order and its key', async () => {
      stripe.on('POST /v1/payment_intents', says(200, intentJson({ amount: 500, currency: 'isk' })));
      const id = await gateway.prepare({ orderId: 'o-1', amount: { minor: 5, currency: 'ISK' }, method: 'card' });
      assert.equal(id, 'pi_1');
      const [request] = stripe.requests;
      assert.equal(request?.key, 'o-1:prepare');
      assert.deepEqual(request.params, {
        amount: '500',
        currency: 'isk',
        'allowed_payment_method_types[0]': 'card',
        'metadata[order_id]': 'o-1',
      });
      assert.equal(request.headers['stripe-version'], '2026-10-28.endive');
    });

    it('a bank transfer is asked for on behalf of a customer that this order has alone', async () => {
      stripe.on('POST /v1/customers', says(200, { object: 'customer', id: 'cus_1' }));
      stripe.on('POST /v1/payment_intents', says(200, intentJson({ amount: 500, currency: 'eur' })));
      const amount = { minor: 500, currency: 'EUR' };
      assert.equal(await gateway.prepare({ orderId: 'o-1', amount, method: 'bank_transfer' }), 'pi_1');
      const [customer, intent] = stripe.requests;
      assert.equal(customer?.key, 'o-1:customer');
      assert.deepEqual(customer.params, {
        'metadata[order_id]': 'o-1',
        'cash_balance[settings][reconciliation_mode]': 'automatic',
      });
      const options = 'payment_method_options[customer_balance]';
      assert.deepEqual(intent?.params, {
        amount: '500',
        currency: 'eur',
        customer: 'cus_1',
        'allowed_payment_method_types[0]': 'customer_balance',
        'payment_method_data[type]': 'customer_balance',
        [`${options}[funding_type]`]: 'bank_transfer',
        [`${options}[bank_transfer][type]`]: 'eu_bank_transfer',
        [`${options}[bank_transfer][eu_bank_transfer][country]`]: 'DE',
        'metadata[order_id]': 'o-1',
      });
    });

    it('an amount that Stripe cannot take exactly is refused without asking', async () => {
      for (const amount of [
        { minor: 1_001, currency: 'KWD' },
        { minor: 5, currency: 'XTS' },
      ]) {
        const asked = gateway.prepare({ orderId: 'o-1', amount, method: 'card' });
        await assert.rejects(asked, refused('amount_not_supported'));
      }
      const won = gateway.prepare({ orderId: 'o-1', amount: { minor: 5, currency: 'KRW' }, method: 'bank_transfer' });
      await assert.rejects(won, refused('currency_not_supported'));
      assert.deepEqual(stripe.requests, []);
    });

    it('an intent over another amount is not believed', async () => {
      stripe.on('POST /v1/payment_intents', says(200, intentJson({ amount: 2_501 })));
      const asked = gateway.prepare({ orderId: 'o-1', amount: DOLLARS, method: 'card' });
      await assert.rejects(asked, inDoubt('stripe prepare: the answer is about another amount'));
    });
  });

  describe('confirm', () => {
    it('money that was taken is told in our unit, with its amount and not the one that was asked', async () => {
      stripe.on(CONFIRM, says(200, capturedJson({ amount_received: 900, currency: 'jpy' })));
      const charge = await gateway.confirm('o-1', 'pi_1', CARD);
      assert.deepEqual(charge, { ...OPEN, status: 'captured', captured: { minor: 900, currency: 'JPY' } });
      assert.equal(stripe.requests[0]?.key, 'o-1:confirm');
      assert.equal(stripe.requests[0].params['error_on_requires_action'], 'true');
    });

    it('a token becomes a payment method first, by a key of its own', async () => {
      stripe.on('POST /v1/payment_methods', says(200, { object: 'payment_method', id: 'pm_9' }));
      stripe.on(CONFIRM, says(200, capturedJson()));
      await gateway.confirm('o-1', 'pi_1', { method: 'card', token: 'tok_visa' });
      const [method, confirm] = stripe.requests;
      assert.deepEqual([method?.key, method?.params['card[token]']], ['o-1:method', 'tok_visa']);
      assert.equal(confirm?.params['payment_method'], 'pm_9');
    });

    it('a decline is an answer, with the reason of the issuer', async () => {
      stripe.on(CONFIRM, refuses(402, { type: 'card_error', code: 'card_declined', decline_code: 'lost_card' }));
      const error = { type: 'card_error', code: 'card_declined', decline_code: 'lost_card' };
      stripe.on(LOOKUP, says(200, intentJson({ last_payment_error: error })));
      const charge = await gateway.confirm('o-1', 'pi_1', CARD);
      assert.deepEqual(charge, { ...OPEN, status: 'declined', declineCode: 'lost_card' });
    });

    it('a card that is declined before the intent hears of it is declined too', async () => {
      stripe.on('POST /v1/payment_methods', refuses(402, { type: 'card_error', code: 'incorrect_cvc' }));
      stripe.on(LOOKUP, says(200, intentJson()));
      const charge = await gateway.confirm('o-1', 'pi_1', { method: 'card', token: 'tok_cvc' });
      assert.deepEqual([charge.status, charge.declineCode], ['declined', 'incorrect_cvc']);
    });

    it('a "no" to a repetition of what was done is answered with what was done', async () => {
      stripe.on(LOOKUP, says(200, capturedJson()));
      for (const code of ['payment_intent_unexpected_state', 'token_already_used']) {
        stripe.on(CONFIRM, refuses(400, { type: 'invalid_request_error', code }));
        assert.equal((await gateway.confirm('o-1', 'pi_1', CARD)).status, 'captured');
      }
    });

    it('a token that was spent on an attempt which was declined is declined again', async () => {
      stripe.on(
        'POST /v1/payment_methods',
        refuses(400, { type: 'invalid_request_error', code: 'token_already_used' }),
      );
      const error = { type: 'card_error', code: 'expired_card' };
      stripe.on(LOOKUP, says(200, intentJson({ last_payment_error: error })));
      const charge = await gateway.confirm('o-1', 'pi_1', { method: 'card', token: 'tok_spent' });
      assert.deepEqual([charge.status, charge.declineCode], ['declined', 'expired_card']);
    });

    it('an unusable card is refused when the charge is untouched', async () => {
      const missing = { type: 'invalid_request_error', code: 'resource_missing', param: 'payment_method' };
      stripe.on(CONFIRM, refuses(400, missing));
      stripe.on(LOOKUP, says(200, intentJson()));
      await assert.rejects(gateway.confirm('o-1', 'pi_1', CARD), refused('resource_missing'));
    });

    it('a refusal is in doubt while the charge cannot be looked up', async () => {
      stripe.on(CONFIRM, refuses(402, { type: 'card_error', code: 'card_declined' }));
      stripe.on(LOOKUP, refuses(503, { type: 'api_error' }));
      await assert.rejects(gateway.confirm('o-1', 'pi_1', CARD), inDoubt('stripe lookup: HTTP 503'));
      stripe.on(LOOKUP, refuses(400, { type: 'invalid_request_error', code: 'parameter_unknown' }));
      const message = 'stripe lookup: refused with parameter_unknown';
      await assert.rejects(gateway.confirm('o-1', 'pi_1', CARD), inDoubt(message));
    });

    it('a charge that Stripe gave us and does not know leaves it in doubt', async () => {
      const missing = { type: 'invalid_request_error', code: 'resource_missing', param: 'intent' };
      stripe.on(CONFIRM, refuses(404, missing));
      stripe.on(LOOKUP, refuses(404, missing));
      const message = 'stripe confirm: refused with resource_missing, and the charge is not known';
      await assert.rejects(gateway.confirm('o-1', 'pi_1', CARD), inDoubt(message));
    });

    it('a card that must be confirmed at the bank leads there, when there is a page to come back to', async () => {
      const returnUrl = 'https://shop.example/back';
      const its = stripeGateway({
        secretKey: 'k',
        apiUrl: stripe.url,
        timeoutMs: 2_000,
        maxProcessingMs: 7,
        returnUrl,
      });
      const redirect = {
        type: 'redirect_to_url',
        redirect_to_url: { url: 'https://hooks.example/3ds', return_url: null },
      };
      stripe.on(CONFIRM, says(200, intentJson({ status: 'requires_action', next_action: redirect })));
      const charge = await its.confirm('o-1', 'pi_1', CARD);
      const instructions = { type: 'redirect', url: 'https://hooks.example/3ds' };
      assert.deepEqual(charge, { ...OPEN, status: 'requires_confirmation', instructions });
      assert.equal(stripe.requests[0]?.params['return_url'], returnUrl);
      assert.equal(stripe.requests[0].params['error_on_requires_action'], undefined);
    });

    for (const [name, financial, account] of [
      ['an IBAN', { type: 'iban', iban: { bic: 'STPEIE22', iban: 'IE12' } }, ['STPEIE22', 'IE12']],
      [
        'a sort code',
        { type: 'sort_code', sort_code: { sort_code: '200000', account_number: '7' } },
        ['sort code 200000', '7'],
      ],
      ['a CLABE', { type: 'spei', spei: { bank_name: 'STP', clabe: '646' } }, ['STP', '646']],
      [
        'an ABA number',
        { type: 'aba', aba: { bank_name: 'US Bank', routing_number: '11', account_number: '22' } },
        ['US Bank, routing number 11', '22'],
      ],
      [
        'a Zengin account',
        { type: 'zengin', zengin: { bank_name: 'B', branch_name: 'N', account_type: 'futsu', account_number: '3' } },
        ['B N futsu', '3'],
      ],
    ] as const) {
      it(`a bank transfer says where to: ${name}`, async () => {
        const transfer = { reference: 'R1', financial_addresses: [{ type: 'odd' }, financial] };
        const next_action = {
          type: 'display_bank_transfer_instructions',
          display_bank_transfer_instructions: transfer,
        };
        stripe.on(CONFIRM, says(200, intentJson({ status: 'requires_action', next_action })));
        const { instructions } = await gateway.confirm('o-1', 'pi_1', { method: 'bank_transfer' });
        assert.deepEqual(instructions, {
          type: 'bank_transfer',
          bank: account[0],
          account: account[1],
          reference: 'R1',
        });
      });
    }
  });

  describe('lookup', () => {
    for (const [status, expected] of [
      ['requires_confirmation', 'open'],
      ['requires_capture', 'open'],
      ['requires_action', 'open'], // an action that no shopper can be shown
      ['processing', 'processing'],
      ['canceled', 'cancelled'],
    ] as const) {
      it(`an intent that is ${status} is a charge that is ${expected}`, async () => {
        stripe.on(LOOKUP, says(200, intentJson({ status })));
        assert.deepEqual(await gateway.lookup('pi_1'), { ...OPEN, status: expected });
      });
    }

    it('what was given back is what did not fail, over all pages', async () => {
      stripe.on(LOOKUP, says(200, capturedJson({ latest_charge: { amount_refunded: 700, currency: 'usd' } })));
      stripe.on(
        'GET /v1/refunds',
        says(
          200,
          listJson([refundJson({ id: 're_3', amount: 300 }), refundJson({ id: 're_2', status: 'failed' })], true),
        ),
        says(200, listJson([refundJson({ id: 're_1', amount: 400, status: 'pending' })])),
      );
      assert.equal((await gateway.lookup('pi_1'))?.refundedMinor, 700);
      assert.equal(stripe.requests.at(-1)?.params['starting_after'], 're_2');
    });

    it('a charge that Stripe does not know is undefined', async () => {
      stripe.on(LOOKUP, refuses(404, { type: 'invalid_request_error', code: 'resource_missing', param: 'intent' }));
      assert.equal(await gateway.lookup('pi_1'), undefined);
    });

    it('a 404 of somebody else is no word about the charge', async () => {
      stripe.on(LOOKUP, refuses(404, { type: 'invalid_request_error' }));
      await assert.rejects(gateway.lookup('pi_1'), inDoubt('stripe lookup: refused with invalid_request_error'));
    });
  });

  describe('cancel', () => {
    const tooLate = refuses(400, { type: 'invalid_request_error', code: 'payment_intent_unexpected_state' });

    it('an open charge is closed', async () => {
      stripe.on(CANCEL, says(200, intentJson({ status: 'canceled' })));
      assert.equal((await gateway.cancel('pi_1')).status, 'cancelled');
    });

    for (const [name, json, status] of [
      ['captured meanwhile', capturedJson(), 'captured'],
      ['cancelled before', intentJson({ status: 'canceled' }), 'cancelled'],
      ['being processed', intentJson({ status: 'processing' }), 'processing'],
    ] as const) {
      it(`a charge that was ${name} is answered as it is`, async () => {
        stripe.on(CANCEL, tooLate);
        stripe.on(LOOKUP, says(200, json));
        assert.equal((await gateway.cancel('pi_1')).status, status);
      });
    }

    it('a charge that stays open although Stripe refuses to close it is a refusal', async () => {
      stripe.on(CANCEL, tooLate);
      stripe.on(LOOKUP, says(200, intentJson()));
      await assert.rejects(gateway.cancel('pi_1'), refused('payment_intent_unexpected_state'));
    });
  });
});
