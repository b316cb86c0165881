import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { type OrderActivities, orderActivities } from '../../activities/orders/activities.ts';
import { readOrder } from '../../activities/orders/read.ts';
import { orderNumberOf } from '../../domain/checkout.ts';
import { type Databases, openOrder } from '../../infra/databases.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';

describe('readOrder', () => {
  let databases: TestDatabases;
  let order: Databases['order'];
  let activities: OrderActivities;
  const reservation = reservationOf(2);

  before(async () => {
    databases = await freshDatabases();
    order = openOrder(databases.urls.order, { poolSize: 2 });
    activities = orderActivities({ order });
  });
  after(async () => {
    await order.$disconnect();
    await databases.drop();
  });

  async function placed(): Promise<string> {
    const input = checkoutInput('42', []);
    await activities.createOrder({ ...input, reservation });
    return input.orderId;
  }
  const read = async (orderId: string, customerId: string | null = '42') => readOrder(order, { orderId, customerId });

  it('shows the whole order with its lines and its history', async () => {
    const orderId = await placed();
    await activities.markOrderPaid({ orderId, paymentId: randomUUID() });
    const view = await read(orderId);
    assert.ok(view);
    const { history, ...rest } = view;
    const thousand = { minor: 1_000, currency: 'KRW' };
    const line = { locationCode: 'MAIN', unitPrice: thousand, quantity: 1, lineTotal: thousand };
    assert.deepEqual(rest, {
      orderId,
      orderNumber: orderNumberOf(orderId),
      version: 2,
      status: 'PAID',
      failure: null,
      items: [
        { ...line, lineNo: 1, productId: '100', variantId: null, sku: 'sku-0', name: 'Thing 0' },
        { ...line, lineNo: 2, productId: '101', variantId: '701', sku: 'sku-1', name: 'Thing 1' },
      ],
      total: { minor: 2_000, currency: 'KRW' },
      refunded: { minor: 0, currency: 'KRW' },
      payment: { method: 'card', status: 'CAPTURED', instructions: null, expiresAt: null },
      placedAt: reservation.placedAt,
    });
    assert.deepEqual(
      history.map(({ at, ...entry }) => {
        assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
        return entry;
      }),
      [
        { version: 1, status: 'PENDING', reason: null, actor: 'checkout' },
        { version: 2, status: 'PAID', reason: null, actor: 'checkout' },
      ],
    );
    assert.deepEqual(JSON.parse(JSON.stringify(view)), view);
  });

  it('shows why an order failed', async () => {
    const orderId = await placed();
    const refusal = { code: 'PAYMENT_DECLINED', message: 'no funds' } as const;
    await activities.closeOrder({ orderId, end: { status: 'REJECTED', refusal } });
    const view = await read(orderId);
    assert.deepEqual([view?.status, view?.payment.status, view?.failure], ['FAILED', 'FAILED', refusal]);
  });

  it('knows no order of somebody else, but an administrator sees everyone', async () => {
    const orderId = await placed();
    assert.equal((await read(orderId))?.orderId, orderId);
    assert.equal(await read(orderId, '43'), undefined);
    assert.equal((await read(orderId, null))?.orderId, orderId);
    assert.equal(await read(randomUUID(), null), undefined);
  });

  it('knows no order of a checkout that was closed before it was placed', async () => {
    const { orderId } = checkoutInput('42', []);
    const refusal = { code: 'CHECKOUT_CANCELLED', message: 'was cancelled' } as const;
    await activities.closeOrder({ orderId, end: { status: 'CANCELLED', refusal } });
    assert.equal(await read(orderId), undefined);
  });
});
