import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CaptureInput } from '../../activities/payments/contract.ts';
import { settlementKey } from '../../activities/payments/settlement-tables.ts';
import { bookRefunds } from '../../activities/payments/tables.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal } from '../../infra/payment-gateway/port.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import {
  act,
  activitiesWith,
  captureInput,
  chargesOf,
  moneyOf,
  openPayments,
  paymentOf,
  type PaymentService,
  providerIdOf,
  refundedInFull,
  settleFully,
  transferInput,
} from '../support/payments.ts';

describe('the settlement of a payment that is given up', function () {
  this.timeout(60_000);
  let shop: PaymentService;
  let input: CaptureInput;
  let orderId: string;

  before(async () => {
    shop = await openPayments();
  });
  after(() => shop.close());
  beforeEach(() => use(captureInput()));
  afterEach(async () => {
    await shop.letGo();
    await assertOutboxIsSound(shop.adminUrl);
  });

  function use(another: CaptureInput): void {
    input = another;
    orderId = another.orderId;
  }
  const capture = () => shop.activities.capturePayment(input);
  const settleOnce = () => shop.activities.settleWithGateway({ orderId });
  const settle = () => settleFully(shop, orderId);
  const status = async () => (await paymentOf(shop, orderId))?.['status'];
  const settlement = async () => {
    const [row] = await query(
      shop.adminUrl,
      'select amount::integer as minor, status, failure_code as failure from refunds where refund_key = $1',
      [settlementKey(orderId)],
    );
    return row;
  };
  const moved = async () => (await moneyOf(shop, orderId)).map(({ type, minor }) => [type, minor]);
  const owing = async () => {
    const { items } = await shop.finders.findOpenPayments({ after: null, limit: 1_000 });
    const settling = await shop.finders.findOpenPayments({ after: SETTLEMENTS, limit: 1_000 });
    return [...items, ...settling.items].some((order) => order.orderId === orderId);
  };

  describe('when the gateway refuses', () => {
    it('to give the money back, asks for a person, is owed meanwhile, and ends well when it is tried again', async () => {
      await capture();
      await shop.script({ route: 'refund', kind: 'refuse', orderId, times: 2 });
      for (let i = 0; i < 2; i++) {
        assert.equal(await refusalCode(settle()), 'REFUND_REFUSED');
        assert.deepEqual(await settlement(), { minor: 39_000, status: 'FAILED', failure: 'refund_refused' });
        assert.equal(await status(), 'CAPTURED');
        assert.equal(await owing(), true);
      }
      assert.deepEqual(await settle(), refundedInFull(orderId));
      assert.deepEqual(await settlement(), { minor: 39_000, status: 'SUCCEEDED', failure: null });
      assert.equal(await status(), 'REFUNDED');
      assert.equal(await owing(), false);
      assert.deepEqual(await moved(), [
        ['CAPTURE', 39_000],
        ['REFUND', 39_000],
      ]);
    });

    it('to give it back, and a person has done it there by hand: then it is done, and nothing goes back twice', async () => {
      await capture();
      await shop.script({ route: 'refund', kind: 'refuse', orderId });
      assert.equal(await refusalCode(settle()), 'REFUND_REFUSED');
      await shop.gateway.refund(await providerIdOf(shop, orderId), randomUUID(), input.amount);
      assert.deepEqual(await settle(), refundedInFull(orderId));
      assert.equal((await settlement())?.['status'], 'SUCCEEDED');
      assert.deepEqual(await moved(), [
        ['CAPTURE', 39_000],
        ['REFUND', 39_000],
      ]);
    });

    it('after it had promised the refund, asks for a person every time', async () => {
      await capture();
      await shop.script({ route: 'refund', kind: 'pending', mode: 'failed', ms: 300, orderId });
      await assert.rejects(settle(), GatewayOutage);
      assert.equal((await settlement())?.['status'], 'PENDING');
      await sleep(400);
      assert.equal(await refusalCode(settle()), 'REFUND_REFUSED');
      assert.equal(await refusalCode(settle()), 'REFUND_REFUSED');
      assert.equal((await settlement())?.['status'], 'FAILED');
      assert.deepEqual(await moved(), [['CAPTURE', 39_000]]);
    });

    it('to close the charge, asks for a person, and closes it when it is tried again', async () => {
      use(transferInput());
      await capture();
      await shop.script({ route: 'cancel', kind: 'refuse', orderId });
      const { code, message } = await refused(settle());
      assert.equal(code, 'REFUND_REFUSED');
      assert.match(message, /refuses to close its charge: cancel_refused/);
      assert.equal(await status(), 'IN_DOUBT');
      assert.deepEqual(await settle(), { outcome: 'NOTHING_CHARGED' });
      assert.deepEqual(await chargesOf(shop, orderId), ['cancelled']);
    });

    it('to close the charge, and the money comes: then that is given back', async () => {
      use(transferInput());
      await capture();
      await shop.script({ route: 'cancel', kind: 'refuse', orderId });
      assert.equal(await refusalCode(settle()), 'REFUND_REFUSED');
      await act(shop, orderId, 'transfer');
      assert.deepEqual(await settle(), refundedInFull(orderId));
      assert.equal(await status(), 'REFUNDED');
    });
  });

  it('waits for a refund that the gateway still works on, asks for it once, and does not believe it before', async () => {
    await capture();
    await shop.script({ route: 'refund', kind: 'pending', ms: 500, orderId });
    await assert.rejects(settle(), GatewayOutage);
    assert.equal(await status(), 'CAPTURED');
    const end = await eventually('the refund has succeeded', () => settle().catch(() => undefined), 10_000);
    assert.deepEqual(end, refundedInFull(orderId));
    assert.deepEqual(await moved(), [
      ['CAPTURE', 39_000],
      ['REFUND', 39_000],
    ]);
  });

  it('is not undone by a refusal that comes after another copy has given the money back', async () => {
    await capture();
    const late = activitiesWith(shop.payment, {
      ...shop.gateway,
      refund: async () => {
        await settle();
        throw new GatewayRefusal('refund_exceeds_capture', 'nothing is left');
      },
    });
    assert.deepEqual(await late.settleWithGateway({ orderId }), refundedInFull(orderId));
    assert.deepEqual(await settlement(), { minor: 39_000, status: 'SUCCEEDED', failure: null });
    assert.equal((await moved()).length, 2);
  });

  describe('when a part was refunded already', () => {
    async function refundPart(minor: number, status: 'PENDING' | 'SUCCEEDED'): Promise<string> {
      const id = randomUUID();
      await query(
        shop.adminUrl,
        `insert into refunds (id, payment_id, refund_key, amount, currency, reason, status)
         values ($1, $2, $3, $4, 'KRW', 'broken', $5)`,
        [id, paymentIdFor(orderId), id, minor, status],
      );
      if (status === 'SUCCEEDED') {
        await shop.gateway.refund(await providerIdOf(shop, orderId), id, { minor, currency: 'KRW' });
        await shop.payment.$transaction((tx) => bookRefunds(tx, paymentIdFor(orderId)));
      }
      return id;
    }

    it('gives back the rest, and says how much that was, every time', async () => {
      await capture();
      await refundPart(10_000, 'SUCCEEDED');
      assert.equal(await status(), 'PARTIALLY_REFUNDED');
      assert.deepEqual(await settle(), refundedInFull(orderId, 29_000));
      assert.deepEqual(await settle(), refundedInFull(orderId, 29_000));
      const { refunded } = (await paymentOf(shop, orderId)) ?? {};
      assert.deepEqual([await status(), refunded], ['REFUNDED', 39_000]);
      assert.deepEqual(await moved(), [
        ['CAPTURE', 39_000],
        ['REFUND', 10_000],
        ['REFUND', 29_000],
      ]);
      const events = await eventsOf(shop.adminUrl, orderId);
      assert.deepEqual(
        events.slice(2).map(({ data }) => [data['status'], data['refundedMinor']]),
        [
          ['PARTIALLY_REFUNDED', 10_000],
          ['REFUNDED', 39_000],
        ],
      );
    });

    it('counts one that is on its way, and ends when that one has ended', async () => {
      await capture();
      const id = await refundPart(10_000, 'PENDING');
      await assert.rejects(settle(), /another refund .* still on its way/);
      assert.deepEqual(await moved(), [
        ['CAPTURE', 39_000],
        ['REFUND', 29_000],
      ]);
      await shop.gateway.refund(await providerIdOf(shop, orderId), id, { minor: 10_000, currency: 'KRW' });
      await query(shop.adminUrl, `update refunds set status = 'SUCCEEDED' where id = $1`, [id]);
      assert.deepEqual(await settle(), refundedInFull(orderId, 29_000));
      assert.equal(await status(), 'REFUNDED');
    });

    it('asks for nothing when others gave back all of it', async () => {
      await capture();
      await refundPart(39_000, 'SUCCEEDED');
      assert.equal(await status(), 'REFUNDED');
      assert.deepEqual(await settle(), refundedInFull(orderId));
      assert.equal(await settlement(), undefined);
      assert.equal((await moved()).length, 2);
    });
  });

  describe('when a charge may still land', () => {
    async function leaveInDoubt(): Promise<void> {
      await shop.script({ route: 'confirm', kind: 'drop_before', orderId });
      await assert.rejects(capture(), GatewayOutage);
      await shop.activities.abandonPayment({ orderId });
    }

    it('says when to look again, by the clock of the database, and never a longer time', async () => {
      await leaveInDoubt();
      const first = await settleOnce();
      const second = await settleOnce();
      assert.ok(first.outcome === 'LOOK_AGAIN' && second.outcome === 'LOOK_AGAIN');
      assert.ok(first.afterMs <= shop.gateway.maxProcessingMs && second.afterMs < first.afterMs);
      assert.ok(second.afterMs > 0);
      assert.equal(await status(), 'IN_DOUBT');

      await query(shop.adminUrl, `update payments set in_doubt_since = in_doubt_since - interval '1 hour'`);
      assert.deepEqual(await settleOnce(), { outcome: 'NOTHING_CHARGED' });
      assert.equal(await status(), 'CANCELLED');
    });

    it('gives back what lands although it was cancelled, when it lands before the second look', async () => {
      await shop.script({ route: 'confirm', kind: 'land_anyway', ms: 500, orderId });
      await assert.rejects(capture(), GatewayOutage);
      await shop.activities.abandonPayment({ orderId });
      assert.equal((await settleOnce()).outcome, 'LOOK_AGAIN');
      assert.deepEqual(await chargesOf(shop, orderId), ['cancelled']);
      assert.deepEqual(await settle(), refundedInFull(orderId));
      assert.equal(await status(), 'REFUNDED');
    });

    it('does not wait for what can be in flight no more', async () => {
      use(captureInput('tok_declined'));
      assert.equal(await refusalCode(capture()), 'PAYMENT_DECLINED');
      assert.deepEqual(await settleOnce(), { outcome: 'NOTHING_CHARGED' });
    });
  });

  describe('when the order goes forward in no case', () => {
    it('a capture that came first is owed from then on, and found by the reconciler', async () => {
      await capture();
      const captured = { outcome: 'ALREADY_CAPTURED', paymentId: paymentIdFor(orderId) };
      assert.deepEqual(await shop.activities.abandonPayment({ orderId }), captured);
      assert.equal(await owing(), false);
      const goesBack = { outcome: 'CANCELLED', refusal: null };
      assert.deepEqual(await shop.activities.abandonPayment({ orderId, giveBack: true }), goesBack);
      assert.deepEqual(await shop.activities.abandonPayment({ orderId, giveBack: true }), goesBack);
      assert.deepEqual(await shop.activities.abandonPayment({ orderId }), goesBack, 'a repair goes the same way');
      assert.deepEqual(await settlement(), { minor: 39_000, status: 'PENDING', failure: null });
      assert.equal(await owing(), true);
      assert.deepEqual(await settle(), refundedInFull(orderId));
      assert.equal(await owing(), false);
    });

    it('a saga that comes to its payment again, as by a reset, is refused before and after the money went back', async () => {
      await capture();
      await shop.activities.abandonPayment({ orderId, giveBack: true });
      for (const work of [capture, () => shop.activities.checkPayment({ orderId })]) {
        assert.equal(await refusalCode(work()), 'CHECKOUT_ABANDONED');
      }
      await settle();
      assert.equal(await refusalCode(capture()), 'CHECKOUT_ABANDONED');
      assert.equal((await moved()).length, 2);
    });

    it('nothing is owed of a payment that was never captured', async () => {
      assert.deepEqual(await shop.activities.abandonPayment({ orderId, giveBack: true }), {
        outcome: 'CANCELLED',
        refusal: null,
      });
      assert.equal(await settlement(), undefined);
    });
  });

  it('asks no gateway but the one that has the charge', async () => {
    await capture();
    const calls: string[] = [];
    const other = activitiesWith(shop.payment, {
      ...shop.gateway,
      provider: 'stripe',
      lookup: async () => {
        calls.push('lookup');
        return Promise.resolve(undefined);
      },
    });
    await assert.rejects(
      other.settleWithGateway({ orderId }),
      /is paid through simulated, but this worker asks stripe/,
    );
    assert.deepEqual(calls, []);
  });
});

/** Where the list of captured payments with an open settlement begins. */
const SETTLEMENTS = '["2","-infinity","00000000-0000-0000-0000-000000000000"]';
