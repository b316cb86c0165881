import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { CheckoutInput } from '../../domain/checkout.ts';
import { returnIdFor } from '../../events/ids.ts';
import { refusalCode } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { brokenStock, type InventoryService, openInventory, stockOf } from '../support/inventory.ts';
import { holdLock } from '../support/locks.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { checkoutInput, type Item, makeCustomer, makeItem, makeVariant } from '../support/shop.ts';

describe('units that come back', function () {
  this.timeout(60_000);
  let shop: InventoryService;
  let customerId: string;
  let items: [Item, Item];
  let input: CheckoutInput;
  let orderId: string;

  before(async () => {
    shop = await openInventory();
    customerId = await makeCustomer(shop.platform);
  });
  after(() => shop.close());
  beforeEach(async () => {
    items = [await makeItem(shop.platform, { stock: 10 }), await makeVariant(shop.platform, { stock: 4 })];
    order();
  });
  afterEach(async () => {
    assert.deepEqual(await brokenStock(shop.adminUrl), []);
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > 0);
  });

  function order(): void {
    input = checkoutInput(customerId, [
      { item: items[0], quantity: 3 },
      { item: items[1], quantity: 2 },
    ]);
    orderId = input.orderId;
  }
  async function sell(): Promise<void> {
    await shop.activities.reserveStock(input);
    await shop.activities.commitStock(input);
  }
  const line = (lineNo: number, quantity: number) => ({ lineNo, quantity });
  const restock = (lines: readonly ReturnType<typeof line>[], refundId: string = randomUUID()) =>
    shop.returns.restock({ refundId, orderId, lines });
  const available = async () => {
    const stocks = await Promise.all(items.map((item) => stockOf(shop.adminUrl, item)));
    return stocks.map((stock) => [stock?.available, stock?.reserved]);
  };
  const ledger = (refundId: string) =>
    query(
      shop.adminUrl,
      `select event_type as type, quantity_before as before, quantity_change as change, quantity_after as after,
         reserved_change as reserved, change_reason as reason, reference_type as "about", event_data as data,
         correlation_id as correlation, aggregate_version::integer as version
       from inventory_events where reference_id = $1 order by id`,
      [refundId],
    );
  const returnedUnits = async () => {
    const rows = await query<{ returned: number }>(
      shop.adminUrl,
      'select returned_quantity as returned from inventory_reservations where order_id = $1 order by line_no',
      [orderId],
    );
    return rows.map(({ returned }) => returned);
  };

  it('are on sale again, with a ledger row and an event for each line', async () => {
    await sell();
    const refundId = randomUUID();
    await restock([line(2, 1), line(1, 2)], refundId);
    assert.deepEqual(await available(), [
      [9, 0],
      [3, 0],
    ]);
    const row = { type: 'ADJUSTED', reserved: 0, reason: 'RETURN', about: 'REFUND', version: 4 };
    assert.deepEqual(await ledger(refundId), [
      {
        ...{ ...row, before: 7, change: 2, after: 9 },
        ...{ data: { orderId, lineNo: 1 }, correlation: returnIdFor(refundId, 1) },
      },
      {
        ...{ ...row, before: 2, change: 1, after: 3 },
        ...{ data: { orderId, lineNo: 2 }, correlation: returnIdFor(refundId, 2) },
      },
    ]);
    const told = (await eventsOf(shop.adminUrl, orderId)).slice(4);
    assert.deepEqual(
      told.map(({ type, data }) => [type, data['quantityChange'], data['reservedChange'], data['reason']]),
      [
        ['InventoryAdjusted', 2, 0, 'RETURN'],
        ['InventoryAdjusted', 1, 0, 'RETURN'],
      ],
    );
    assert.deepEqual(await returnedUnits(), [2, 1]);
  });

  it('come back once for each refund and line, however often it is repeated', async () => {
    await sell();
    const refundId = randomUUID();
    await restock([line(1, 1)], refundId);
    const once = [await available(), await ledger(refundId), await returnedUnits()];
    await restock([line(1, 1)], refundId);
    await restock([line(1, 3)], refundId);
    assert.deepEqual([await available(), await ledger(refundId), await returnedUnits()], once);

    await restock([line(1, 1), line(2, 1)], refundId);
    assert.deepEqual(await returnedUnits(), [1, 1]);
    await restock([line(1, 1)]);
    assert.deepEqual(await returnedUnits(), [2, 1]);
  });

  it('come back once when two copies of the step run at the same time', async () => {
    await sell();
    const refundId = randomUUID();
    const lock = await holdLock(shop.adminUrl, 'select 1 from inventory_orders where order_id = $1 for update', [
      orderId,
    ]);
    const copies = [restock([line(1, 2)], refundId), restock([line(1, 2)], refundId)];
    try {
      await lock.untilWaiting(2);
    } finally {
      await lock.release();
    }
    await Promise.all(copies);
    assert.deepEqual([await returnedUnits(), (await ledger(refundId)).length], [[2, 0], 1]);
  });

  it('are never more than were sold, over all refunds of the order, and then none of that refund comes back', async () => {
    await sell();
    const ends = await Promise.allSettled(Array.from({ length: 4 }, () => restock([line(2, 1), line(1, 1)])));
    const refused = ends.filter((end) => end.status === 'rejected');
    assert.equal(refused.length, 2);
    for (const { reason } of refused) {
      assert.equal((reason as { type?: unknown }).type, 'REFUND_QUANTITY_EXCEEDED');
    }
    assert.deepEqual(await returnedUnits(), [2, 2]);
    assert.equal(await refusalCode(restock([line(1, 1), line(2, 1)])), 'REFUND_QUANTITY_EXCEEDED');
    for (const impossible of [line(1, 2), line(1, 0), line(1, -1), line(3, 1)]) {
      assert.equal(await refusalCode(restock([impossible])), 'REFUND_QUANTITY_EXCEEDED');
    }
    assert.deepEqual(await returnedUnits(), [2, 2]);
  });

  it('wait for the sale to be final, and never come back of stock that was not sold', async () => {
    await shop.activities.reserveStock(input);
    await assert.rejects(restock([line(1, 1)]), /not sold yet/);
    await shop.activities.releaseStock({ ...input, unplaced: null });
    const before = await available();
    assert.equal(await refusalCode(restock([line(1, 1)])), 'ORDER_NOT_REFUNDABLE');
    assert.deepEqual(await available(), before);

    order();
    assert.equal(await refusalCode(restock([line(1, 1)])), 'ORDER_NOT_REFUNDABLE');
    assert.equal(await shop.returns.readHeader({ orderId }), null);
  });

  it('do not stop carts that want the same stock in another order', async () => {
    await sell();
    const carts = Array.from({ length: 4 }, () =>
      checkoutInput(customerId, [
        { item: items[1], quantity: 1 },
        { item: items[0], quantity: 1 },
      ]),
    );
    const ends = await Promise.allSettled([
      ...carts.map((cart) => shop.activities.reserveStock(cart)),
      ...[1, 2].map(() => restock([line(1, 1), line(2, 1)])),
    ]);
    for (const end of ends) {
      if (end.status === 'rejected') assert.equal((end.reason as { type?: unknown }).type, 'OUT_OF_STOCK');
    }
    assert.deepEqual(await returnedUnits(), [2, 2]);
  });

  it('leave an order as its header has it: who asked for it, and in which state its stock is', async () => {
    const { requestHash } = input;
    await shop.activities.reserveStock(input);
    assert.deepEqual(await shop.returns.readHeader({ orderId }), { customerId, requestHash, state: 'RESERVED' });
    await shop.activities.commitStock(input);
    await restock([line(1, 3)]);
    assert.deepEqual(await shop.returns.readHeader({ orderId }), { customerId, requestHash, state: 'COMMITTED' });
  });

  it('orders whose stock is set aside are found page by page, each once, and no others', async () => {
    const [held, gone] = [new Set<string>(), new Set<string>()];
    for (let i = 0; i < 7; i++) {
      const cart = checkoutInput(customerId, [{ item: await makeItem(shop.platform), quantity: 1 }]);
      await shop.activities.reserveStock(cart);
      if (i < 5) held.add(cart.orderId);
      else if (i === 5) await shop.activities.commitStock(cart);
      else await shop.activities.releaseStock({ ...cart, unplaced: null });
      if (i >= 5) gone.add(cart.orderId);
    }
    const found: string[] = [];
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof shop.returns.findReservedOrders>> = await shop.returns.findReservedOrders({
        after,
        limit: 2,
      });
      assert.ok(page.items.length <= 2);
      found.push(...page.items.map((item) => item.orderId));
      after = page.next;
    } while (after !== null);
    assert.equal(new Set(found).size, found.length);
    assert.deepEqual(
      [...held].filter((id) => !found.includes(id)),
      [],
    );
    assert.deepEqual(
      found.filter((id) => gone.has(id)),
      [],
    );
  });
});
