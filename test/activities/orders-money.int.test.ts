import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import fc from 'fast-check';

import { type OrderActivities, orderActivities } from '../../activities/orders/activities.ts';
import type { OrderMoneyActivities } from '../../activities/orders/contract.ts';
import { orderMoneyActivities } from '../../activities/orders/money-activities.ts';
import type { SagaEnd } from '../../domain/checkout.ts';
import { type Databases, openOrder } from '../../infra/databases.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { holdLock } from '../support/locks.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';

const DECLINED: SagaEnd = { status: 'REJECTED', refusal: { code: 'PAYMENT_DECLINED', message: 'no funds' } };
const INSTRUCTIONS = { type: 'bank_transfer', bank: 'Test Bank', account: '110-1', reference: 'AB-1' } as const;
const EXPIRES = '2026-11-23T01:17:03.456Z';
const won = (minor: number) => ({ minor, currency: 'KRW' });

describe('money of an order that comes late or goes back', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let adminUrl: string;
  let order: Databases['order'];
  let steps: OrderActivities;
  let money: OrderMoneyActivities;
  let orderId: string;

  before(async () => {
    databases = await freshDatabases();
    adminUrl = databases.adminUrl('order');
    order = openOrder(databases.urls.order, { poolSize: 10 });
    steps = orderActivities({ order });
    money = orderMoneyActivities({ order });
  });
  after(async () => {
    await order.$disconnect();
    await databases.drop();
  });
  beforeEach(() => place());
  afterEach(async () => {
    assert.ok((await assertOutboxIsSound(adminUrl)) > 0);
  });

  /** An order of ₩2,000 in two lines. */
  async function place(): Promise<void> {
    const input = checkoutInput('42', []);
    orderId = input.orderId;
    await steps.createOrder({ ...input, reservation: reservationOf(2) });
  }
  const pay = () => steps.markOrderPaid({ orderId, paymentId: randomUUID() });
  const close = () => steps.closeOrder({ orderId, end: DECLINED });
  const refund = (minor: number, refundId: string = randomUUID(), currency = 'KRW') =>
    money.recordRefund({ orderId, refundId, amount: { minor, currency }, reason: 'damaged', by: '7' });
  const state = async () => {
    const [row] = await query(
      adminUrl,
      `select status, version::integer as version, refunded_amount::integer as refunded from orders where id = $1`,
      [orderId],
    );
    return row;
  };
  const history = () =>
    query(
      adminUrl,
      `select order_version::integer as version, status, reason, actor from order_status_history
       where order_id = $1 order by id`,
      [orderId],
    );
  const payment = async () => {
    const [row] = await query(
      adminUrl,
      'select payment_instructions as how, payment_expires_at as until from orders where id = $1',
      [orderId],
    );
    return row;
  };
  const eventTypes = async () => (await eventsOf(adminUrl, orderId)).map(({ type }) => type);
  const CREATED = { version: 1, status: 'PENDING', reason: null, actor: 'checkout' };

  describe('while the shopper must still pay', () => {
    const wait = (expiresAt = EXPIRES) => money.awaitPayment({ orderId, instructions: INSTRUCTIONS, expiresAt });

    it('shows how and until when, once, and says nothing to the views', async () => {
      await wait();
      await wait();
      await wait('2030-01-01T00:00:00.000Z');
      assert.deepEqual(await payment(), { how: INSTRUCTIONS, until: new Date(EXPIRES) });
      assert.deepEqual(await history(), [CREATED, { ...CREATED, reason: 'AWAITING_CONFIRMATION' }]);
      assert.deepEqual(await state(), { status: 'PENDING', version: 1, refunded: 0 });
      assert.deepEqual(await eventTypes(), ['OrderCreated']);
    });

    for (const [how, end] of [
      ['paid', pay],
      ['closed', close],
    ] as const) {
      it(`comes too late for an order that is ${how}, and changes nothing`, async () => {
        await end();
        const before = [await payment(), await history()];
        await wait();
        assert.deepEqual([await payment(), await history()], before);
      });
    }

    it('leaves nothing behind of an order that was never made', async () => {
      orderId = randomUUID();
      await wait();
      assert.deepEqual(
        [await history(), await money.readOrderState({ orderId })],
        [[], { state: null, placed: false }],
      );
    });

    it('waits for a copy of a step that holds the order', async () => {
      const lock = await holdLock(adminUrl, 'select 1 from order_marks where order_id = $1 for update', [orderId]);
      const steps = [wait(), close()];
      try {
        await lock.untilWaiting(2);
      } finally {
        await lock.release();
      }
      await Promise.all(steps);
      const [{ status } = {}] = (await history()).slice(-1);
      assert.equal(status, 'FAILED');
    });
  });

  describe('what can be refunded', () => {
    const lines = [
      { lineNo: 2, quantity: 1, restock: true },
      { lineNo: 1, quantity: 3, restock: false },
    ];
    const read = (asked: typeof lines = lines) => money.readRefundable({ orderId, lines: asked });

    it('is told line by line, with what was ordered and what the units cost', async () => {
      await pay();
      assert.deepEqual(await read(), [
        { lineNo: 2, quantity: 1, restock: true, ordered: 1, valueMinor: 1_000 },
        { lineNo: 1, quantity: 3, restock: false, ordered: 1, valueMinor: 3_000 },
      ]);
      assert.deepEqual(await read([]), []);
    });

    it('is still told when everything went back, so that a repeat finds its first answer', async () => {
      await pay();
      await refund(2_000);
      assert.equal((await read()).length, 2);
    });

    it('is nothing of an order that is not paid, unknown, or has no such line', async () => {
      assert.equal(await refusalCode(read()), 'ORDER_NOT_REFUNDABLE');
      await close();
      assert.equal(await refusalCode(read()), 'ORDER_NOT_REFUNDABLE');
      orderId = randomUUID();
      assert.equal(await refusalCode(read()), 'NOT_FOUND');
      await place();
      await pay();
      const { code, detail } = await refused(read([{ lineNo: 3, quantity: 1, restock: false }]));
      const errors = [{ pointer: '/lines/0/lineNo', message: 'the order has no line 3' }];
      assert.deepEqual([code, detail], ['INVALID_REQUEST', { errors }]);
    });
  });

  describe('a refund', () => {
    it('is booked with state, sum, history and event: a part, then the rest', async () => {
      await pay();
      await refund(500);
      assert.deepEqual(await state(), { status: 'PARTIALLY_REFUNDED', version: 3, refunded: 500 });
      await refund(1_500);
      assert.deepEqual(await state(), { status: 'REFUNDED', version: 4, refunded: 2_000 });
      assert.deepEqual((await history()).slice(2), [
        { version: 3, status: 'PARTIALLY_REFUNDED', reason: 'REFUNDED 500 KRW: damaged', actor: 'operator:7' },
        { version: 4, status: 'REFUNDED', reason: 'REFUNDED 1500 KRW: damaged', actor: 'operator:7' },
      ]);
      assert.deepEqual(
        (await eventsOf(adminUrl, orderId))
          .slice(2)
          .map(({ type, data }) => [...[type, data['status'], data['refundedTotalMinor']]]),
        [
          ['OrderRefunded', 'PARTIALLY_REFUNDED', 500],
          ['OrderRefunded', 'REFUNDED', 2_000],
        ],
      );
    });

    it('is booked once, whether it is repeated, late, or made by two copies at the same time', async () => {
      await pay();
      const refundId = randomUUID();
      await Promise.all([refund(2_000, refundId), refund(2_000, refundId)]);
      const booked = [await state(), await history(), await eventTypes()];
      await refund(2_000, refundId);
      await pay();
      assert.deepEqual([await state(), await history(), await eventTypes()], booked);
      assert.deepEqual(await state(), { status: 'REFUNDED', version: 3, refunded: 2_000 });
    });

    it('is never booked above the total, in another currency, or on an order that is not paid', async () => {
      assert.equal(await refusalCode(refund(1)), 'ORDER_NOT_REFUNDABLE');
      await pay();
      await refund(1_999);
      const before = [await state(), await history(), await eventTypes()];
      for (const [minor, currency] of [
        [2, 'KRW'],
        [0, 'KRW'],
        [-1, 'KRW'],
        [1, 'USD'],
      ] as const) {
        assert.equal(await refusalCode(refund(minor, randomUUID(), currency)), 'REFUND_EXCEEDS_CAPTURE');
      }
      assert.deepEqual([await state(), await history(), await eventTypes()], before);

      await place();
      await close();
      assert.equal(await refusalCode(refund(1)), 'ORDER_NOT_REFUNDABLE');
      orderId = randomUUID();
      assert.equal(await refusalCode(refund(1)), 'ORDER_NOT_REFUNDABLE');
      assert.deepEqual(await money.readOrderState({ orderId }), { state: null, placed: false });
    });

    it('keeps a reason as long as its column', async () => {
      await pay();
      const input = { orderId, refundId: randomUUID(), amount: won(1), by: 'x'.repeat(200) };
      await money.recordRefund({ ...input, reason: '가'.repeat(600) });
      const [line] = (await history()).slice(-1);
      assert.deepEqual([String(line?.['reason']).length, String(line?.['actor']).length], [500, 100]);
    });

    it('adds up to the total at most, in any sequence with any repeats, and the events tell the same sums', async () => {
      const asked = fc.array(fc.record({ id: fc.nat({ max: 4 }), minor: fc.integer({ min: 1, max: 1_200 }) }), {
        ...{ minLength: 1, maxLength: 8 },
      });
      await fc.assert(
        fc.asyncProperty(asked, async (refunds) => {
          await place();
          await pay();
          const ids = Array.from({ length: 5 }, () => randomUUID());
          const booked = new Map<number, number>();
          let sum = 0;
          for (const { id, minor } of refunds) {
            const fits = booked.has(id) || sum + minor <= 2_000;
            const work = refund(minor, ids[id]);
            if (fits) await work;
            else assert.equal(await refusalCode(work), 'REFUND_EXCEEDS_CAPTURE');
            if (!fits || booked.has(id)) continue;
            booked.set(id, minor);
            sum += minor;
          }
          assert.equal((await state())?.['refunded'], sum);
          const told = (await eventsOf(adminUrl, orderId)).filter(({ type }) => type === 'OrderRefunded');
          assert.equal(told.length, booked.size);
          assert.equal(told.at(-1)?.data['refundedTotalMinor'] ?? 0, sum);
        }),
        { numRuns: 12 },
      );
    });
  });

  describe('a refund that the gateway refused', () => {
    const fail = (refundId: string, by = '7') =>
      money.recordRefundFailure({
        ...{ orderId, refundId, amount: won(500), reason: 'damaged', by, failureCode: 'refund_refused' },
      });
    const LINE = { reason: 'REFUND_FAILED 500 KRW (refund_refused): damaged', actor: 'operator:7' };

    it('is in the history once, with the state that the order keeps, and changes nothing else', async () => {
      await pay();
      const before = [await state(), await eventTypes()];
      const refundId = randomUUID();
      await Promise.all([fail(refundId), fail(refundId), fail(refundId)]);
      await fail(refundId, '8');
      assert.deepEqual((await history()).slice(2), [{ version: 2, status: 'PAID', ...LINE }]);
      assert.deepEqual([await state(), await eventTypes()], before);
    });

    it('is no refund: the next one is booked, and each that fails has its own line', async () => {
      await pay();
      await fail(randomUUID());
      await refund(2_000);
      await fail(randomUUID());
      assert.deepEqual(await state(), { status: 'REFUNDED', version: 3, refunded: 2_000 });
      assert.deepEqual((await history()).slice(2), [
        { version: 2, status: 'PAID', ...LINE },
        { version: 3, status: 'REFUNDED', reason: 'REFUNDED 2000 KRW: damaged', actor: 'operator:7' },
        { version: 3, status: 'REFUNDED', ...LINE },
      ]);
    });

    it('waits for a refund that is being booked, so that no line is older than the one before it', async () => {
      await pay();
      const lock = await holdLock(adminUrl, 'select 1 from order_marks where order_id = $1 for update', [orderId]);
      const booking = refund(500);
      let failing: Promise<void>;
      try {
        await lock.untilWaiting(1);
        failing = fail(randomUUID());
        await lock.untilWaiting(2);
      } finally {
        await lock.release();
      }
      await Promise.all([booking, failing]);
      const versions = (await history()).map(({ version }) => Number(version));
      assert.deepEqual(versions, [...versions].sort());
    });

    it('has nowhere to be kept of an order that was never made', async () => {
      orderId = randomUUID();
      await fail(randomUUID());
      assert.deepEqual(await history(), []);
      assert.deepEqual(await money.readOrderState({ orderId }), { state: null, placed: false });
    });
  });

  describe('a payment that came too late', () => {
    const settle = (paymentId: string) => money.recordSettlement({ orderId, paymentId, amount: won(2_000) });

    it('is in the history once it was given back, once for each payment, and changes nothing else', async () => {
      await close();
      const before = [await state(), await eventTypes()];
      const paymentId = randomUUID();
      await Promise.all([settle(paymentId), settle(paymentId), settle(paymentId)]);
      assert.deepEqual((await history()).slice(2), [
        { version: 2, status: 'FAILED', reason: 'LATE_PAYMENT_REFUNDED 2000 KRW', actor: 'checkout' },
      ]);
      assert.deepEqual([await state(), await eventTypes()], before);
    });

    it('has nowhere to be kept of an order that was never made', async () => {
      orderId = randomUUID();
      await settle(randomUUID());
      assert.deepEqual(await history(), []);
    });
  });

  describe('what a repair asks', () => {
    it('is how the order stands, and whether there is one or only the mark of an undo', async () => {
      assert.deepEqual(await money.readOrderState({ orderId }), { state: 'CREATED', placed: true });
      await pay();
      assert.deepEqual(await money.readOrderState({ orderId }), { state: 'PAID', placed: true });
      await place();
      await close();
      assert.deepEqual(await money.readOrderState({ orderId }), { state: 'CLOSED', placed: true });
      orderId = randomUUID();
      assert.deepEqual(await money.readOrderState({ orderId }), { state: null, placed: false });
      await close();
      assert.deepEqual(await money.readOrderState({ orderId }), { state: 'CLOSED', placed: false });
    });

    it('is which orders are PENDING: oldest first, page by page, each once, also of one instant', async () => {
      await query(adminUrl, `update orders set status = 'CANCELLED', failure_code = 'X' where status = 'PENDING'`);
      const placed: string[] = [];
      for (let i = 0; i < 7; i++) {
        await place();
        placed.push(orderId);
      }
      await pay();
      const pending = placed.slice(0, 6);
      // Two of them to the same microsecond: only their ids can tell them apart.
      await query(adminUrl, `update orders set created_at = '2026-01-01T00:00:00.000001Z' where id = any($1::uuid[])`, [
        pending.slice(2, 4),
      ]);
      const expected = [...pending.slice(2, 4).sort(), ...pending.slice(0, 2), ...pending.slice(4)];
      for (const limit of [1, 2, 6, 100]) {
        const found: string[] = [];
        let after: string | null = null;
        do {
          const page: Awaited<ReturnType<typeof money.findPendingOrders>> = await money.findPendingOrders({
            after,
            limit,
          });
          assert.ok(page.items.length <= limit);
          found.push(...page.items.map((item) => item.orderId));
          after = page.next;
        } while (after !== null);
        assert.deepEqual(found, expected);
      }
    });
  });
});
