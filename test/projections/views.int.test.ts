import assert from 'node:assert/strict';

import { paymentIdFor } from '../../events/ids.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews } from '../../infra/databases.ts';
import { VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { emptyViews, rowsOf, storedEvent, type ViewRow } from '../support/views.ts';
import {
  orderEvents,
  orderFacts,
  orderIdOf,
  type OrderStory,
  paymentFacts,
  productEvents,
  stockLevels,
  userEvents,
} from '../support/views-history.ts';

const AT = '2026-11-20T03:00:00.000Z';
const NEXT_HOUR = '2026-11-20T04:00:00.123456Z';

const PLACED: OrderStory = {
  name: '1',
  userId: '7',
  currency: 'KRW',
  lines: [
    { productId: '10', quantity: 2, unitPriceMinor: 5_000 },
    { productId: '10', quantity: 1, unitPriceMinor: 5_000 },
    { productId: '11', quantity: 1, unitPriceMinor: 1_000 },
  ],
  placedAt: AT,
  end: { kind: 'OPEN' },
};
const paid = (...refunds: readonly number[]): OrderStory => ({
  ...PLACED,
  end: { kind: 'PAID', at: NEXT_HOUR, refunds: refunds.map((minor) => ({ at: NEXT_HOUR, minor })) },
});
const orderId = orderIdOf(PLACED);
const paymentId = paymentIdFor(orderId);

describe('the views of users, products, orders and payments', () => {
  let databases: TestDatabases;
  let views: Databases['views'];
  before(async () => {
    databases = await freshDatabases();
    views = openViews(databases.urls.views, { poolSize: 2 });
  });
  after(async () => {
    await views.$disconnect();
    await databases.drop();
  });
  beforeEach(() => emptyViews(databases.adminUrl('views')));

  const apply = async (...batch: readonly StoredEvent[]) => {
    for (const view of VIEWS) await applyToView(views, view, batch, { timeZone: 'Asia/Seoul' });
  };
  const rows = async (table: string): Promise<readonly ViewRow[]> =>
    (await rowsOf(databases.urls.views, [table]))[table] ?? [];
  /** The columns named, of every row. */
  const columns = async (table: string, ...names: readonly string[]) =>
    (await rows(table)).map((row) => names.map((name) => row[name]));
  const [created, paidEvent, refundedEvent] = of(orderEvents(paid(3_000)), 'order');
  const [pending, completed, paymentRefunded] = of(orderEvents(paid(3_000)), 'payment');

  describe('users', () => {
    it('show the newest profile, also when an older one comes later', async () => {
      const [first, second, third] = userEvents('7', ['Kim', 'Lee', 'Park'], AT);
      await apply(second, first);
      assert.deepEqual(await columns('mv_users', 'full_name', 'user_version'), [['Lee', 2]]);
      await apply(third);
      await apply(first);
      assert.deepEqual(await rows('mv_users'), [
        {
          ...{ user_id: 7, username: 'user7', email: 'user7@shop.test', full_name: 'Park', status: 'ACTIVE' },
          ...{ user_version: 3, last_order_date: null },
        },
      ]);
    });

    it('are stubs of version 0 while only their orders are known, and keep the orders when the profile comes', async () => {
      await apply(created);
      const columnsOfUser = () => columns('mv_users', 'user_version', 'full_name', 'last_order_date');
      assert.deepEqual(await columnsOfUser(), [[0, null, '2026-11-20T03:00:00+00:00']]);
      await apply(...userEvents('7', ['Kim'], AT));
      assert.deepEqual(await columnsOfUser(), [[1, 'Kim', '2026-11-20T03:00:00+00:00']]);
    });

    it('count an order from when it is paid, with what was not given back, per currency', async () => {
      const totals = () => columns('mv_user_totals', 'currency', 'total_orders', 'total_spent');
      await apply(created);
      assert.deepEqual(await totals(), [['KRW', 0, 0]]);
      await apply(paidEvent);
      assert.deepEqual(await totals(), [['KRW', 1, 16_000]]);
      await apply(refundedEvent);
      assert.deepEqual(await totals(), [['KRW', 1, 13_000]]);
      await apply(...orderEvents({ ...paid(), name: '2', currency: 'USD' }));
      await apply(...orderEvents({ ...paid(), name: '3' }));
      assert.deepEqual((await totals()).sort(), [
        ['KRW', 2, 29_000],
        ['USD', 1, 16_000],
      ]);
    });

    it('keep an order that was given back whole among their orders, and never count one that failed', async () => {
      await apply(...orderEvents(paid(16_000)));
      await apply(...orderEvents({ ...PLACED, name: '2', end: { kind: 'FAILED', at: NEXT_HOUR } }));
      assert.deepEqual(await columns('mv_user_totals', 'total_orders', 'total_spent'), [[1, 0]]);
    });

    it('name the date of the newest order, whatever came of it and whichever came first', async () => {
      const older = { ...PLACED, name: '2', placedAt: '2026-11-19T03:00:00.000Z' };
      await apply(...orderEvents({ ...PLACED, end: { kind: 'CANCELLED', at: NEXT_HOUR } }));
      await apply(...orderEvents(older));
      assert.deepEqual(await columns('mv_users', 'last_order_date'), [['2026-11-20T03:00:00+00:00']]);
    });
  });

  describe('products', () => {
    it('show the newest description, also when an older one comes later', async () => {
      const [first, second] = productEvents('10', [5_000, 4_000], AT);
      await apply(second);
      await apply(first);
      const shown = await columns('mv_products', 'name', 'slug', 'base_price', 'category_name', 'product_version');
      assert.deepEqual(shown, [['Product 10', 'product-10', 4_000, 'Things', 2]]);
    });

    it('sum the newest stock of every place, and are as well stocked as the best of them', async () => {
      const main = stockLevels('10', 'MAIN', [50, 0], AT);
      const busan = stockLevels('10', 'BUSAN', [40, 7], AT);
      const shown = () => columns('mv_products', 'available_stock', 'stock_status', 'product_version');
      await apply(main[0], busan[1]);
      assert.deepEqual(await shown(), [[57, 'IN_STOCK', 0]]);
      await apply(busan[0]); // late
      await apply(main[1]);
      assert.deepEqual(await shown(), [[7, 'LOW_STOCK', 0]]);
      const [, , empty] = stockLevels('10', 'BUSAN', [40, 7, 0], AT);
      await apply(empty);
      assert.deepEqual(await shown(), [[0, 'OUT_OF_STOCK', 0]]);
      assert.deepEqual(await columns('mv_product_stock', 'aggregate_id', 'available_quantity', 'stock_version'), [
        ['10-0-BUSAN', 0, 3],
        ['10-0-MAIN', 0, 2],
      ]);
    });

    it('count the units of orders that were paid, all lines of one product together, once', async () => {
      await apply(created);
      assert.deepEqual(await rows('mv_products'), []);
      await apply(paidEvent);
      await apply(paidEvent, refundedEvent);
      await apply(...orderEvents({ ...paid(), name: '2' }));
      assert.deepEqual((await columns('mv_products', 'product_id', 'purchase_count')).sort(), [
        [10, 6],
        [11, 2],
      ]);
    });
  });

  describe('orders', () => {
    it('hold order and payment in one row, with the lines', async () => {
      await apply(...orderEvents(paid(3_000)));
      const { lines } = orderFacts(PLACED);
      assert.deepEqual(await rows('mv_orders'), [
        {
          ...{ order_id: orderId, order_number: 'N-1', user_id: 7, status: 'PARTIALLY_REFUNDED', currency: 'KRW' },
          ...{ total_amount: 16_000, refunded_amount: 3_000, items: lines, failure_code: null },
          ...{ order_date: '2026-11-20T03:00:00+00:00', paid_at: '2026-11-20T04:00:00.123456+00:00', closed_at: null },
          ...{ order_version: 3, payment_id: paymentId, payment_status: 'PARTIALLY_REFUNDED', payment_method: 'card' },
          ...{ payment_version: 3 },
        },
      ]);
    });

    it('are stubs of version 0 while only the payment is known, and keep it when the order comes', async () => {
      const shown = () => columns('mv_orders', 'order_version', 'status', 'payment_version', 'payment_status');
      await apply(completed);
      assert.deepEqual(await shown(), [[0, null, 2, 'CAPTURED']]);
      await apply(created, pending);
      assert.deepEqual(await shown(), [[1, 'PENDING', 2, 'CAPTURED']]);
    });

    it('keep the time of payment when the refund came before it', async () => {
      const shown = () => columns('mv_orders', 'status', 'refunded_amount', 'paid_at');
      await apply(refundedEvent);
      assert.deepEqual(await shown(), [['PARTIALLY_REFUNDED', 3_000, null]]);
      await apply(paidEvent, created);
      assert.deepEqual(await shown(), [['PARTIALLY_REFUNDED', 3_000, '2026-11-20T04:00:00.123456+00:00']]);
    });

    it('say why and when they were closed', async () => {
      await apply(...orderEvents({ ...PLACED, end: { kind: 'FAILED', at: NEXT_HOUR } }));
      await apply(...orderEvents({ ...PLACED, name: '2', end: { kind: 'CANCELLED', at: NEXT_HOUR } }));
      assert.deepEqual((await columns('mv_orders', 'status', 'failure_code', 'closed_at', 'payment_status')).sort(), [
        ['CANCELLED', 'CHECKOUT_CANCELLED', '2026-11-20T04:00:00.123456+00:00', 'CANCELLED'],
        ['FAILED', 'PAYMENT_DECLINED', '2026-11-20T04:00:00.123456+00:00', 'FAILED'],
      ]);
    });
  });

  describe('payments', () => {
    it('are as the newest event says, and know when money was taken, whichever comes first', async () => {
      await apply(paymentRefunded);
      assert.deepEqual(await columns('mv_payments', 'status', 'captured_at'), [['PARTIALLY_REFUNDED', null]]);
      await apply(completed, pending);
      assert.deepEqual(await rows('mv_payments'), [
        {
          ...{ payment_id: paymentId, order_id: orderId, user_id: 7, amount: 16_000, currency: 'KRW' },
          ...{ status: 'PARTIALLY_REFUNDED', payment_method: 'card', payment_provider: 'simulated' },
          ...{ captured_amount: 16_000, captured_currency: 'KRW', refunded_amount: 3_000, failure_code: null },
          ...{ captured_at: '2026-11-20T04:00:00.123456+00:00', payment_version: 3 },
        },
      ]);
    });

    it('say nothing of a capture before there was one, and all of one in another currency than was asked', async () => {
      const shown = () => columns('mv_payments', 'status', 'captured_amount', 'captured_currency', 'captured_at');
      await apply(pending);
      assert.deepEqual(await shown(), [['PENDING', null, null, null]]);
      const wrong = {
        status: 'FAILED',
        capturedMinor: 12,
        capturedCurrency: 'USD',
        failureCode: 'PAYMENT_AMOUNT_MISMATCH',
      };
      await apply(storedEvent('PaymentFailed', paymentId, 2, NEXT_HOUR, { ...paymentFacts(PLACED), ...wrong }));
      assert.deepEqual(await shown(), [['FAILED', 12, 'USD', '2026-11-20T04:00:00.123456+00:00']]);
    });
  });

  it('change nothing, and take no event for applied, when a row of the batch is refused', async () => {
    const impossible = storedEvent('OrderPaid', orderId, 2, NEXT_HOUR, {
      ...orderFacts(PLACED),
      currency: 'KRW',
      orderNumber: 'N'.repeat(31),
    });
    await assert.rejects(apply(created, impossible));
    assert.deepEqual(await rows('mv_orders'), []);
    await apply(created);
    assert.equal((await rows('mv_orders')).length, 1);
  });
});

/** The events about one kind of aggregate; a test that names one that is not there fails. */
function of(events: readonly StoredEvent[], aggregateType: string): [StoredEvent, StoredEvent, StoredEvent] {
  const [first, second, third] = events.filter((event) => event.aggregateType === aggregateType);
  assert.ok(first && second && third);
  return [first, second, third];
}
