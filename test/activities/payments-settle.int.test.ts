import assert from 'node:assert/strict';

import type { CaptureInput } from '../../activities/payments/contract.ts';
import { settlementKey } from '../../activities/payments/settlement-tables.ts';
import { paymentIdFor, settlementIdFor } from '../../events/ids.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { call } from '../gateway/running-gateway.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
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
  refundedInFull,
  settleFully,
} from '../support/payments.ts';

const REFUNDED = { status: 'REFUNDED', captured: 39_000, currency: 'KRW', refunded: 39_000, failure: null };
const GIVEN_UP = { outcome: 'CANCELLED', refusal: null };
const NOTHING = { captured: null, currency: null, refunded: 0, failure: null };

describe('the undo of a payment', function () {
  this.timeout(60_000);
  let shop: PaymentService;
  let input: CaptureInput;
  let orderId: string;

  before(async () => {
    shop = await openPayments();
  });
  after(() => shop.close());
  beforeEach(() => use());
  afterEach(async () => {
    await shop.letGo();
    await assertOutboxIsSound(shop.adminUrl);
  });

  function use(token?: string): void {
    input = captureInput(token);
    orderId = input.orderId;
  }
  const capture = () => shop.activities.capturePayment(input);
  const abandon = () => shop.activities.abandonPayment({ orderId });
  const settleOnce = () => shop.activities.settleWithGateway({ orderId });
  const settle = () => settleFully(shop, orderId);
  const eventTypes = async () => (await eventsOf(shop.adminUrl, orderId)).map(({ type }) => type);
  const refunds = () =>
    query(
      shop.adminUrl,
      `select r.id, refund_key as key, r.amount::integer as minor, r.currency, reason, r.status,
         finished_at is not null as finished
       from refunds r join payments p on p.id = r.payment_id where p.order_id = $1`,
      [orderId],
    );
  const settlement = (minor = 39_000, currency = 'KRW') => ({
    ...{ id: settlementIdFor(orderId), key: settlementKey(orderId), minor, currency },
    ...{ reason: 'SETTLEMENT', status: 'SUCCEEDED', finished: true },
  });
  /** Taken once and given back once, under the one key. */
  const takenAndGivenBack = (minor = 39_000, currency = 'KRW') => [
    { type: 'CAPTURE', minor, currency, key: null },
    { type: 'REFUND', minor, currency, key: settlementKey(orderId) },
  ];
  /** Everything on record here and at the gateway. */
  const traces = async () => [
    await paymentOf(shop, orderId),
    await refunds(),
    await eventTypes(),
    await moneyOf(shop, orderId),
    await decisionOf(shop, orderId),
  ];
  /** A capture whose attempt has ended in doubt before the money was taken. */
  async function leaveInDoubt(): Promise<void> {
    await shop.script({ route: 'confirm', kind: 'drop_before', orderId });
    await assert.rejects(capture(), GatewayOutage);
  }

  it('finds nothing where nothing was begun, and leaves its mark', async () => {
    assert.deepEqual(await abandon(), GIVEN_UP);
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    assert.deepEqual(await abandon(), GIVEN_UP);
    assert.deepEqual(await traces(), [undefined, [], [], [], 'ABANDONED']);
  });

  it('settled without being abandoned first decides too: a capture that comes later is refused', async () => {
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    assert.equal(await refusalCode(capture()), 'CHECKOUT_ABANDONED');
    assert.deepEqual(await moneyOf(shop, orderId), []);
  });

  it('cancels a payment at once for which the gateway never gave an id', async () => {
    await shop.script({ route: 'prepare', kind: 'drop_before', orderId });
    await assert.rejects(capture(), GatewayOutage);
    await abandon();
    assert.deepEqual(await paymentOf(shop, orderId), { ...NOTHING, status: 'CANCELLED', version: 2 });
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    assert.deepEqual(await eventTypes(), ['PaymentPending', 'PaymentCancelled']);
  });

  it('lets a capture that is being prepared charge nothing', async () => {
    await shop.script({ route: 'prepare', kind: 'hold', orderId });
    const code = refusalCode(capture());
    await shop.untilHeld();
    assert.deepEqual(await abandon(), GIVEN_UP);
    await shop.letGo();
    assert.equal(await code, 'CHECKOUT_ABANDONED');
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    assert.deepEqual(await moneyOf(shop, orderId), []);
    assert.deepEqual(await eventTypes(), ['PaymentPending', 'PaymentCancelled']);
  });

  it('closes an open charge at the gateway, so that nothing can be taken later', async () => {
    await leaveInDoubt();
    await abandon();
    assert.deepEqual(await paymentOf(shop, orderId), { ...NOTHING, status: 'IN_DOUBT', version: 1 });

    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    const settled = await traces();
    assert.deepEqual(settled.slice(0, 3), [
      { ...NOTHING, status: 'CANCELLED', version: 2 },
      [],
      ['PaymentPending', 'PaymentCancelled'],
    ]);
    assert.deepEqual(await chargesOf(shop, orderId), ['cancelled']);
    assert.equal(await refusalCode(capture()), 'CHECKOUT_ABANDONED');
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    assert.deepEqual(await traces(), settled);
  });

  it('gives back what was taken while it was abandoned, once, and says so', async () => {
    await shop.script({ route: 'confirm', kind: 'hold', orderId });
    const code = refusalCode(capture());
    await shop.untilHeld();
    assert.deepEqual(await abandon(), GIVEN_UP);
    assert.equal((await paymentOf(shop, orderId))?.['status'], 'IN_DOUBT');

    assert.deepEqual(await settle(), refundedInFull(orderId));
    await shop.letGo();
    assert.equal(await code, 'CHECKOUT_ABANDONED');
    assert.deepEqual(await traces(), [
      { ...REFUNDED, version: 3 },
      [settlement()],
      ['PaymentPending', 'PaymentCompleted', 'PaymentRefunded'],
      takenAndGivenBack(),
      'ABANDONED',
    ]);
    const [, late] = await eventsOf(shop.adminUrl, orderId);
    assert.deepEqual([late?.data['status'], late?.data['capturedMinor']], ['LATE_CAPTURED', 39_000]);
  });

  it('waits for a charge that the gateway still works on, and gives back what lands late', async () => {
    await shop.script({ route: 'confirm', kind: 'land_late', ms: 600, orderId });
    await assert.rejects(capture(), GatewayOutage);
    await abandon();
    assert.equal((await settleOnce()).outcome, 'LOOK_AGAIN');
    assert.equal((await paymentOf(shop, orderId))?.['status'], 'IN_DOUBT');
    assert.deepEqual(await settle(), refundedInFull(orderId));
    assert.deepEqual(await moneyOf(shop, orderId), takenAndGivenBack());
  });

  it('does not believe a gateway that no longer knows the charge', async () => {
    await leaveInDoubt();
    await abandon();
    await shop.script({ route: 'lookup', kind: 'not_found', orderId });
    await assert.rejects(settle(), /does not know/);
    assert.equal((await paymentOf(shop, orderId))?.['status'], 'IN_DOUBT');
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
  });

  it('comes too late for a payment that is captured, and changes nothing', async () => {
    await capture();
    const captured = await traces();
    const answer = { outcome: 'ALREADY_CAPTURED', paymentId: paymentIdFor(orderId) };
    assert.deepEqual(await abandon(), answer);
    assert.deepEqual(await abandon(), answer);
    assert.deepEqual(await traces(), captured);
  });

  it('refunds a captured payment when it was cancelled all the same, once, however often it is repeated', async () => {
    await capture();
    await abandon();
    assert.deepEqual(await settle(), refundedInFull(orderId));
    const settled = await traces();
    assert.deepEqual(settled, [
      { ...REFUNDED, version: 3 },
      [settlement()],
      ['PaymentPending', 'PaymentCompleted', 'PaymentRefunded'],
      takenAndGivenBack(),
      'CAPTURED',
    ]);
    assert.deepEqual(await settle(), refundedInFull(orderId));
    assert.deepEqual(await traces(), settled);
  });

  it('refunds once when ten settle at the same time', async () => {
    await capture();
    const ends = await Promise.allSettled(Array.from({ length: 10 }, () => settle()));
    for (const end of ends) {
      if (end.status === 'rejected') assert.ok(end.reason instanceof GatewayOutage, String(end.reason));
      else assert.deepEqual(end.value, refundedInFull(orderId));
    }
    assert.ok(ends.some(({ status }) => status === 'fulfilled'));
    assert.deepEqual(await settle(), refundedInFull(orderId));
    assert.deepEqual(await moneyOf(shop, orderId), takenAndGivenBack());
    assert.deepEqual(await refunds(), [settlement()]);
    assert.deepEqual(await eventTypes(), ['PaymentPending', 'PaymentCompleted', 'PaymentRefunded']);
  });

  for (const route of ['lookup', 'refund'] as const) {
    it(`ends with one refund when ${route} is cut off after its effect`, async () => {
      await capture();
      await shop.script({ route, kind: 'drop_after', orderId });
      await assert.rejects(settle(), GatewayOutage);
      assert.deepEqual(await settle(), refundedInFull(orderId));
      assert.deepEqual(await moneyOf(shop, orderId), takenAndGivenBack());
      assert.deepEqual(await refunds(), [settlement()]);
    });
  }

  it('finishes its record although the gateway has forgotten the key of a refund that it made', async () => {
    await capture();
    await shop.script({ route: 'refund', kind: 'drop_after', orderId });
    await assert.rejects(settle(), GatewayOutage);
    assert.equal((await refunds())[0]?.['status'], 'PENDING');
    await call(shop.gatewayUrl, 'DELETE', `/keys?orderId=${orderId}`);

    assert.deepEqual(await settle(), refundedInFull(orderId));
    assert.deepEqual(await moneyOf(shop, orderId), takenAndGivenBack());
    assert.deepEqual(await refunds(), [settlement()]);
  });

  it('leaves a declined payment as it is', async () => {
    use('tok_declined');
    const { code, message, detail } = await refused(capture());
    assert.equal(code, 'PAYMENT_DECLINED');
    const declined = await traces();
    assert.deepEqual(await abandon(), {
      outcome: 'CANCELLED',
      refusal: { code, message, detail },
    });
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    assert.deepEqual(await traces(), declined);
  });

  it('closes the charge of a card that the gateway does not know', async () => {
    use('tok_unknown');
    assert.equal(await refusalCode(capture()), 'PAYMENT_METHOD_INVALID');
    assert.deepEqual(await chargesOf(shop, orderId), ['open']);
    const refusedFirst = await traces();
    await abandon();
    assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
    assert.deepEqual(await chargesOf(shop, orderId), ['cancelled']);
    assert.deepEqual(await traces(), refusedFirst);
  });

  for (const [kind, minor, currency] of [
    ['wrong_amount', 39_001, 'KRW'],
    ['wrong_currency', 39_000, 'USD'],
  ] as const) {
    it(`gives back a ${kind.replace('_', ' ')} as it was taken, and asks for a person every time`, async () => {
      await shop.script({ route: 'confirm', kind, orderId });
      assert.equal(await refusalCode(capture()), 'PAYMENT_AMOUNT_MISMATCH');
      await abandon();
      const seen = { ...refundedInFull(orderId, minor, currency), mismatch: true };
      assert.deepEqual(await settle(), seen);
      assert.deepEqual(await settle(), seen);
      assert.deepEqual(await moneyOf(shop, orderId), takenAndGivenBack(minor, currency));
      assert.deepEqual(await refunds(), [settlement(minor, currency)]);
      assert.deepEqual(await paymentOf(shop, orderId), {
        ...{ status: 'REFUNDED', version: 4, captured: minor, currency, refunded: minor },
        failure: 'PAYMENT_AMOUNT_MISMATCH',
      });
      assert.deepEqual(await eventTypes(), [
        ...['PaymentPending', 'PaymentFailed', 'PaymentCompleted', 'PaymentRefunded'],
      ]);
    });
  }

  it('asks for a person also when only the undo learns that another amount was taken', async () => {
    use('tok_wrong_amount');
    await shop.script({ route: 'confirm', kind: 'drop_after', orderId });
    await assert.rejects(capture(), GatewayOutage);
    assert.deepEqual(await abandon(), GIVEN_UP);
    assert.deepEqual(await settle(), { ...refundedInFull(orderId, 39_001), mismatch: true });
    assert.deepEqual(await moneyOf(shop, orderId), takenAndGivenBack(39_001));
    assert.equal((await paymentOf(shop, orderId))?.status, 'REFUNDED');
  });

  it('abandons without the gateway, and settles nothing while the gateway is down', async () => {
    await leaveInDoubt();
    const nobody = activitiesOn(shop.payment, 'http://127.0.0.1:1');
    assert.deepEqual(await nobody.abandonPayment({ orderId }), GIVEN_UP);
    const before = await traces();
    await assert.rejects(nobody.settleWithGateway({ orderId }), GatewayOutage);
    assert.deepEqual(await traces(), before);
  });

  it('races a capture to one decision: captured, or abandoned and nothing kept', async () => {
    const decisions = new Set<string>();
    for (let i = 0; i < 20; i++) {
      use();
      const attempt = capture().then(
        () => 'CAPTURED',
        () => 'REFUSED',
      );
      await new Promise((resolve) => setTimeout(resolve, i * 4));
      const { outcome } = await abandon();
      const end = await attempt;
      decisions.add(outcome);
      if (outcome === 'ALREADY_CAPTURED') {
        assert.equal(end, 'CAPTURED');
        assert.deepEqual((await moneyOf(shop, orderId)).length, 1);
        continue;
      }
      assert.equal(end, 'REFUSED');
      await settle();
      const money = await moneyOf(shop, orderId);
      assert.deepEqual(money, money.length === 0 ? [] : takenAndGivenBack());
    }
    assert.ok(decisions.has('CANCELLED'), 'the first abandon comes before any charge');
  });
});
