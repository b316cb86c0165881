import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { BookedCharge, GatewayLedger, LedgerQuery } from '../../infra/payment-gateway/ledger.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { stripeLedger } from '../../infra/payment-gateway/stripe-ledger.ts';
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

const INTENTS = 'GET /v1/payment_intents';
const MOVEMENTS = 'GET /v1/balance_transactions';
const ORDER_1 = '9f3d3c52-6f0c-5d2b-9a53-2f6f2a1f7c11';
const ORDER_2 = '0b0f8d4e-1c3f-5a7c-8f7e-3d3c1d2e4f55';

const of = (order_id: string, overrides: Readonly<Record<string, unknown>> = {}) =>
  capturedJson({ metadata: { order_id }, ...overrides });
const booked = (orderId: string, overrides: Partial<BookedCharge> = {}): BookedCharge => ({
  ...{ providerId: 'pi_1', orderId, captured: 2_500, refunded: 0, currency: 'USD' },
  ...overrides,
});

/** A list over as many pages as Stripe's answers take. */
const inPages = (all: readonly unknown[]) =>
  Array.from({ length: Math.ceil(all.length / 50) }, (_, page) =>
    says(200, listJson(all.slice(page * 50, page * 50 + 50), (page + 1) * 50 < all.length)),
  );

describe('the books of Stripe', function () {
  this.timeout(30_000);
  let stripe: StripeStandIn;
  let ledger: GatewayLedger;
  const read = async (query: LedgerQuery = {}): Promise<BookedCharge[]> => {
    const charges: BookedCharge[] = [];
    for await (const charge of ledger.charges(query)) charges.push(charge);
    return charges;
  };

  before(async () => {
    stripe = await stripeStandIn();
    ledger = stripeLedger({ secretKey: 'sk_test_1', apiUrl: stripe.url, timeoutMs: 2_000 });
  });
  beforeEach(() => stripe.reset());
  after(() => stripe.close());

  it('are all intents that took money for an order of ours, over all pages, in our unit', async () => {
    const counts: number[] = [];
    stripe.on(
      INTENTS,
      says(200, listJson([of(ORDER_1), intentJson({ id: 'pi_2', metadata: { order_id: ORDER_2 } })], true)),
      says(200, listJson([of('7', { id: 'pi_3' }), capturedJson({ id: 'pi_4' })], true)),
      says(200, listJson([of(ORDER_2, { id: 'pi_5', amount_received: 500, currency: 'isk' })])),
    );
    assert.deepEqual(await read({ say: (count) => void counts.push(count) }), [
      booked(ORDER_1),
      booked(ORDER_2, { providerId: 'pi_5', captured: 5, currency: 'ISK' }),
    ]);
    assert.deepEqual(counts, [1, 2, 3, 4, 5]);
    assert.deepEqual(
      stripe.requests.map(({ params }) => params['starting_after']),
      [undefined, 'pi_2', 'pi_4'],
    );
  });

  it('count what was given back and did not fail', async () => {
    stripe.on(INTENTS, says(200, listJson([of(ORDER_1, { latest_charge: { amount_refunded: 9, currency: 'usd' } })])));
    const refunds = [refundJson({ amount: 900 }), refundJson({ id: 're_2', amount: 100, status: 'failed' })];
    stripe.on('GET /v1/refunds', says(200, listJson(refunds)));
    assert.deepEqual(await read(), [booked(ORDER_1, { refunded: 900 })]);
  });

  it('of chosen orders are those alone', async () => {
    stripe.on(INTENTS, says(200, listJson([of(ORDER_1), of(ORDER_2, { id: 'pi_2' })])));
    assert.deepEqual(await read({ orderIds: [ORDER_2] }), [booked(ORDER_2, { providerId: 'pi_2' })]);
    assert.deepEqual(await read({ orderIds: [] }), []);
  });

  it('since an instant hold each charge on which money moved, once, and old ones too', async () => {
    const refunded = { object: 'refund', payment_intent: 'pi_1' };
    const charged = { object: 'charge', payment_intent: 'pi_1' };
    const sources = [refunded, charged, { object: 'payout' }, null, 'ch_2', { object: 'charge', payment_intent: null }];
    const movements = sources.map((source, i) => ({ object: 'balance_transaction', id: `txn_${i}`, source }));
    stripe.on(INTENTS, says(200, listJson([])));
    stripe.on(MOVEMENTS, says(200, listJson(movements)));
    stripe.on('GET /v1/payment_intents/pi_1', says(200, of(ORDER_1)));
    assert.deepEqual(await read({ since: new Date(1_795_000_000_999) }), [booked(ORDER_1)]);
    assert.deepEqual(
      stripe.requests.map(({ route, params }) => [route, params['created[gte]']]),
      [
        [INTENTS, '1795000000'],
        [MOVEMENTS, '1795000000'],
        ['GET /v1/payment_intents/pi_1', undefined],
      ],
    );
  });

  it('since an instant ask for no charge by itself that was made since, and for the older ones a few at once', async () => {
    const fresh = Array.from({ length: 120 }, (_, i) => of(randomUUID(), { id: `pi_new${i}` }));
    const old = Array.from({ length: 60 }, (_, i) => of(randomUUID(), { id: `pi_old${i}` }));
    const unpaid = intentJson({ id: 'pi_late', metadata: { order_id: ORDER_1 } });
    const moved = [...fresh, ...old, unpaid].map(({ id }) => ({
      object: 'balance_transaction',
      id: `txn_${id}`,
      source: { object: 'charge', payment_intent: id },
    }));
    stripe.on(INTENTS, ...inPages([unpaid, ...fresh]));
    stripe.on(MOVEMENTS, ...inPages(moved));
    let [open, most] = [0, 0];
    for (const intent of old) {
      stripe.on(`GET /v1/payment_intents/${intent.id}`, (req, res) => {
        most = Math.max(most, ++open);
        setTimeout(() => {
          open -= 1;
          says(200, intent)(req, res);
        }, 30);
      });
    }
    stripe.on('GET /v1/payment_intents/pi_late', says(200, of(ORDER_1, { id: 'pi_late' })));
    const found = await read({ since: new Date() });
    assert.deepEqual(
      found.map(({ providerId }) => providerId),
      [...fresh, ...old, unpaid].map(({ id }) => id),
    );
    assert.equal(stripe.requests.length, 3 + 4 + 61);
    assert.equal(most, 8);
  });

  it('of charges that are named are asked for by name alone, and lack those that Stripe does not know', async () => {
    stripe.on('GET /v1/payment_intents/pi_1', says(200, of(ORDER_1)));
    const missing = { type: 'invalid_request_error', code: 'resource_missing' };
    stripe.on('GET /v1/payment_intents/pi_2', refuses(404, missing));
    assert.deepEqual(await read({ providerIds: ['pi_1', 'pi_2'] }), [booked(ORDER_1)]);
    assert.deepEqual(await read({ providerIds: [] }), []);
    assert.equal(stripe.requests.length, 2);

    stripe.on('GET /v1/payment_intents/pi_2', refuses(404, { type: 'invalid_request_error' }));
    await assert.rejects(read({ providerIds: ['pi_1', 'pi_2'] }), GatewayOutage);
  });

  for (const [name, reply] of [
    ['a page that is missing', refuses(500, { type: 'api_error' })],
    ['a "no"', refuses(400, { type: 'invalid_request_error', code: 'parameter_unknown' })],
    ['an empty page that is not the last', says(200, listJson([], true))],
    ['an item of another form', says(200, listJson([{ ...capturedJson(), amount_received: null }]))],
  ] as const) {
    it(`${name} ends the reading with an outage`, async () => {
      stripe.on(INTENTS, says(200, listJson([of(ORDER_1)], true)), reply);
      await assert.rejects(read(), (error: unknown) => error instanceof GatewayOutage);
      assert.equal(stripe.requests.length, 2);
    });
  }

  it('are not read on when the reader gives up', async () => {
    const stop = new AbortController();
    stop.abort();
    await assert.rejects(read({ signal: stop.signal }), /the caller gave up/);
  });
});
