import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { paymentIdFor } from '../../events/ids.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { call } from '../gateway/running-gateway.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { holdLock } from '../support/locks.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { captureInput, moneyOf, paymentOf } from '../support/payments.ts';
import { openRefunds, refundInput, type RefundService, refundsOf, returned } from '../support/refunds.ts';
import { sha256 } from '../support/shop.ts';

const CAPTURED = { captured: 39_000, currency: 'KRW', failure: null };
const PAID = { ...CAPTURED, status: 'CAPTURED', version: 2, refunded: 0 };

describe('a refund in the payment service', function () {
  this.timeout(60_000);
  let shop: RefundService;
  let orderId: string;

  before(async () => {
    shop = await openRefunds();
  });
  after(() => shop.close());
  beforeEach(async () => {
    orderId = await shop.paidOrder();
  });
  afterEach(async () => {
    await shop.letGo();
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > 0);
  });

  const eventTypes = async () => (await eventsOf(shop.adminUrl, orderId)).map(({ type }) => type);
  const request = (refundId: string) =>
    query(shop.adminUrl, 'select request_hash as hash, requested_by as by, answer from refund_requests where id = $1', [
      refundId,
    ]);
  /** Everything on record here and at the gateway. */
  const traces = async () => [
    await paymentOf(shop, orderId),
    await refundsOf(shop, orderId),
    await eventTypes(),
    await moneyOf(shop, orderId),
  ];
  const gaveBack = (minor: number, key: string) => ({ type: 'REFUND', minor, currency: 'KRW', key });
  const taken = { type: 'CAPTURE', minor: 39_000, currency: 'KRW', key: null };

  it('is on record with its lines before the gateway is asked, and nothing else has changed', async () => {
    const lines = [returned(1, 2, true), returned(2, 1)];
    const input = refundInput(orderId, { minor: 30_000, lines, reason: '가'.repeat(200) });
    const { refundId } = input;
    const begun = await shop.refunds.beginRefund(input);
    assert.deepEqual(begun, {
      ...{ refundId, orderId, paymentId: paymentIdFor(orderId), amount: { minor: 30_000, currency: 'KRW' } },
      ...{ reason: '가'.repeat(200), by: '7', requestHash: input.request?.requestHash, lines: input.request?.lines },
    });
    const row = { id: refundId, key: refundId, minor: 30_000, currency: 'KRW', status: 'PENDING' };
    assert.deepEqual(await traces(), [
      PAID,
      [
        {
          ...{ ...row, reason: '가'.repeat(100), failure: null, finished: false },
          lines: [
            [1, 2, true],
            [2, 1, false],
          ],
        },
      ],
      ['PaymentPending', 'PaymentCompleted'],
      [taken],
    ]);
    assert.deepEqual(await request(refundId), [{ hash: input.request?.requestHash, by: '7', answer: begun }]);
  });

  it('gives a part back, then the rest, and says so each time', async () => {
    const part = refundInput(orderId, { lines: [returned(1, 1)] });
    assert.equal(await shop.refundWhole(part), 'SUCCEEDED');
    assert.deepEqual(await paymentOf(shop, orderId), {
      ...{ ...CAPTURED, status: 'PARTIALLY_REFUNDED', version: 3, refunded: 13_000 },
    });
    const rest = refundInput(orderId);
    assert.equal(await shop.refundWhole(rest), 'SUCCEEDED');
    assert.deepEqual(await paymentOf(shop, orderId), {
      ...{ ...CAPTURED, status: 'REFUNDED', version: 4, refunded: 39_000 },
    });
    assert.deepEqual(await moneyOf(shop, orderId), [
      ...[taken, gaveBack(13_000, part.refundId), gaveBack(26_000, rest.refundId)],
    ]);
    const told = (await eventsOf(shop.adminUrl, orderId)).slice(2);
    assert.deepEqual(
      told.map(({ type, data }) => [type, data['status'], data['refundedMinor']]),
      [
        ['PaymentRefunded', 'PARTIALLY_REFUNDED', 13_000],
        ['PaymentRefunded', 'REFUNDED', 39_000],
      ],
    );
    assert.equal(await refusalCode(shop.refunds.beginRefund(refundInput(orderId))), 'REFUND_EXCEEDS_CAPTURE');
  });

  it('gives every step that is repeated its first answer, and changes nothing', async () => {
    const input = refundInput(orderId, { minor: 9_000, lines: [returned(1, 1, true)] });
    const ref = { refundId: input.refundId };
    const begun = await shop.refunds.beginRefund(input);
    assert.deepEqual(await shop.refunds.beginRefund(input), begun);
    const ending = await shop.refunds.refundAtGateway(ref);
    assert.deepEqual(ending, { status: 'SUCCEEDED', failureCode: null });
    assert.deepEqual(await shop.refunds.refundAtGateway(ref), ending);
    await shop.refunds.finishRefund({ ...ref, ...ending });
    const done = await traces();

    await shop.refunds.finishRefund({ ...ref, ...ending });
    assert.deepEqual(await shop.refunds.beginRefund(input), begun);
    assert.deepEqual(await shop.refundsAt('http://127.0.0.1:1').refundAtGateway(ref), ending);
    assert.deepEqual(await traces(), done);
  });

  it('goes on with what is on record when nobody repeats the request', async () => {
    const input = refundInput(orderId, { minor: 9_000 });
    const begun = await shop.refunds.beginRefund(input);
    assert.deepEqual(await shop.refunds.beginRefund({ ...input, request: null, lines: [] }), begun);

    const never = { refundId: randomUUID(), orderId, request: null, lines: [] };
    assert.equal(await refusalCode(shop.refunds.beginRefund(never)), 'NOT_FOUND');
    assert.equal(await refusalCode(shop.refunds.refundAtGateway(never)), 'NOT_FOUND');
    const ending = { refundId: never.refundId, status: 'SUCCEEDED', failureCode: null } as const;
    assert.equal(await refusalCode(shop.refunds.finishRefund(ending)), 'NOT_FOUND');
    assert.deepEqual(await request(never.refundId), []);
  });

  it('keeps a refusal on record: it stays one although money and units are free again', async () => {
    const first = refundInput(orderId, { minor: 39_000, lines: [returned(1, 3)] });
    await shop.refunds.beginRefund(first);
    const tooMuch = refundInput(orderId, { minor: 1 });
    const tooMany = refundInput(orderId, { minor: 1, lines: [returned(1, 1)] });
    const { code, detail } = await refused(shop.refunds.beginRefund(tooMuch));
    assert.deepEqual([code, detail], ['REFUND_EXCEEDS_CAPTURE', { left: { minor: 0, currency: 'KRW' } }]);
    const short = await refused(shop.refunds.beginRefund(tooMany));
    assert.deepEqual([short.code, short.detail], ['REFUND_QUANTITY_EXCEEDED', [{ lineNo: 1, asked: 1, left: 0 }]]);

    await shop.refunds.finishRefund({ refundId: first.refundId, status: 'FAILED', failureCode: 'account_closed' });
    assert.equal(await refusalCode(shop.refunds.beginRefund(tooMuch)), 'REFUND_EXCEEDS_CAPTURE');
    assert.equal(
      await refusalCode(shop.refunds.beginRefund({ ...tooMany, request: null })),
      'REFUND_QUANTITY_EXCEEDED',
    );
    assert.equal(await shop.refundWhole(refundInput(orderId, { minor: 39_000, lines: [returned(1, 3)] })), 'SUCCEEDED');
  });

  it('belongs to one request: another one under its key changes nothing', async () => {
    const input = refundInput(orderId, { minor: 9_000 });
    await shop.refunds.beginRefund(input);
    const other = refundInput(orderId, { ...input, minor: 1, requestHash: sha256('another') });
    assert.equal(await refusalCode(shop.refunds.beginRefund(other)), 'IDEMPOTENCY_KEY_REUSED');
    const elsewhere = { ...input, orderId: await shop.paidOrder() };
    assert.equal(await refusalCode(shop.refunds.beginRefund(elsewhere)), 'IDEMPOTENCY_KEY_REUSED');
    assert.equal((await refundsOf(shop, orderId)).length, 1);
  });

  it('is refused for what is no amount of this payment', async () => {
    for (const [asked, code] of [
      [{ minor: 0 }, 'AMOUNT_OUT_OF_RANGE'],
      [{ minor: -1 }, 'AMOUNT_OUT_OF_RANGE'],
      [{ minor: 1, currency: 'USD' }, 'INVALID_REQUEST'],
      [{ minor: 39_001 }, 'REFUND_EXCEEDS_CAPTURE'],
      [{ lines: [returned(1, 4)] }, 'REFUND_QUANTITY_EXCEEDED'],
    ] as const) {
      assert.equal(await refusalCode(shop.refunds.beginRefund(refundInput(orderId, asked))), code);
    }
    assert.deepEqual(await traces(), [PAID, [], ['PaymentPending', 'PaymentCompleted'], [taken]]);
  });

  it('is refused where no money was kept, and leaves no decision about the payment behind', async () => {
    const unknown = captureInput().orderId;
    assert.equal(await refusalCode(shop.refunds.beginRefund(refundInput(unknown))), 'ORDER_NOT_REFUNDABLE');
    assert.deepEqual(await query(shop.adminUrl, 'select * from payment_marks where order_id = $1', [unknown]), []);

    const declined = captureInput('tok_declined');
    await refusalCode(shop.activities.capturePayment(declined));
    assert.equal(await refusalCode(shop.refunds.beginRefund(refundInput(declined.orderId))), 'ORDER_NOT_REFUNDABLE');

    const wrong = captureInput('tok_wrong_amount');
    await refusalCode(shop.activities.capturePayment(wrong));
    assert.equal((await shop.activities.settleWithGateway({ orderId: wrong.orderId })).outcome, 'REFUNDED');
    assert.equal(await refusalCode(shop.refunds.beginRefund(refundInput(wrong.orderId))), 'ORDER_NOT_REFUNDABLE');
  });

  it('leaves nothing to refund of a payment that a cancelled checkout gives back', async () => {
    await shop.activities.settleWithGateway({ orderId });
    assert.equal(await refusalCode(shop.refunds.beginRefund(refundInput(orderId))), 'REFUND_EXCEEDS_CAPTURE');
  });

  describe('when the gateway', () => {
    it('refuses it for good: it failed, and amount and units are free again', async () => {
      await shop.script({ route: 'refund', kind: 'refuse', orderId });
      const input = refundInput(orderId, { minor: 39_000, lines: [returned(1, 3, true)] });
      assert.equal(await shop.refundWhole(input), 'FAILED');
      assert.deepEqual([await paymentOf(shop, orderId), await moneyOf(shop, orderId)], [PAID, [taken]]);
      const [refund] = await refundsOf(shop, orderId);
      assert.deepEqual(
        [refund?.['status'], refund?.['failure'], refund?.['finished']],
        ['FAILED', 'refund_refused', true],
      );
      assert.deepEqual(await eventTypes(), ['PaymentPending', 'PaymentCompleted']);
      const again = await shop.refunds.refundAtGateway({ refundId: input.refundId });
      assert.deepEqual(again, { status: 'FAILED', failureCode: 'refund_refused' });
      assert.equal(await shop.refundWhole(refundInput(orderId, { lines: [returned(1, 3)] })), 'SUCCEEDED');
    });

    it('works on it for a while: it is asked for again until it has an end', async () => {
      for (const [mode, end] of [
        ['succeeded', { status: 'SUCCEEDED', failureCode: null }],
        ['failed', { status: 'FAILED', failureCode: 'account_closed' }],
      ] as const) {
        await shop.script({ route: 'refund', kind: 'pending', ms: 300, mode, orderId });
        const { refundId } = await shop.refunds.beginRefund(refundInput(orderId, { minor: 1_000 }));
        await assert.rejects(shop.refunds.refundAtGateway({ refundId }), GatewayOutage);
        const ask = () => shop.refunds.refundAtGateway({ refundId }).catch(() => undefined);
        const answer = await eventually('the refund has an end', ask, 10_000);
        assert.deepEqual(answer, end);
        await shop.refunds.finishRefund({ refundId, ...answer });
      }
      assert.equal((await paymentOf(shop, orderId))?.['refunded'], 1_000);
    });

    for (const kind of ['drop_before', 'drop_after', 'invalid_json', 'hang_after'] as const) {
      it(`answers nothing of use (${kind}): it is in doubt, asked for again, and made once`, async () => {
        await shop.script({ route: 'refund', kind, orderId });
        const { refundId } = await shop.refunds.beginRefund(refundInput(orderId, { minor: 9_000 }));
        await assert.rejects(shop.refunds.refundAtGateway({ refundId }), GatewayOutage);
        await call(shop.gatewayUrl, 'DELETE', `/keys?orderId=${orderId}`);
        const ending = await shop.refunds.refundAtGateway({ refundId });
        await shop.refunds.finishRefund({ refundId, ...ending });
        assert.deepEqual(await moneyOf(shop, orderId), [taken, gaveBack(9_000, refundId)]);
        assert.equal((await paymentOf(shop, orderId))?.['refunded'], 9_000);
      });
    }

    it('has made it and the process ends before it is written down: another one finishes it, once', async () => {
      const { refundId } = await shop.refunds.beginRefund(refundInput(orderId, { minor: 9_000 }));
      await shop.refunds.refundAtGateway({ refundId });
      assert.deepEqual(await paymentOf(shop, orderId), PAID);
      assert.equal(
        await refusalCode(shop.refunds.beginRefund(refundInput(orderId, { minor: 30_001 }))),
        'REFUND_EXCEEDS_CAPTURE',
      );

      const other = shop.another();
      try {
        const ending = await other.refunds.refundAtGateway({ refundId });
        await other.refunds.finishRefund({ refundId, ...ending });
        await shop.refunds.finishRefund({ refundId, ...ending });
      } finally {
        await other.close();
      }
      assert.deepEqual(await moneyOf(shop, orderId), [taken, gaveBack(9_000, refundId)]);
      assert.equal((await paymentOf(shop, orderId))?.['refunded'], 9_000);
      assert.deepEqual(await eventTypes(), ['PaymentPending', 'PaymentCompleted', 'PaymentRefunded']);
    });

    it('is asked while no lock is held', async () => {
      const { refundId } = await shop.refunds.beginRefund(refundInput(orderId, { minor: 9_000 }));
      await shop.script({ route: 'refund', kind: 'hold', orderId });
      const asked = shop.refunds.refundAtGateway({ refundId });
      await shop.untilHeld();
      const lock = await holdLock(
        shop.adminUrl,
        `select 1 from payments p join payment_marks using (order_id) join refunds r on r.payment_id = p.id
         join refund_requests q on q.id = r.id where p.order_id = $1 for update nowait`,
        [orderId],
      );
      await lock.release();
      await shop.letGo();
      assert.equal((await asked).status, 'SUCCEEDED');
    });
  });

  it('is never booked the other way round once it has ended', async () => {
    const { refundId } = await shop.refunds.beginRefund(refundInput(orderId, { minor: 9_000 }));
    await shop.refunds.finishRefund({ refundId, status: 'FAILED', failureCode: 'account_closed' });
    const failed = await traces();
    const late = { refundId, status: 'SUCCEEDED', failureCode: null } as const;
    assert.equal(await refusalCode(shop.refunds.finishRefund(late)), 'REFUND_REFUSED');
    assert.deepEqual(await traces(), failed);
  });

  it('is not asked of a gateway that never had the charge', async () => {
    const { refundId } = await shop.refunds.beginRefund(refundInput(orderId, { minor: 9_000 }));
    await query(shop.adminUrl, `update payments set provider = 'stripe' where order_id = $1`, [orderId]);
    await assert.rejects(shop.refunds.refundAtGateway({ refundId }), /stripe/);
    assert.deepEqual(await moneyOf(shop, orderId), [taken]);
  });
});
