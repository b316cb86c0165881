import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { type OrderActivities, orderActivities } from '../../activities/orders/activities.ts';
import type { OrderMoneyActivities } from '../../activities/orders/contract.ts';
import { orderMoneyActivities } from '../../activities/orders/money-activities.ts';
import type { SagaEnd } from '../../domain/checkout.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { type Databases, openOrder } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';

const END: SagaEnd = { status: 'CANCELLED', refusal: { code: 'HOLD_EXPIRED', message: 'too late' } };
const AMOUNT = { minor: 2_000, currency: 'KRW' };
type Moved = Parameters<OrderMoneyActivities['findUnfinishedAmong']>[0]['payments'][number];

describe('payments whose order was not told', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let order: Databases['order'];
  let steps: OrderActivities;
  let money: OrderMoneyActivities;

  before(async () => {
    databases = await freshDatabases();
    order = openOrder(databases.urls.order, { poolSize: 5 });
    steps = orderActivities({ order });
    money = orderMoneyActivities({ order });
  });
  after(async () => {
    await order.$disconnect();
    await databases.drop();
  });

  async function created(): Promise<string> {
    const input = checkoutInput('42', []);
    await steps.createOrder({ ...input, reservation: reservationOf(1) });
    return input.orderId;
  }
  async function paid(): Promise<string> {
    const orderId = await created();
    await steps.markOrderPaid({ orderId, paymentId: paymentIdFor(orderId) });
    return orderId;
  }
  async function closed(): Promise<string> {
    const orderId = await created();
    await steps.closeOrder({ orderId, end: END });
    return orderId;
  }
  /** A mark that refuses an order which comes late, and no order. */
  async function onlyMarked(): Promise<string> {
    const orderId = randomUUID();
    await steps.closeOrder({ orderId, end: END });
    return orderId;
  }
  const recorded = (orderId: string, paymentId = paymentIdFor(orderId)) =>
    money.recordSettlement({ orderId, paymentId, amount: AMOUNT });
  const kept = (orderId: string): Moved => ({ orderId, paymentId: paymentIdFor(orderId), settled: false });
  const settled = (orderId: string): Moved => ({ ...kept(orderId), settled: true });
  const unfinished = (...payments: Moved[]) => money.findUnfinishedAmong({ payments });

  it('are those that are kept although the order was closed, only marked, or never heard of', async () => {
    const orders = [await closed(), await onlyMarked(), randomUUID()];
    assert.deepEqual((await unfinished(...orders.map(kept))).toSorted(), orders.toSorted());
  });

  it('are none that are kept for an order that is paid, refunded, or on its way', async () => {
    const refunded = await paid();
    const refund = { refundId: randomUUID(), reason: 'damaged', by: '7' };
    await money.recordRefund({ orderId: refunded, amount: { minor: 1, currency: 'KRW' }, ...refund });
    assert.deepEqual(await unfinished(...[await created(), await paid(), refunded].map(kept)), []);
  });

  it('are those that are settled and not in the history of their order, whatever state it is in', async () => {
    const orders = [await closed(), await created(), await paid()];
    assert.deepEqual((await unfinished(...orders.map(settled))).toSorted(), orders.toSorted());
    for (const orderId of orders) await recorded(orderId);
    assert.deepEqual(await unfinished(...orders.map(settled)), []);
  });

  it('are none that are settled where there is no order whose history could tell it', async () => {
    assert.deepEqual(await unfinished(settled(await onlyMarked()), settled(randomUUID())), []);
  });

  it('are told by the line of this payment alone, in the history of this order alone', async () => {
    const [orderId, other] = [await closed(), await closed()];
    await recorded(orderId, randomUUID());
    await recorded(other, paymentIdFor(orderId));
    assert.deepEqual(await unfinished(settled(orderId)), [orderId]);
  });

  it('does not take the line of a settlement for one that closes what is kept', async () => {
    const orderId = await closed();
    await recorded(orderId);
    assert.deepEqual(await unfinished(kept(orderId)), [orderId]);
  });

  it('are picked from a thousand at once, and none is made up where nothing is asked', async () => {
    const [lost, fine] = [await closed(), await paid()];
    const strangers = Array.from({ length: 998 }, () => settled(randomUUID()));
    assert.deepEqual(await unfinished(kept(fine), ...strangers, kept(lost)), [lost]);
    assert.deepEqual(await unfinished(), []);
  });

  it('changes nothing: no mark is made for an order that nobody heard of', async () => {
    const orderId = randomUUID();
    await unfinished(kept(orderId), settled(orderId));
    const marks = await query(databases.adminUrl('order'), 'select 1 from order_marks where order_id = $1', [orderId]);
    assert.deepEqual(marks, []);
  });
});
