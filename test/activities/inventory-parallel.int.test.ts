import assert from 'node:assert/strict';

import pLimit from 'p-limit';
import pg from 'pg';

import type { CheckoutInput } from '../../domain/checkout.ts';
import { refusalCode } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { brokenStock, type InventoryService, openInventory, stockOf } from '../support/inventory.ts';
import { holdLock } from '../support/locks.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { checkoutInput, type Item, makeCustomer, makeItem } from '../support/shop.ts';

/** How many of parallel requests were served, and with which codes the others were refused. */
async function outcomes(work: readonly Promise<unknown>[]): Promise<Record<string, number>> {
  const ends = await Promise.all(
    work.map((one) =>
      one.then(
        () => 'SERVED',
        () => refusalCode(one),
      ),
    ),
  );
  const counts: Record<string, number> = {};
  for (const end of ends) counts[end] = (counts[end] ?? 0) + 1;
  return counts;
}

describe('parallel steps of the inventory service', function () {
  this.timeout(60_000);
  let shop: InventoryService;

  before(async () => {
    shop = await openInventory(20);
  });
  after(() => shop.close());
  afterEach(async () => {
    assert.deepEqual(await brokenStock(shop.adminUrl), []);
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > 0);
  });

  const lockStockOf = ({ productId }: Item) =>
    holdLock(shop.adminUrl, 'select from inventory_snapshots where product_id = $1 for update', [productId]);

  it('sell the last unit once, to one of fifty', async () => {
    const item = await makeItem(shop.platform, { stock: 1 });
    const inputs: CheckoutInput[] = [];
    for (let i = 0; i < 50; i++) {
      inputs.push(checkoutInput(await makeCustomer(shop.platform), [{ item, quantity: 1 }]));
    }
    // Held back until several stand at the stock: otherwise the first is done before the next has a connection.
    const lock = await lockStockOf(item);
    const ends = outcomes(inputs.map((input) => shop.activities.reserveStock(input)));
    try {
      await lock.untilWaiting(5);
    } finally {
      await lock.release();
    }
    assert.deepEqual(await ends, { SERVED: 1, OUT_OF_STOCK: 49 });
    assert.deepEqual(await stockOf(shop.adminUrl, item), {
      ...{ available: 0, reserved: 1, status: 'OUT_OF_STOCK', version: 2 },
    });
  });

  it('keep the limit of open checkouts of one customer', async () => {
    const item = await makeItem(shop.platform);
    const customerId = await makeCustomer(shop.platform);
    const service = shop.limitedTo({ maxOpenCheckouts: 3 });
    const work = Array.from({ length: 12 }, () =>
      service.reserveStock(checkoutInput(customerId, [{ item, quantity: 1 }])),
    );
    assert.deepEqual(await outcomes(work), { SERVED: 3, TOO_MANY_OPEN_CHECKOUTS: 9 });
  });

  it('keep the limit of units that one customer holds of a product', async () => {
    const item = await makeItem(shop.platform);
    const customerId = await makeCustomer(shop.platform);
    const service = shop.limitedTo({ maxUnitsPerProduct: 7 });
    const work = Array.from({ length: 10 }, () =>
      service.reserveStock(checkoutInput(customerId, [{ item, quantity: 2 }])),
    );
    assert.deepEqual(await outcomes(work), { SERVED: 3, UNITS_LIMIT: 7 });
    assert.equal((await stockOf(shop.adminUrl, item))?.reserved, 6);
  });

  it('never deadlock on carts that name the same stock in opposite order, from reserving to the end', async () => {
    const own = await openInventory(20);
    try {
      const [a, b] = [await makeItem(own.platform, { stock: 500 }), await makeItem(own.platform, { stock: 500 })];
      const customers: string[] = [];
      for (let i = 0; i < 20; i++) customers.push(await makeCustomer(own.platform));
      // As many at once as there are connections: more would only wait for one.
      const atOnce = pLimit(20);
      const run = (items: readonly Item[], index: number) =>
        atOnce(async () => {
          const cart = items.map((item) => ({ item, quantity: 1 }));
          const input = checkoutInput(customers[index % customers.length] ?? '', cart);
          await own.activities.reserveStock(input);
          if (index % 2 === 0) await own.activities.commitStock(input);
          else await own.activities.releaseStock({ ...input, unplaced: null });
        });
      await Promise.all(Array.from({ length: 100 }, (_, i) => [run([a, b], i), run([b, a], i)]).flat());

      for (const item of [a, b]) {
        const stock = await stockOf(own.adminUrl, item);
        assert.deepEqual([stock?.available, stock?.reserved, stock?.version], [400, 0, 401]);
      }
      assert.deepEqual(await brokenStock(own.adminUrl), []);
      // A session reports its deadlocks at its end at the latest.
      await own.platform.$disconnect();
      assert.equal(await deadlocks(own.adminUrl), 0);
      await deadlockOnPurpose(own.adminUrl);
      await eventually(
        'a real deadlock is counted',
        async () => ((await deadlocks(own.adminUrl)) === 1 ? true : undefined),
        5_000,
      );
    } finally {
      await own.close();
    }
  });

  describe('two live copies of one step, the first held inside its transaction', () => {
    let item: Item;
    let input: CheckoutInput;

    beforeEach(async () => {
      item = await makeItem(shop.platform, { stock: 10 });
      input = checkoutInput(await makeCustomer(shop.platform), [{ item, quantity: 2 }]);
    });

    const eventTypes = async () => (await eventsOf(shop.adminUrl, input.orderId)).map(({ type }) => type);

    /** Starts both, the second when the first stands still, and lets them go when both do. */
    async function overlap<A, B>(first: () => Promise<A>, second: () => Promise<B>): Promise<[A, B]> {
      const lock = await lockStockOf(item);
      const copies: Promise<unknown>[] = [];
      try {
        const one = first();
        copies.push(one);
        await lock.untilWaiting(1);
        const two = second();
        copies.push(two);
        await lock.untilWaiting(2);
        await lock.release();
        return await Promise.all([one, two]);
      } finally {
        await lock.release();
        await Promise.allSettled(copies);
      }
    }

    it('reserve once and get one answer', async () => {
      const reserve = () => shop.activities.reserveStock(input);
      const [first, second] = await overlap(reserve, reserve);
      assert.deepEqual(first, second);
      assert.deepEqual(await eventTypes(), ['InventoryReserved']);
      assert.equal((await stockOf(shop.adminUrl, item))?.reserved, 2);
    });

    it('commit once', async () => {
      await shop.activities.reserveStock(input);
      const commit = () => shop.activities.commitStock(input);
      await overlap(commit, commit);
      assert.deepEqual(await eventTypes(), ['InventoryReserved', 'InventoryCommitted']);
    });

    it('release once', async () => {
      await shop.activities.reserveStock(input);
      const release = () => shop.activities.releaseStock({ ...input, unplaced: null });
      await overlap(release, release);
      assert.deepEqual(await eventTypes(), ['InventoryReserved', 'InventoryReleased']);
      assert.equal((await stockOf(shop.adminUrl, item))?.available, 10);
    });

    it('leave nothing held when the undo runs between a frozen reservation and its copy', async () => {
      const [reserved] = await overlap(
        () => shop.activities.reserveStock(input),
        () => shop.activities.releaseStock({ ...input, unplaced: null }),
      );
      assert.equal(reserved.lines.length, 1);
      assert.equal(await refusalCode(shop.activities.reserveStock(input)), 'CHECKOUT_ABANDONED');
      assert.deepEqual(await eventTypes(), ['InventoryReserved', 'InventoryReleased']);
      assert.deepEqual(await stockOf(shop.adminUrl, item), {
        ...{ available: 10, reserved: 0, status: 'LOW_STOCK', version: 3 },
      });
    });
  });
});

async function deadlocks(adminUrl: string): Promise<number> {
  const [row] = await query<{ deadlocks: number }>(
    adminUrl,
    'select deadlocks::integer as deadlocks from pg_stat_database where datname = current_database()',
  );
  return row?.deadlocks ?? NaN;
}

/** Two sessions that wait for each other: proves that the counter would have shown one. */
async function deadlockOnPurpose(adminUrl: string): Promise<void> {
  const [one, two] = [1, 2].map(() => new pg.Client({ connectionString: adminUrl }));
  if (one === undefined || two === undefined) throw new Error('two sessions are needed');
  try {
    for (const [session, key] of [
      [one, 1],
      [two, 2],
    ] as const) {
      await session.connect();
      await session.query('begin');
      await session.query('select pg_advisory_xact_lock($1)', [key]);
    }
    const ends = await Promise.allSettled([
      one.query('select pg_advisory_xact_lock(2)').finally(() => one.query('rollback')),
      two.query('select pg_advisory_xact_lock(1)').finally(() => two.query('rollback')),
    ]);
    assert.equal(ends.filter(({ status }) => status === 'rejected').length, 1);
  } finally {
    await Promise.all([one.end(), two.end()]);
  }
}
