import assert from 'node:assert/strict';

import type { CaptureInput, PaymentState } from '../../activities/payments/contract.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import {
  act,
  activitiesOn,
  captureInput,
  CARD_HOLD_MS,
  chargesOf,
  decisionOf,
  moneyOf,
  openPayments,
  paymentOf,
  type PaymentService,
  refundedInFull,
  settleFully,
  TRANSFER_HOLD_MS,
  transferInput,
} from '../support/payments.ts';

const TAKEN = { type: 'CAPTURE', minor: 39_000, currency: 'KRW', key: null };
const WAITING = { status: 'AWAITING_CONFIRMATION', version: 2, captured: null, currency: null };
/** A hold is told a little later than it began. Milliseconds. */
const SLACK_MS = 5_000;

type Awaiting = Extract<PaymentState, { status: 'AWAITING_CONFIRMATION' }>;

describe('a payment that waits for the shopper', function () {
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

  const capture = (input: CaptureInput) => shop.activities.capturePayment(input);
  const check = ({ orderId }: CaptureInput) => shop.activities.checkPayment({ orderId });
  const abandon = ({ orderId }: CaptureInput) => shop.activities.abandonPayment({ orderId });
  const eventsOfOrder = async ({ orderId }: CaptureInput) =>
    (await eventsOf(shop.adminUrl, orderId)).map(({ type, data }) => [type, data['status']]);
  async function awaiting(input: CaptureInput): Promise<Awaiting> {
    const state = await capture(input);
    assert.ok(state.status === 'AWAITING_CONFIRMATION', state.status);
    return state;
  }
  const captured = ({ orderId }: CaptureInput) => ({ status: 'CAPTURED', paymentId: paymentIdFor(orderId) });

  it('says how to transfer the money and until when, and takes nothing', async () => {
    const input = transferInput();
    const state = await awaiting(input);
    assert.ok(state.instructions.type === 'bank_transfer');
    assert.ok(state.instructions.account.length > 0 && state.instructions.reference.length > 0);
    assert.equal(state.paymentId, paymentIdFor(input.orderId));
    assertHold(state, TRANSFER_HOLD_MS);

    const [row] = await query<{ expires: Date; instructions: unknown }>(
      shop.adminUrl,
      'select expires_at as expires, instructions from payments where order_id = $1',
      [input.orderId],
    );
    assert.deepEqual(
      [row?.expires.toISOString(), row?.instructions],
      [new Date(state.expiresAt).toISOString(), state.instructions],
    );
    const { refunded, failure, ...rest } = (await paymentOf(shop, input.orderId)) ?? {};
    assert.deepEqual([rest, refunded, failure], [WAITING, 0, null]);
    assert.deepEqual(await moneyOf(shop, input.orderId), []);
    assert.equal(await decisionOf(shop, input.orderId), null);
    assert.deepEqual(await eventsOfOrder(input), [
      ['PaymentPending', 'PENDING'],
      ['PaymentPending', 'AWAITING_CONFIRMATION'],
    ]);
  });

  it('sends the owner of a card to its bank, and waits for as long as cards may', async () => {
    const input = captureInput('tok_requires_confirmation');
    const state = await awaiting(input);
    assert.equal(state.instructions.type, 'redirect');
    assertHold(state, CARD_HOLD_MS);
  });

  for (const [what, holdSeconds, holdMs] of [
    ['a shorter hold', 10, 10_000],
    ['a longer hold than the shop allows', 86_400, TRANSFER_HOLD_MS],
  ] as const) {
    it(`waits ${holdMs} ms when ${what} was asked for`, async () => {
      assertHold(await awaiting(transferInput(holdSeconds)), holdMs);
    });
  }

  for (const holdSeconds of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`refuses a hold of ${holdSeconds} seconds on record, before the gateway hears of it`, async () => {
      const input = transferInput(holdSeconds);
      assert.equal(await refusalCode(capture(input)), 'PAYMENT_METHOD_INVALID');
      assert.equal(
        await refusalCode(capture({ ...input, payment: { method: 'bank_transfer' } })),
        'PAYMENT_METHOD_INVALID',
      );
      assert.deepEqual(await chargesOf(shop, input.orderId), []);
      assert.equal(await decisionOf(shop, input.orderId), 'REFUSED');
    });
  }

  it('gives a repeat the same instructions and end, with less time left, and asks the gateway nothing', async () => {
    const input = transferInput();
    const first = await awaiting(input);
    const nobody = activitiesOn(shop.payment, 'http://127.0.0.1:1');
    const { holdMs, ...repeated } = (await nobody.capturePayment(input)) as Awaiting;
    const { holdMs: firstHoldMs, ...rest } = first;
    assert.deepEqual(repeated, rest);
    assert.ok(holdMs <= firstHoldMs, `${holdMs} ms are left of ${firstHoldMs}`);
    assert.equal((await eventsOfOrder(input)).length, 2);
  });

  it('starts its hold once, although the gateway was asked again after an answer that got lost', async () => {
    const input = transferInput();
    await shop.script({ route: 'confirm', kind: 'drop_after', orderId: input.orderId });
    await assert.rejects(capture(input), GatewayOutage);
    const state = await awaiting(input);
    assert.deepEqual((await awaiting(input)).expiresAt, state.expiresAt);
    assert.deepEqual(await chargesOf(shop, input.orderId), ['requires_confirmation']);
  });

  it('has no time left below zero once its hold is over', async () => {
    const input = transferInput();
    await awaiting(input);
    await query(shop.adminUrl, `update payments set expires_at = now() - interval '1 hour' where order_id = $1`, [
      input.orderId,
    ]);
    assert.equal((await awaiting(input)).holdMs, 0);
  });

  it('is captured once the money has come, for whoever asks, and once', async () => {
    const input = transferInput();
    await awaiting(input);
    assert.equal((await check(input)).status, 'AWAITING_CONFIRMATION');
    assert.equal(await act(shop, input.orderId, 'transfer'), 200);

    assert.deepEqual(await check(input), captured(input));
    const nobody = activitiesOn(shop.payment, 'http://127.0.0.1:1');
    assert.deepEqual(await nobody.checkPayment(input), captured(input));
    assert.deepEqual(await nobody.capturePayment(input), captured(input));
    assert.deepEqual(await moneyOf(shop, input.orderId), [TAKEN]);
    assert.equal(await decisionOf(shop, input.orderId), 'CAPTURED');
    assert.deepEqual((await eventsOfOrder(input)).slice(2), [['PaymentCompleted', 'CAPTURED']]);
  });

  it('is captured once the owner of the card agrees', async () => {
    const input = captureInput('tok_requires_confirmation');
    await awaiting(input);
    assert.equal(await act(shop, input.orderId, 'authorize', { outcome: 'approve' }), 200);
    assert.deepEqual(await check(input), captured(input));
  });

  for (const [who, input, action, body, code] of [
    [
      'the owner of the card',
      () => captureInput('tok_requires_confirmation'),
      'authorize',
      { outcome: 'decline' },
      'PAYMENT_DECLINED',
    ],
    ['the gateway, for a card,', () => captureInput('tok_requires_confirmation'), 'expire', {}, 'PAYMENT_DECLINED'],
    ['the gateway, for a transfer,', () => transferInput(), 'expire', {}, 'HOLD_EXPIRED'],
  ] as const) {
    it(`is refused on record with ${code} when ${who} says no (${action})`, async () => {
      const asked = input();
      await awaiting(asked);
      assert.equal(await act(shop, asked.orderId, action, body), 200);
      const refusal = await refused(check(asked));
      assert.equal(refusal.code, code);
      assert.deepEqual(await refused(check(asked)), refusal);
      assert.deepEqual(await refused(capture(asked)), refusal);
      const { status, failure } = (await paymentOf(shop, asked.orderId)) ?? {};
      assert.deepEqual([status, failure], ['FAILED', code]);
      const { detail, ...said } = refusal;
      const stored = detail === undefined ? said : refusal;
      assert.deepEqual(await abandon(asked), { outcome: 'CANCELLED', refusal: stored });
      assert.deepEqual(await shop.activities.settleWithGateway(asked), { outcome: 'NOTHING_CHARGED' });
    });
  }

  it('refuses a transfer of another amount, keeps on record what came, and gives exactly that back', async () => {
    const input = transferInput();
    await awaiting(input);
    assert.equal(await act(shop, input.orderId, 'transfer', { amount: { minor: 38_000, currency: 'KRW' } }), 200);
    const { code, detail } = await refused(check(input));
    assert.deepEqual(
      [code, detail],
      ['PAYMENT_AMOUNT_MISMATCH', { asked: input.amount, captured: { minor: 38_000, currency: 'KRW' } }],
    );
    assert.equal((await paymentOf(shop, input.orderId))?.['captured'], 38_000);
    await abandon(input);
    const settled = await settleFully(shop, input.orderId);
    assert.deepEqual(settled, { ...refundedInFull(input.orderId, 38_000), mismatch: true });
    assert.deepEqual(
      (await moneyOf(shop, input.orderId)).map(({ type, minor }) => [type, minor]),
      [
        ['CAPTURE', 38_000],
        ['REFUND', 38_000],
      ],
    );
  });

  it('says nothing while the gateway is down, and changes nothing', async () => {
    const input = transferInput();
    await awaiting(input);
    const nobody = activitiesOn(shop.payment, 'http://127.0.0.1:1');
    await assert.rejects(nobody.checkPayment(input), GatewayOutage);
    await shop.script({ route: 'lookup', kind: 'not_found', orderId: input.orderId });
    await assert.rejects(check(input), /does not know/);
    assert.equal((await paymentOf(shop, input.orderId))?.['status'], 'AWAITING_CONFIRMATION');
    assert.equal((await check(input)).status, 'AWAITING_CONFIRMATION');
  });

  it('cannot be looked at where no payment was opened', async () => {
    await assert.rejects(check(captureInput()), /nothing is known/);
  });

  it('has nothing in flight when it is given up: its account is closed at the first look', async () => {
    const input = transferInput();
    await awaiting(input);
    assert.deepEqual(await abandon(input), { outcome: 'CANCELLED', refusal: null });
    assert.equal((await paymentOf(shop, input.orderId))?.['status'], 'IN_DOUBT');
    assert.equal(await refusalCode(check(input)), 'CHECKOUT_ABANDONED');

    assert.deepEqual(await shop.activities.settleWithGateway(input), { outcome: 'NOTHING_CHARGED' });
    assert.deepEqual(await chargesOf(shop, input.orderId), ['cancelled']);
    assert.equal(await act(shop, input.orderId, 'transfer'), 409);
    assert.deepEqual((await eventsOfOrder(input)).at(-1), ['PaymentCancelled', 'CANCELLED']);
  });

  it('gives the money back that came before the account was closed, but after it was given up', async () => {
    const input = transferInput();
    await awaiting(input);
    await abandon(input);
    assert.equal(await act(shop, input.orderId, 'transfer'), 200);
    assert.equal((await shop.activities.settleWithGateway(input)).outcome, 'REFUNDED');
    assert.equal((await paymentOf(shop, input.orderId))?.['status'], 'REFUNDED');
    assert.deepEqual(
      (await moneyOf(shop, input.orderId)).map(({ type }) => type),
      ['CAPTURE', 'REFUND'],
    );
  });

  it('never goes back to waiting when an answer comes after the money', async () => {
    const input = transferInput();
    await shop.script({ route: 'confirm', kind: 'hold', orderId: input.orderId });
    const late = capture(input);
    await shop.untilHeld();
    assert.equal((await capture(input)).status, 'AWAITING_CONFIRMATION');
    await act(shop, input.orderId, 'transfer');
    assert.equal((await check(input)).status, 'CAPTURED');
    await shop.letGo();
    assert.deepEqual(await late, captured(input));
    assert.equal((await paymentOf(shop, input.orderId))?.['status'], 'CAPTURED');
    assert.equal((await eventsOfOrder(input)).length, 3);
  });
});

function assertHold({ holdMs, expiresAt }: Awaiting, wanted: number): void {
  assert.ok(holdMs <= wanted && holdMs > wanted - SLACK_MS, `${holdMs} ms are left of ${wanted}`);
  assert.ok(Math.abs(Date.parse(expiresAt) - Date.now() - holdMs) < SLACK_MS, expiresAt);
}
