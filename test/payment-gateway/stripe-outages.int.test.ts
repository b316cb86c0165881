import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';

import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { stripeGateway } from '../../infra/payment-gateway/stripe.ts';
import {
  capturedJson,
  hangsUp,
  intentJson,
  refuses,
  says,
  type StripeReply,
  type StripeStandIn,
  stripeStandIn,
} from '../support/stripe-stand-in.ts';

const CONFIRM = 'POST /v1/payment_intents/pi_1/confirm';

describe('answers of Stripe that leave a charge in doubt', function () {
  this.timeout(30_000);
  let stripe: StripeStandIn;

  /** What `confirm` makes of the answer; it asks once, whatever comes. */
  const confirmAgainst = async (
    reply: StripeReply,
    timeoutMs = 2_000,
    signal?: AbortSignal,
  ): Promise<GatewayOutage> => {
    stripe.on(CONFIRM, reply);
    const gateway = stripeGateway({ secretKey: 'sk_test_1', apiUrl: stripe.url, timeoutMs, maxProcessingMs: 7 });
    const asked = gateway.confirm('o-1', 'pi_1', { method: 'card', token: 'pm_card_visa' }, signal);
    const error = await asked.then(
      (charge) => assert.fail(`believed: ${JSON.stringify(charge)}`),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof GatewayOutage, String(error));
    assert.equal(stripe.requests.length, 1, 'one attempt per call');
    assert.ok(!error.message.includes('Kim'), 'the words of an answer are not repeated');
    return error;
  };

  before(async () => {
    stripe = await stripeStandIn();
  });
  beforeEach(() => stripe.reset());
  after(() => stripe.close());

  it('an honest answer, with fields that we do not know, is believed, so the other tests can fail', async () => {
    stripe.on(CONFIRM, says(200, capturedJson({ more: true })));
    const options = { secretKey: 'sk_test_1', apiUrl: stripe.url, timeoutMs: 2_000, maxProcessingMs: 7 };
    const choice = { method: 'card', token: 'pm_card_visa' } as const;
    assert.equal((await stripeGateway(options).confirm('o-1', 'pi_1', choice)).status, 'captured');
  });

  for (const [status, error, message] of [
    [409, { type: 'idempotency_error', code: 'idempotency_key_in_use' }, 'HTTP 409 idempotency_key_in_use'],
    [400, { type: 'idempotency_error' }, 'HTTP 400'],
    [400, { type: 'invalid_request_error', code: 'lock_timeout' }, 'HTTP 400 lock_timeout'],
    [429, { type: 'invalid_request_error', code: 'lock_timeout' }, 'HTTP 429 lock_timeout'],
    [401, { type: 'invalid_request_error' }, 'HTTP 401'],
    [403, { type: 'invalid_request_error' }, 'HTTP 403'],
    [402, { type: 'api_error' }, 'HTTP 402'],
    [500, { type: 'api_error' }, 'HTTP 500'],
    [500, { type: 'card_error', code: 'card_declined' }, 'HTTP 500 card_declined'],
    [503, { type: 'invalid_request_error', code: 'Kim' }, 'HTTP 503'],
  ] as const) {
    it(`${status} ${JSON.stringify(error)}`, async () => {
      assert.equal((await confirmAgainst(refuses(status, error))).message, `stripe confirm: ${message}`);
    });
  }

  it('too many requests: as long as Stripe asks to wait', async () => {
    const busy = refuses(429, { type: 'invalid_request_error', code: 'rate_limit' }, { 'retry-after': '2' });
    const { message, retryAfterMs } = await confirmAgainst(busy);
    assert.deepEqual([message, retryAfterMs], ['stripe confirm: HTTP 429 rate_limit', 2_000]);
  });

  it('a connection that is cut is not tried again by the library', async () => {
    assert.equal((await confirmAgainst(hangsUp)).message, 'stripe confirm: the connection failed');
  });

  it('a connection that is cut in the middle of the answer', async () => {
    const cut: RequestListener = (req, res) => {
      res.writeHead(200, { 'content-length': 5_000 }).write('{"object":"payment_intent",', () => req.socket.destroy());
    };
    assert.equal((await confirmAgainst(cut)).message, 'stripe confirm: the connection failed');
  });

  it('silence is cut by the time limit', async () => {
    const silent: RequestListener = () => undefined;
    assert.equal((await confirmAgainst(silent, 300)).message, 'stripe confirm: no answer within 300 ms');
  });

  it('an answer that trickles is cut by the same limit', async () => {
    const trickling: RequestListener = (_req, res) => {
      const timer = setInterval(() => res.write(' '), 50);
      res.writeHead(200).once('close', () => clearInterval(timer));
    };
    assert.equal((await confirmAgainst(trickling, 400)).message, 'stripe confirm: no answer within 400 ms');
  });

  it('a worker that must stop does not wait for the answer', async () => {
    const stop = new AbortController();
    const answer: RequestListener = () => stop.abort();
    assert.equal((await confirmAgainst(answer, 10_000, stop.signal)).message, 'stripe confirm: the caller gave up');
  });

  it('an answer over 1 MiB is cut, also when it never ends', async () => {
    let sent = 0;
    const endless: RequestListener = (_req, res) => {
      const pour = (): void => {
        while (!res.destroyed && res.write(' '.repeat(65_536))) sent += 65_536;
      };
      res.writeHead(200).on('drain', pour);
      pour();
    };
    const { message } = await confirmAgainst(endless, 10_000);
    assert.equal(message, 'stripe confirm: the answer is larger than 1048576 bytes');
    assert.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken`);
  });

  for (const [name, reply, message] of [
    ['a page of a proxy', says(502, '<html>Bad Gateway</html>'), 'the answer is not JSON after HTTP 502'],
    ['JSON that is no object', says(200, '"paid"'), 'the answer is no object after HTTP 200'],
    ['a success of a proxy with status 500', says(500, capturedJson()), 'HTTP 500 without an error in it'],
    ['an error with status 200', refuses(200, { type: 'card_error' }), 'HTTP 200 with an error in it'],
    ['an error without its form', says(400, { error: 'no' }), 'HTTP 400 without an error in it'],
    ['a redirect', says(302, '{}', { location: 'http://127.0.0.1:1/' }), 'the connection failed'],
    ['another charge', says(200, capturedJson({ id: 'pi_2' })), 'the answer is about another charge'],
    [
      'an amount that is no whole number of our unit',
      says(200, capturedJson({ amount_received: 150, currency: 'isk' })),
      'an amount of isk that we cannot count',
    ],
    [
      'a currency that we do not know',
      says(200, capturedJson({ currency: 'xts' })),
      'an amount of xts that we cannot count',
    ],
  ] as const) {
    it(`${name} is not believed`, async () => {
      assert.equal((await confirmAgainst(reply)).message, `stripe confirm: ${message}`);
    });
  }

  for (const [name, json, field] of [
    ['a status that we do not know', intentJson({ status: 'paid' }), 'status'],
    ['an amount below zero', intentJson({ amount: -1 }), 'amount'],
    ['an amount beyond the safe integers', capturedJson({ amount_received: 2 ** 53 }), 'amount_received'],
    ['an amount as a text', capturedJson({ amount_received: '2500' }), 'amount_received'],
    ['no currency', capturedJson({ currency: null }), 'currency'],
    ['another object', capturedJson({ object: 'setup_intent' }), 'object'],
    ['an id that is a path', capturedJson({ id: '../refunds' }), 'id'],
    [
      'a page that is no page of the web',
      intentJson({
        status: 'requires_action',
        next_action: { type: 'redirect_to_url', redirect_to_url: { url: 'javascript:alert(1)' } },
      }),
      'next_action.redirect_to_url.url',
    ],
    ['an empty object', {}, 'object, id, amount, amount_received, currency, status, latest_charge'],
  ] as const) {
    it(`${name} is no payment intent`, async () => {
      const { message } = await confirmAgainst(says(200, json));
      assert.ok(message.startsWith('stripe confirm: the answer is not what Stripe promises ('), message);
      assert.ok(message.includes(field), message);
    });
  }
});
