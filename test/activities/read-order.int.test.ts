import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { type OrderActivities, orderActivities } from '../../activities/orders/activities.ts';
import type { OrderMoneyActivities } from '../../activities/orders/contract.ts';
import { orderMoneyActivities } from '../../activities/orders/money-activities.ts';
import { readOrder } from '../../activities/orders/read.ts';
import { orderNumberOf } from '../../domain/checkout.ts';
import { type Databases, openOrder } from '../../infra/databases.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';

describe('readOrder', () => {
  let databases: TestDatabases;
  let order: Databases['order'];
  let activities: OrderActivities;
  let money: OrderMoneyActivities;
  const reservation = reservationOf(2);

  before(async () => {
    databases = await freshDatabases();
    order = openOrder(databases.urls.order, { poolSize: 2 });
    activities = orderActivities({ order });
    money = orderMoneyActivities({ order });
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

  it('shows how to pay and until when while the order waits for it, and no longer than that', async () => {
    const orderId = await placed();
    const instructions = { type: 'bank_transfer', bank: 'Test Bank', account: '110-1', reference: 'AB-1' } as const;
    const expiresAt = '2026-11-23T01:17:03.456Z';
    assert.equal((await read(orderId))?.payment.status, 'PENDING');
    await money.awaitPayment({ orderId, instructions, expiresAt });
    const waiting = { method: 'card', status: 'AWAITING_CONFIRMATION', instructions, expiresAt };
    assert.deepEqual((await read(orderId))?.payment, waiting);
    await activities.markOrderPaid({ orderId, paymentId: randomUUID() });
    const paid = { method: 'card', status: 'CAPTURED', instructions: null, expiresAt: null };
    assert.deepEqual((await read(orderId))?.payment, paid);
  });

  it('shows what was given back, by whom and why', async () => {
    const orderId = await placed();
    await activities.markOrderPaid({ orderId, paymentId: randomUUID() });
    const refund = { orderId, refundId: randomUUID(), reason: 'damaged', by: '7' };
    await money.recordRefund({ ...refund, amount: { minor: 500, currency: 'KRW' } });
    const view = await read(orderId);
    assert.deepEqual([view?.status, view?.payment.status], ['PARTIALLY_REFUNDED', 'PARTIALLY_REFUNDED']);
    assert.deepEqual(view?.refunded, { minor: 500, currency: 'KRW' });
    const last = view?.history.at(-1);
    assert.deepEqual([last?.reason, last?.actor], ['REFUNDED 500 KRW: damaged', 'operator:7']);
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
