import assert from 'node:assert/strict';

import { PrismaPg } from '@prisma/adapter-pg';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { orderActivities } from '../../activities/orders/activities.ts';
import { webhookActivities } from '../../activities/payments/webhook-activities.ts';
import { storeWebhook } from '../../activities/payments/webhook-store.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { TRANSACTION } from '../../infra/databases.ts';
import type { PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { PrismaClient as OrderClient } from '../../prisma/order/generated/client.ts';
import { PrismaClient as PaymentClient } from '../../prisma/payment/generated/client.ts';
import { PrismaClient as PlatformClient } from '../../prisma/platform/generated/client.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { GENEROUS, HOLD_MS } from '../support/inventory.ts';
import { act, activitiesWith, captureInput, eventAbout, openPayments, transferInput } from '../support/payments.ts';
import { type Cart, checkoutInput, makeCustomer, makeItem, reservationOf } from '../support/shop.ts';
import { recordingPool } from '../support/statements.ts';

const MANY = 100;
const END = { status: 'REJECTED', refusal: { code: 'PAYMENT_DECLINED', message: 'declined' } } as const;

/** Counted on the wire: what one connection really sent, transaction control included. */
describe('the statements of a step', function () {
  this.timeout(60_000);
  let databases: TestDatabases;

  before(async () => {
    databases = await freshDatabases();
  });
  after(() => databases.drop());

  it('of the inventory service are the same for one line and for a hundred', async () => {
    const { pool, sentBy } = recordingPool(databases.urls.platform);
    const platform = new PlatformClient({ adapter: new PrismaPg(pool), transactionOptions: TRANSACTION });
    try {
      const activities = inventoryActivities({ platform, limits: GENEROUS, holdMs: HOLD_MS });
      const customerId = await makeCustomer(platform);
      const cart: Cart[] = [];
      for (let i = 0; i < MANY; i++) cart.push({ item: await makeItem(platform), quantity: 1 });

      const measure = async (lines: readonly Cart[]) => {
        const [paid, undone] = [checkoutInput(customerId, lines), checkoutInput(customerId, lines)];
        return {
          reserve: await sentBy(() => activities.reserveStock(paid)),
          commit: await sentBy(() => activities.commitStock(paid)),
          reserveAgain: await sentBy(() => activities.reserveStock(undone)),
          release: await sentBy(() => activities.releaseStock({ ...undone, unplaced: null })),
        };
      };
      const [one, many] = [await measure(cart.slice(0, 1)), await measure(cart)];

      assert.deepEqual(many, one);
      assert.equal(await platform.inventoryReservation.count(), 2 * (MANY + 1));
      assertFew(one);
    } finally {
      await platform.$disconnect();
      await pool.end();
    }
  });

  it('of the order service are the same for one line and for a hundred', async () => {
    const { pool, sentBy } = recordingPool(databases.urls.order);
    const order = new OrderClient({ adapter: new PrismaPg(pool), transactionOptions: TRANSACTION });
    try {
      const activities = orderActivities({ order });
      const measure = async (count: number) => {
        const reservation = reservationOf(count);
        const [paid, closed] = [checkoutInput('1', []), checkoutInput('1', [])];
        return {
          create: await sentBy(() => activities.createOrder({ ...paid, reservation })),
          pay: await sentBy(() => activities.markOrderPaid({ orderId: paid.orderId, paymentId: paid.orderId })),
          createAgain: await sentBy(() => activities.createOrder({ ...closed, reservation })),
          close: await sentBy(() => activities.closeOrder({ orderId: closed.orderId, end: END })),
        };
      };
      const [one, many] = [await measure(1), await measure(MANY)];

      assert.deepEqual(many, one);
      assert.equal(await order.orderItem.count(), 2 * (MANY + 1));
      assertFew(one);
    } finally {
      await order.$disconnect();
      await pool.end();
    }
  });

  it('of the payment service are the same for many refunds, and never stand around a call of the gateway', async () => {
    const shop = await openPayments();
    const { pool, sentBy, note } = recordingPool(shop.databases.urls.payment);
    const payment = new PaymentClient({ adapter: new PrismaPg(pool), transactionOptions: TRANSACTION });
    const gateway = noting(shop.gateway, () => note(GATEWAY));
    const activities = activitiesWith(payment, gateway);
    const webhooks = webhookActivities({ payment, gateway, signal: () => new AbortController().signal });
    const measure = async (refunds: number) => {
      const [paid, given, awaited] = [captureInput(), captureInput(), transferInput()];
      const capture = await sentBy(() => activities.capturePayment(paid));
      const wait = await sentBy(() => activities.capturePayment(awaited));
      await act(shop, awaited.orderId, 'transfer');
      const event = await eventAbout(shop, awaited.orderId);
      await storeWebhook(payment, event);
      await query(
        shop.adminUrl,
        `insert into refunds (id, payment_id, refund_key, amount, currency, reason, status)
         select r, $1, r::text, 1, 'KRW', 'x', 'FAILED' from (select gen_random_uuid() r from generate_series(1, $2::int)) g`,
        [paymentIdFor(paid.orderId), refunds],
      );
      return {
        ...{ capture, wait },
        check: await sentBy(() => activities.checkPayment(awaited)),
        captureAgain: await sentBy(() => activities.capturePayment(awaited)),
        webhook: await sentBy(() => webhooks.applyWebhook(event)),
        abandon: await sentBy(() => activities.abandonPayment(given)),
        settle: await sentBy(() => activities.settleWithGateway(paid)),
        settleAgain: await sentBy(() => activities.settleWithGateway(paid)),
      };
    };
    try {
      const [none, many] = [await measure(0), await measure(MANY)];
      assert.deepEqual(many, none);
      for (const [step, sent] of Object.entries(none)) {
        assert.ok(sent.length <= 30, `${step} sent ${sent.length} statements`);
        assert.deepEqual(insideTransaction(sent), [], step);
      }
      for (const step of ['capture', 'wait', 'check', 'settle'] as const) assert.ok(none[step].includes(GATEWAY), step);
      assert.deepEqual(insideTransaction(['BEGIN', GATEWAY, 'COMMIT']), [GATEWAY]);
    } finally {
      await payment.$disconnect();
      await pool.end();
      await shop.close();
    }
  });
});

const GATEWAY = 'the gateway is asked';

/** Says when the gateway is asked, and when it has answered. */
function noting(gateway: PaymentGateway, note: () => void): PaymentGateway {
  const noted =
    <A extends unknown[], T>(call: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      note();
      const answer = await call(...args);
      note();
      return answer;
    };
  return {
    ...gateway,
    prepare: noted((...args: Parameters<PaymentGateway['prepare']>) => gateway.prepare(...args)),
    confirm: noted((...args: Parameters<PaymentGateway['confirm']>) => gateway.confirm(...args)),
    lookup: noted((...args: Parameters<PaymentGateway['lookup']>) => gateway.lookup(...args)),
    cancel: noted((...args: Parameters<PaymentGateway['cancel']>) => gateway.cancel(...args)),
    refund: noted((...args: Parameters<PaymentGateway['refund']>) => gateway.refund(...args)),
  };
}

/** Calls of the gateway while a transaction was open. */
function insideTransaction(sent: readonly string[]): string[] {
  let open = false;
  return sent.filter((what) => {
    if (what === 'BEGIN') open = true;
    if (what === 'COMMIT' || what === 'ROLLBACK') open = false;
    return open && what === GATEWAY;
  });
}

/** Each step is one transaction of a handful of statements. */
function assertFew(steps: Readonly<Record<string, readonly string[]>>): void {
  for (const [step, sent] of Object.entries(steps)) {
    assert.deepEqual([sent.at(0), sent.at(-1)], ['BEGIN', 'COMMIT'], step);
    assert.ok(sent.length > 4 && sent.length <= 13, `${step} sent ${sent.length} statements`);
  }
}
