import assert from 'node:assert/strict';

import { PrismaPg } from '@prisma/adapter-pg';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { orderActivities } from '../../activities/orders/activities.ts';
import { TRANSACTION } from '../../infra/databases.ts';
import { PrismaClient as OrderClient } from '../../prisma/order/generated/client.ts';
import { PrismaClient as PlatformClient } from '../../prisma/platform/generated/client.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { GENEROUS, HOLD_MS } from '../support/inventory.ts';
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
});

/** Each step is one transaction of a handful of statements. */
function assertFew(steps: Readonly<Record<string, readonly string[]>>): void {
  for (const [step, sent] of Object.entries(steps)) {
    assert.deepEqual([sent.at(0), sent.at(-1)], ['BEGIN', 'COMMIT'], step);
    assert.ok(sent.length > 4 && sent.length <= 13, `${step} sent ${sent.length} statements`);
  }
}
