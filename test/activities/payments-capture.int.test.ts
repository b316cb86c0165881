import assert from 'node:assert/strict';

import { paymentIdFor } from '../../events/ids.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import {
  activitiesOn,
  captureInput,
  chargesOf,
  decisionOf,
  moneyOf,
  openPayments,
  paymentOf,
  type PaymentService,
} from '../support/payments.ts';
import { rowsWith } from '../support/row-search.ts';

const TAKEN = { type: 'CAPTURE', minor: 39_000, currency: 'KRW', key: null };
const CAPTURED = { status: 'CAPTURED', version: 2, captured: 39_000, currency: 'KRW', refunded: 0, failure: null };

describe('capturePayment', function () {
  this.timeout(60_000);
  let shop: PaymentService;

  before(async () => {
    shop = await openPayments();
  });
  after(() => shop.close());
  afterEach(async () => {
    await shop.letGo();
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > 0);
  });

  const capture = (input: ReturnType<typeof captureInput>) => shop.activities.capturePayment(input);
  const eventTypes = async (orderId: string) => (await eventsOf(shop.adminUrl, orderId)).map(({ type }) => type);

  it('takes the money once and tells it with all facts', async () => {
    const input = captureInput();
    const { orderId } = input;
    assert.deepEqual(await capture(input), { status: 'CAPTURED', paymentId: paymentIdFor(orderId) });

    assert.deepEqual(await moneyOf(shop, orderId), [TAKEN]);
    assert.deepEqual(await paymentOf(shop, orderId), CAPTURED);
    assert.equal(await decisionOf(shop, orderId), 'CAPTURED');
    const facts = {
      ...{ paymentId: paymentIdFor(orderId), orderId, userId: '42', provider: 'simulated', method: 'card' },
      ...{ currency: 'KRW', amountMinor: 39_000, refundedMinor: 0, failureCode: null },
    };
    assert.deepEqual(
      (await eventsOf(shop.adminUrl, orderId)).map(({ type, subject, data }) => ({ type, subject, data })),
      [
        {
          ...{ type: 'PaymentPending', subject: facts.paymentId },
          data: { ...facts, status: 'PENDING', capturedMinor: 0, capturedCurrency: null },
        },
        {
          ...{ type: 'PaymentCompleted', subject: facts.paymentId },
          data: { ...facts, status: 'CAPTURED', capturedMinor: 39_000, capturedCurrency: 'KRW' },
        },
      ],
    );
  });

  it('gives a repeat the first answer, charges nothing again and says nothing again', async () => {
    const input = captureInput();
    const first = await capture(input);
    assert.deepEqual(await capture(input), first);
    assert.deepEqual(await capture({ ...input, payment: { method: 'card', token: 'tok_declined' } }), first);
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
    assert.deepEqual(await eventTypes(input.orderId), ['PaymentPending', 'PaymentCompleted']);
  });

  for (const [token, code, detail, atTheGateway] of [
    ['tok_declined', 'PAYMENT_DECLINED', { reason: 'card_declined' }, 'declined'],
    ['tok_insufficient_funds', 'PAYMENT_DECLINED', { reason: 'insufficient_funds' }, 'declined'],
    ['tok_that_nobody_knows', 'PAYMENT_METHOD_INVALID', undefined, 'open'],
  ] as const) {
    it(`records that ${token} is no money, and refuses every repeat alike`, async () => {
      const input = captureInput(token);
      const refusal = await refused(capture(input));
      assert.deepEqual([refusal.code, refusal.detail], [code, detail]);
      assert.deepEqual(await refused(capture({ ...input, payment: { method: 'card', token: 'tok_ok' } })), refusal);

      assert.deepEqual(await moneyOf(shop, input.orderId), []);
      assert.deepEqual(await chargesOf(shop, input.orderId), [atTheGateway]);
      assert.deepEqual(await paymentOf(shop, input.orderId), {
        ...{ status: 'FAILED', version: 2, captured: null, currency: null, refunded: 0, failure: code },
      });
      assert.deepEqual(await eventTypes(input.orderId), ['PaymentPending', 'PaymentFailed']);
      assert.equal(await decisionOf(shop, input.orderId), 'REFUSED');
    });
  }

  for (const [kind, captured] of [
    ['wrong_amount', { minor: 39_001, currency: 'KRW' }],
    ['wrong_currency', { minor: 39_000, currency: 'USD' }],
  ] as const) {
    it(`refuses a charge with a ${kind.replace('_', ' ')}, and keeps what was really taken on record`, async () => {
      const input = captureInput();
      await shop.script({ route: 'confirm', kind, orderId: input.orderId });
      const refusal = await refused(capture(input));
      assert.deepEqual([refusal.code, refusal.detail], ['PAYMENT_AMOUNT_MISMATCH', { asked: input.amount, captured }]);
      assert.deepEqual(await paymentOf(shop, input.orderId), {
        ...{ status: 'FAILED', version: 2, captured: captured.minor, currency: captured.currency, refunded: 0 },
        failure: 'PAYMENT_AMOUNT_MISMATCH',
      });
      assert.deepEqual(await refused(capture(input)), refusal);
    });
  }

  it('is in doubt after a time-out that came when the money was taken, and the repeat finds one charge', async () => {
    const input = captureInput('tok_timeout_after_charge');
    await assert.rejects(capture(input), GatewayOutage);
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
    assert.equal(await decisionOf(shop, input.orderId), null);

    await capture(input);
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
    assert.deepEqual(await paymentOf(shop, input.orderId), CAPTURED);
    assert.deepEqual(await eventTypes(input.orderId), ['PaymentPending', 'PaymentCompleted']);
  });

  it('charges once although the time-out came before the money was taken', async () => {
    const input = captureInput('tok_timeout_before_charge');
    await assert.rejects(capture(input), GatewayOutage);
    assert.deepEqual(await moneyOf(shop, input.orderId), []);
    await capture(input);
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
  });

  it('does not read an error of the gateway as a no', async () => {
    const input = captureInput('tok_error_500');
    await assert.rejects(capture(input), GatewayOutage);
    await assert.rejects(capture(input), GatewayOutage);
    assert.equal(await decisionOf(shop, input.orderId), null);
    await capture(input);
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
  });

  for (const route of ['prepare', 'confirm', 'lookup'] as const) {
    for (const fault of [
      { kind: 'drop_before' },
      { kind: 'drop_after' },
      { kind: 'invalid_json' },
      { kind: 'status', status: 503 },
    ]) {
      it(`charges once when ${route} meets ${fault.kind}`, async () => {
        const input = captureInput();
        const { orderId } = input;
        // A charge is looked up only by a repeat, so that one needs an attempt before it.
        if (route === 'lookup') {
          await shop.script({ route: 'confirm', kind: 'drop_after', orderId });
          await assert.rejects(capture(input), GatewayOutage);
        }
        await shop.script({ ...fault, route, orderId });
        await assert.rejects(capture(input), GatewayOutage);
        await capture(input);
        assert.deepEqual(await moneyOf(shop, orderId), [TAKEN]);
        assert.deepEqual(await chargesOf(shop, orderId), ['captured']);
        assert.deepEqual(await paymentOf(shop, orderId), CAPTURED);
      });
    }
  }

  it('decides nothing and charges nothing while the gateway is down', async () => {
    const nobody = activitiesOn(shop.payment, 'http://127.0.0.1:1');
    const input = captureInput();
    await assert.rejects(nobody.capturePayment(input), GatewayOutage);
    assert.equal(await decisionOf(shop, input.orderId), null);
    assert.deepEqual((await paymentOf(shop, input.orderId))?.['status'], 'PENDING');
    await capture(input);
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
  });

  it('is in doubt, not failed, when its worker has to stop in the middle', async () => {
    const stop = new AbortController();
    const stopping = activitiesOn(shop.payment, shop.gatewayUrl, stop.signal);
    const input = captureInput();
    await shop.script({ route: 'confirm', kind: 'hold', orderId: input.orderId });
    const attempt = stopping.capturePayment(input);
    const end = assert.rejects(attempt, GatewayOutage);
    await shop.untilHeld();
    stop.abort();
    await end;
    assert.equal(await decisionOf(shop, input.orderId), null);
    await capture(input);
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
  });

  it('gives two live copies one charge and one answer, whichever of them the gateway keeps waiting', async () => {
    for (const route of ['prepare', 'confirm']) {
      const input = captureInput();
      await shop.script({ route, kind: 'hold', orderId: input.orderId });
      const held = capture(input);
      await shop.untilHeld();
      const second = await capture(input);
      await shop.letGo();
      assert.deepEqual(await held, second);
      assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
      assert.deepEqual(await eventTypes(input.orderId), ['PaymentPending', 'PaymentCompleted']);
    }
  });

  it('gives ten copies at once one charge; who cannot know yet is in doubt and learns it by repeating', async () => {
    const input = captureInput();
    const copies = await Promise.allSettled(Array.from({ length: 10 }, () => capture(input)));
    for (const copy of copies) if (copy.status === 'rejected') assert.ok(copy.reason instanceof GatewayOutage);
    assert.deepEqual(await capture(input), { status: 'CAPTURED', paymentId: paymentIdFor(input.orderId) });
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
    assert.deepEqual(await chargesOf(shop, input.orderId), ['captured']);
    assert.deepEqual(await eventTypes(input.orderId), ['PaymentPending', 'PaymentCompleted']);
  });

  it('is refused for good once the payment was abandoned, and the gateway never hears of it', async () => {
    const input = captureInput();
    assert.deepEqual(await shop.activities.abandonPayment(input), { outcome: 'CANCELLED', refusal: null });
    assert.equal(await refusalCode(capture(input)), 'CHECKOUT_ABANDONED');
    assert.deepEqual(await chargesOf(shop, input.orderId), []);
    assert.equal(await paymentOf(shop, input.orderId), undefined);
    assert.deepEqual(await eventTypes(input.orderId), []);
  });

  it('stores the token nowhere, neither of a charge that went well nor of one in doubt or refused', async () => {
    const tokens = ['tok_ok', 'tok_timeout_after_charge', 'tok_declined', 'tok_of_4242424242424242'];
    for (const token of tokens) {
      const input = captureInput(token);
      await Promise.allSettled([capture(input)]);
      await Promise.allSettled([capture(input)]);
      assert.ok((await rowsWith(shop.adminUrl, input.orderId)) > 0, 'the search finds what is there');
      assert.equal(await rowsWith(shop.adminUrl, token), 0);
    }
    assert.equal(await rowsWith(shop.adminUrl, 'tok_'), 0);
  });
});
