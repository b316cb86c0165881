import assert from 'node:assert/strict';

import { storedAnswer } from '../../activities/inventory/stored-answer.ts';
import { type CheckoutInput, placedOrder } from '../../domain/checkout.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { brokenStock, type InventoryService, openInventory, stockOf } from '../support/inventory.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { checkoutInput, type Item, makeCustomer, makeItem } from '../support/shop.ts';

const UNPLACED = { code: 'CHECKOUT_FAILED', message: 'the checkout could not be placed' } as const;

describe('the end of a reservation', () => {
  let shop: InventoryService;
  let customerId: string;
  let items: [Item, Item];
  let input: CheckoutInput;

  before(async () => {
    shop = await openInventory();
    customerId = await makeCustomer(shop.platform);
  });
  after(() => shop.close());
  beforeEach(async () => {
    items = [await makeItem(shop.platform, { stock: 10 }), await makeItem(shop.platform, { stock: 4 })];
    input = checkoutInput(customerId, [
      { item: items[0], quantity: 3 },
      { item: items[1], quantity: 4 },
    ]);
  });
  afterEach(async () => {
    assert.deepEqual(await brokenStock(shop.adminUrl), []);
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > 0);
  });

  const release = (unplaced: typeof UNPLACED | null = null) => shop.activities.releaseStock({ ...input, unplaced });
  const stocks = async () => Promise.all(items.map((item) => stockOf(shop.adminUrl, item)));
  const eventTypes = async () => (await eventsOf(shop.adminUrl, input.orderId)).map(({ type }) => type);
  const header = () =>
    query(shop.adminUrl, 'select * from inventory_orders where order_id = $1', [input.orderId]).then(([row]) => row);
  const ledger = () =>
    query(
      shop.adminUrl,
      `select event_type as type, quantity_before as before, quantity_change as change, quantity_after as after,
         reserved_change as reserved, change_reason as reason, aggregate_version::integer as version
       from inventory_events where reference_id = $1 order by id`,
      [input.orderId],
    );
  /** Everything that the order has left in the database. */
  const traces = async () => [await stocks(), await ledger(), await eventTypes(), await header()];

  it('commitStock consumes what was reserved and leaves what is available', async () => {
    await shop.activities.reserveStock(input);
    await shop.activities.commitStock(input);

    assert.deepEqual(await stocks(), [
      { available: 7, reserved: 0, status: 'LOW_STOCK', version: 3 },
      { available: 0, reserved: 0, status: 'OUT_OF_STOCK', version: 3 },
    ]);
    assert.deepEqual((await ledger()).slice(2), [
      { type: 'COMMITTED', before: 7, change: 0, after: 7, reserved: -3, reason: 'ORDER_PAID', version: 3 },
      { type: 'COMMITTED', before: 0, change: 0, after: 0, reserved: -4, reason: 'ORDER_PAID', version: 3 },
    ]);
    assert.deepEqual((await eventTypes()).slice(2), ['InventoryCommitted', 'InventoryCommitted']);
    assert.equal((await header())?.['state'], 'COMMITTED');
  });

  it('releaseStock gives back what was reserved', async () => {
    await shop.activities.reserveStock(input);
    await release();

    assert.deepEqual(await stocks(), [
      { available: 10, reserved: 0, status: 'LOW_STOCK', version: 3 },
      { available: 4, reserved: 0, status: 'LOW_STOCK', version: 3 },
    ]);
    assert.deepEqual((await ledger()).slice(2), [
      { type: 'RELEASED', before: 7, change: 3, after: 10, reserved: -3, reason: 'CHECKOUT_UNDONE', version: 3 },
      { type: 'RELEASED', before: 0, change: 4, after: 4, reserved: -4, reason: 'CHECKOUT_UNDONE', version: 3 },
    ]);
    assert.deepEqual((await eventTypes()).slice(2), ['InventoryReleased', 'InventoryReleased']);
    assert.equal((await header())?.['state'], 'RELEASED');
  });

  it('happens once, however often it is repeated', async () => {
    await shop.activities.reserveStock(input);
    await shop.activities.commitStock(input);
    const committed = await traces();
    await shop.activities.commitStock(input);
    assert.deepEqual(await traces(), committed);

    input = checkoutInput(customerId, [{ item: items[0], quantity: 1 }]);
    await shop.activities.reserveStock(input);
    await release();
    const released = await traces();
    await release();
    await release(UNPLACED);
    assert.deepEqual(await traces(), released);
  });

  it('is never turned round: no commit after a release, no release after a commit', async () => {
    await shop.activities.reserveStock(input);
    await shop.activities.commitStock(input);
    const committed = await traces();
    assert.equal(await refusalCode(release()), 'NOT_CANCELLABLE');
    assert.deepEqual(await traces(), committed);

    input = checkoutInput(customerId, [{ item: items[0], quantity: 1 }]);
    await shop.activities.reserveStock(input);
    await release();
    const released = await traces();
    assert.equal(await refusalCode(shop.activities.commitStock(input)), 'CHECKOUT_ABANDONED');
    assert.deepEqual(await traces(), released);
  });

  it('leaves its mark where nothing was reserved, and a reservation that comes late is refused', async () => {
    const untouched = await stocks();
    await release();
    const marked = await traces();

    assert.equal(await refusalCode(shop.activities.reserveStock(input)), 'CHECKOUT_ABANDONED');
    assert.equal(await refusalCode(shop.activities.reserveStock(input)), 'CHECKOUT_ABANDONED');
    assert.equal(await refusalCode(shop.activities.commitStock(input)), 'CHECKOUT_ABANDONED');
    assert.deepEqual(await traces(), marked);
    assert.deepEqual(marked.slice(0, 3), [untouched, [], []]);
  });

  it('refuses a reservation that comes again after its release', async () => {
    await shop.activities.reserveStock(input);
    await release();
    assert.equal(await refusalCode(shop.activities.reserveStock(input)), 'CHECKOUT_ABANDONED');
    assert.deepEqual(
      (await stocks()).map((stock) => stock?.reserved),
      [0, 0],
    );
  });

  it('changes nothing about a refusal', async () => {
    input = checkoutInput(customerId, [{ item: items[1], quantity: 5 }]);
    const refusal = await refused(shop.activities.reserveStock(input));
    const recorded = await traces();

    await release(UNPLACED);

    assert.deepEqual(await traces(), recorded);
    assert.deepEqual(await refused(shop.activities.reserveStock(input)), refusal);
    assert.equal(await refusalCode(shop.activities.commitStock(input)), 'CHECKOUT_ABANDONED');
  });

  it('leaves no decision behind when there was nothing to commit', async () => {
    assert.equal(await refusalCode(shop.activities.commitStock(input)), 'CHECKOUT_ABANDONED');
    assert.equal(await header(), undefined);
    await shop.activities.reserveStock(input);
  });

  describe('as a repeated request is answered from the header', () => {
    const stored = () => storedAnswer(shop.platform, input.orderId);
    const whose = () => ({ requestHash: input.requestHash, customerId });

    it('is nothing while the checkout is unknown, and only whose it is while stock is reserved', async () => {
      assert.equal(await stored(), undefined);
      await shop.activities.reserveStock(input);
      assert.deepEqual(await stored(), { ...whose(), underWay: true });
    });

    it('is the placed order once it is paid, and also when it was undone after it had been placed', async () => {
      const reservation = await shop.activities.reserveStock(input);
      await shop.activities.commitStock(input);
      const order = placedOrder(input.orderId, reservation);
      assert.deepEqual(await stored(), { ...whose(), order });

      input = checkoutInput(customerId, [{ item: items[0], quantity: 1 }]);
      const undone = placedOrder(input.orderId, await shop.activities.reserveStock(input));
      await release();
      assert.deepEqual(await stored(), { ...whose(), order: undone });
    });

    it('is the refusal that was recorded', async () => {
      input = checkoutInput(customerId, [{ item: items[1], quantity: 5 }]);
      const { code, message, detail } = await refused(shop.activities.reserveStock(input));
      assert.deepEqual(await stored(), { ...whose(), refusal: { code, message, detail } });
    });

    it('is the reason why the checkout was never placed, whether stock was held or not', async () => {
      await release(UNPLACED);
      assert.deepEqual(await stored(), { ...whose(), refusal: UNPLACED });

      input = checkoutInput(customerId, [{ item: items[0], quantity: 1 }]);
      await shop.activities.reserveStock(input);
      await release(UNPLACED);
      assert.deepEqual(await stored(), { ...whose(), refusal: UNPLACED });
    });
  });
});
