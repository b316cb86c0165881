import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { type OrderActivities, orderActivities } from '../../activities/orders/activities.ts';
import { type CheckoutInput, orderNumberOf, placedOrder, type SagaEnd } from '../../domain/checkout.ts';
import { type Databases, openOrder } from '../../infra/databases.ts';
import { refusalCode } from '../support/activity-refusal.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { holdLock } from '../support/locks.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { rowsWith } from '../support/row-search.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';

const RESERVATION = reservationOf(2);
const DECLINED: SagaEnd = { status: 'REJECTED', refusal: { code: 'PAYMENT_DECLINED', message: 'no funds' } };
const CANCELLED: SagaEnd = { status: 'CANCELLED', refusal: { code: 'CHECKOUT_CANCELLED', message: 'was cancelled' } };
const EXPIRED: SagaEnd = { status: 'EXPIRED', refusal: { code: 'CHECKOUT_ABANDONED', message: 'nobody paid' } };

describe('the steps of the order service', () => {
  let databases: TestDatabases;
  let adminUrl: string;
  let order: Databases['order'];
  let activities: OrderActivities;
  let input: CheckoutInput;
  let orderId: string;

  before(async () => {
    databases = await freshDatabases();
    adminUrl = databases.adminUrl('order');
    order = openOrder(databases.urls.order, { poolSize: 10 });
    activities = orderActivities({ order });
  });
  after(async () => {
    await order.$disconnect();
    await databases.drop();
  });
  beforeEach(() => {
    input = checkoutInput('42', []);
    orderId = input.orderId;
  });
  afterEach(async () => {
    await assertOutboxIsSound(adminUrl);
  });

  const create = () => activities.createOrder({ ...input, reservation: RESERVATION });
  const pay = (paymentId: string = randomUUID()) => activities.markOrderPaid({ orderId, paymentId });
  const close = (end = DECLINED) => activities.closeOrder({ orderId, end });
  const rows = (table: string, key: string, by: string) =>
    query(adminUrl, `select * from ${table} where ${key} = $1 order by ${by}`, [orderId]);
  const history = () =>
    query(
      adminUrl,
      `select order_version::integer as version, status, reason, actor from order_status_history
       where order_id = $1 order by id`,
      [orderId],
    );
  /** Everything that the order has left in the database. */
  const traces = async () => ({
    mark: await rows('order_marks', 'order_id', 'order_id'),
    orders: await rows('orders', 'id', 'id'),
    items: await rows('order_items', 'order_id', 'line_no'),
    history: await history(),
    events: await eventsOf(adminUrl, orderId),
  });
  const statusAndVersion = async () =>
    query(adminUrl, `select status, version::integer as version from orders where id = $1`, [orderId]);

  it('createOrder answers the order as it was placed and stores exactly that answer', async () => {
    const placed = await create();
    assert.deepEqual(placed, placedOrder(orderId, RESERVATION));
    assert.equal(placed.orderNumber, orderNumberOf(orderId));
    assert.match(placed.orderNumber, /^[0-9A-HJKMNP-TV-Z]{6}-[0-9A-HJKMNP-TV-Z]{6}$/);
    assert.deepEqual(await query(adminUrl, 'select state, answer from order_marks where order_id = $1', [orderId]), [
      { state: 'CREATED', answer: placed },
    ]);
  });

  it('createOrder writes the order, its lines, its history and its event', async () => {
    await create();
    const facts = `order_number as number, user_id::text as customer, status, currency, subtotal_amount::integer as
      subtotal, total_amount::integer as total, refunded_amount::integer as refunded, payment_method as method,
      payment_id as payment, request_hash as hash, failure_code as failure, placed_at as placed, paid_at as paid,
      closed_at as closed, version::integer as version`;
    assert.deepEqual(await query(adminUrl, `select ${facts} from orders where id = $1`, [orderId]), [
      {
        ...{ number: orderNumberOf(orderId), customer: '42', status: 'PENDING', currency: 'KRW', subtotal: 2_000 },
        ...{ total: 2_000, refunded: 0, method: 'card', payment: null, hash: input.requestHash, failure: null },
        ...{ placed: new Date(RESERVATION.placedAt), paid: null, closed: null, version: 1 },
      },
    ]);
    const lines = `line_no as line, product_id::text as product, variant_id::text as variant, location_code as location,
      product_sku as sku, product_name as name, variant_name as "variantName", unit_price::integer as price, quantity,
      line_total::integer as total`;
    const shared = { location: 'MAIN', price: 1_000, quantity: 1, total: 1_000 };
    assert.deepEqual(
      await query(adminUrl, `select ${lines} from order_items where order_id = $1 order by 1`, [orderId]),
      [
        { ...shared, line: 1, product: '100', variant: null, sku: 'sku-0', name: 'Thing 0', variantName: null },
        { ...shared, line: 2, product: '101', variant: '701', sku: 'sku-1', name: 'Thing 1', variantName: 'Blue' },
      ],
    );
    assert.deepEqual(await history(), [{ version: 1, status: 'PENDING', reason: null, actor: 'checkout' }]);
    const line = { unitPriceMinor: 1_000, quantity: 1, lineTotalMinor: 1_000 };
    assert.deepEqual(
      (await eventsOf(adminUrl, orderId)).map(({ type, subject, data }) => ({ type, subject, data })),
      [
        {
          ...{ type: 'OrderCreated', subject: orderId },
          data: {
            ...{ orderId, orderNumber: orderNumberOf(orderId), userId: '42', status: 'PENDING', currency: 'KRW' },
            ...{ totalMinor: 2_000, refundedTotalMinor: 0, itemCount: 2, paymentMethod: 'card', failureCode: null },
            placedAt: RESERVATION.placedAt,
            lines: [
              { ...line, lineNo: 1, productId: '100', variantId: null, sku: 'sku-0', name: 'Thing 0' },
              { ...line, lineNo: 2, productId: '101', variantId: '701', sku: 'sku-1', name: 'Thing 1' },
            ],
          },
        },
      ],
    );
  });

  it('createOrder gives a repeat the first answer, whatever it brings, and changes nothing', async () => {
    const first = await create();
    const before = await traces();
    assert.deepEqual(await create(), first);
    assert.deepEqual(await activities.createOrder({ ...input, reservation: reservationOf(3, 777) }), first);
    await pay();
    assert.deepEqual(await create(), first);
    assert.deepEqual((await traces()).items, before.items);
  });

  it('two live copies of createOrder make one order and get one answer', async () => {
    const lock = await holdLock(adminUrl, 'lock table orders in exclusive mode', []);
    const copies = [create(), create()];
    try {
      await lock.untilWaiting(2);
    } finally {
      await lock.release();
    }
    const [first, second] = await Promise.all(copies);
    assert.deepEqual(first, second);
    assert.equal((await eventsOf(adminUrl, orderId)).length, 1);
  });

  it('a checkout that was closed before its order was made never gets one, and no event says anything', async () => {
    await close(CANCELLED);
    const marked = await traces();
    assert.equal(await refusalCode(create()), 'CHECKOUT_ABANDONED');
    assert.equal(await refusalCode(pay()), 'CHECKOUT_ABANDONED');
    await close();
    assert.deepEqual(await traces(), marked);
    const [{ state } = {}] = marked.mark;
    assert.deepEqual([state, marked.orders, marked.history, marked.events], ['CLOSED', [], [], []]);
  });

  it('markOrderPaid moves the order once and keeps the first payment', async () => {
    await create();
    const paymentId = randomUUID();
    await pay(paymentId);
    const paid = await traces();
    await pay(paymentId);
    await pay();

    assert.deepEqual(await traces(), paid);
    assert.deepEqual(await statusAndVersion(), [{ status: 'PAID', version: 2 }]);
    const [{ payment_id: payment, paid_at: paidAt, closed_at: closedAt } = {}] = paid.orders;
    assert.equal(payment, paymentId);
    assert.ok(paidAt instanceof Date && closedAt === null);
    assert.deepEqual(paid.history[1], { version: 2, status: 'PAID', reason: null, actor: 'checkout' });
    assert.deepEqual(
      paid.events.map(({ type, data }) => [type, data['status']]),
      [
        ['OrderCreated', 'PENDING'],
        ['OrderPaid', 'PAID'],
      ],
    );
  });

  for (const [end, status, event] of [
    [DECLINED, 'FAILED', 'OrderFailed'],
    [CANCELLED, 'CANCELLED', 'OrderCancelled'],
    [EXPIRED, 'CANCELLED', 'OrderCancelled'],
  ] as const) {
    it(`closeOrder leaves the order of a checkout that was ${end.status} ${status}, once and with the reason`, async () => {
      await create();
      await close(end);
      const closed = await traces();
      await close(end);
      await close(CANCELLED);

      assert.deepEqual(await traces(), closed);
      assert.deepEqual(await statusAndVersion(), [{ status, version: 2 }]);
      const [{ failure_code: code, failure_message: message, closed_at: closedAt, paid_at: paidAt } = {}] =
        closed.orders;
      assert.deepEqual([code, message, paidAt], [end.refusal.code, end.refusal.message, null]);
      assert.ok(closedAt instanceof Date);
      assert.deepEqual(closed.history[1], { version: 2, status, reason: end.refusal.code, actor: 'checkout' });
      const [, last] = closed.events;
      assert.deepEqual(
        [last?.type, last?.data['status'], last?.data['failureCode']],
        [event, status, end.refusal.code],
      );
    });
  }

  it('keeps the decision of an operator in the history, once, and changes nothing else', async () => {
    await create();
    const decision = { orderId, resolutionId: 'update-1', steps: ['releaseStock'], action: 'retry', by: '7' };
    const before = await traces();
    await activities.recordResolution({ ...decision, reason: 'the disk is back' });
    await activities.recordResolution({ ...decision, reason: 'the disk is back' });
    const { history: lines, ...rest } = await traces();
    assert.deepEqual(lines, [
      ...before.history,
      { version: 1, status: 'PENDING', reason: 'retry releaseStock: the disk is back', actor: 'operator:7' },
    ]);
    assert.deepEqual({ ...rest, history: [] }, { ...before, history: [] });
  });

  it('has nowhere to keep a decision about an order that was never made', async () => {
    const decision = { orderId, resolutionId: 'update-1', steps: ['releaseStock'], action: 'markDone', by: '7' };
    await activities.recordResolution({ ...decision, reason: 'by hand' });
    assert.deepEqual((await traces()).history, []);
  });

  it('a decision is never turned round: a paid order is not closed, a closed one not paid', async () => {
    await create();
    await pay();
    const paid = await traces();
    assert.equal(await refusalCode(close()), 'NOT_CANCELLABLE');
    assert.deepEqual(await traces(), paid);

    input = checkoutInput('42', []);
    orderId = input.orderId;
    await create();
    await close();
    const closed = await traces();
    assert.equal(await refusalCode(pay()), 'CHECKOUT_ABANDONED');
    assert.equal(await refusalCode(create()), 'CHECKOUT_ABANDONED');
    assert.deepEqual(await traces(), closed);
  });

  it('a payment of an order that does not exist is refused and leaves nothing behind', async () => {
    assert.equal(await refusalCode(pay()), 'CHECKOUT_ABANDONED');
    assert.deepEqual((await traces()).mark, []);
    await create();
  });

  it('no step stores the card token', async () => {
    input = checkoutInput('42', [], { payment: { method: 'card', token: 'tok_of_4242424242424242' } });
    orderId = input.orderId;
    await create();
    await pay();
    assert.ok((await rowsWith(adminUrl, orderId)) > 0, 'the search finds what is there');
    assert.equal(await rowsWith(adminUrl, 'tok_'), 0);
  });

  it('a reason longer than its column does not keep the order from closing', async () => {
    await create();
    await close({ ...DECLINED, refusal: { code: 'PAYMENT_DECLINED', message: '가'.repeat(2_000) } });
    const [{ failure_message: message } = {}] = (await traces()).orders;
    assert.equal(message, '가'.repeat(500));
  });
});
