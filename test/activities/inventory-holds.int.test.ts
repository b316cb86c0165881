import assert from 'node:assert/strict';

import fc from 'fast-check';

import type { PaymentChoice } from '../../domain/checkout.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { brokenStock, type InventoryService, openInventory, stockOf } from '../support/inventory.ts';
import { checkoutInput, type Item, makeCustomer, makeItem } from '../support/shop.ts';

const TRANSFER: PaymentChoice = { method: 'bank_transfer' };

describe('the hold of a reservation', function () {
  this.timeout(60_000);
  let shop: InventoryService;
  let customerId: string;
  let item: Item;

  before(async () => {
    shop = await openInventory();
  });
  after(() => shop.close());
  beforeEach(async () => {
    customerId = await makeCustomer(shop.platform);
    item = await makeItem(shop.platform);
  });
  afterEach(async () => {
    assert.deepEqual(await brokenStock(shop.adminUrl), []);
  });

  const cart = (quantity = 1, payment: PaymentChoice = { method: 'card', token: 'tok_ok' }) =>
    checkoutInput(customerId, [{ item, quantity }], { payment });
  /** Milliseconds from the header's making to its expiry, by the database's own clock. */
  async function holdOf(orderId: string): Promise<number> {
    const rows = await query<{ ms: number }>(
      shop.adminUrl,
      `select (extract(epoch from expires_at - updated_at) * 1000)::float8 as ms from inventory_orders
       where order_id = $1`,
      [orderId],
    );
    return Math.round(rows[0]?.ms ?? Number.NaN);
  }
  const isOver = (orderId: string) =>
    eventually('the hold is over', async () => {
      const [row] = await query<{ over: boolean }>(
        shop.adminUrl,
        'select expires_at < clock_timestamp() as over from inventory_orders where order_id = $1',
        [orderId],
      );
      return row?.over === true ? true : undefined;
    });

  it('is that of its payment method, and the shopper can only make it shorter', async () => {
    const service = shop.limitedTo({}, { card: 60_000, bank_transfer: 900_000 });
    for (const [payment, holdMs] of [
      [{ method: 'card', token: 'tok_ok' }, 60_000],
      [TRANSFER, 900_000],
      [{ ...TRANSFER, holdSeconds: 10 }, 10_000],
      [{ ...TRANSFER, holdSeconds: 86_400 }, 900_000],
    ] as const) {
      const input = cart(1, payment);
      await service.reserveStock(input);
      assert.equal(await holdOf(input.orderId), holdMs);
    }
  });

  it('that is over no longer counts: the next checkout of its customer is not too many', async () => {
    const short = shop.limitedTo({ maxOpenCheckouts: 1 }, { bank_transfer: 150 });
    const expired = cart(1, TRANSFER);
    await short.reserveStock(expired);
    await isOver(expired.orderId);
    const again = cart();
    await short.reserveStock(again);

    const { code, detail } = await refused(short.reserveStock(cart()));
    assert.deepEqual([code, detail], ['TOO_MANY_OPEN_CHECKOUTS', { limit: 1 }]);
  });

  it('that is over no longer counts against the units of a product, a live one does', async () => {
    const short = shop.limitedTo({ maxUnitsPerProduct: 5 }, { bank_transfer: 150 });
    const expired = cart(5, TRANSFER);
    await short.reserveStock(expired);
    await isOver(expired.orderId);
    await short.reserveStock(cart(3));
    assert.equal(await refusalCode(short.reserveStock(cart(3))), 'UNITS_LIMIT');
    await short.reserveStock(cart(2));
  });

  it('keeps its units until the undo, also when it is over: nothing is sold twice', async () => {
    item = await makeItem(shop.platform, { stock: 3 });
    const short = shop.limitedTo({}, { bank_transfer: 100 });
    const expired = cart(3, TRANSFER);
    await short.reserveStock(expired);
    await isOver(expired.orderId);
    assert.equal(await refusalCode(short.reserveStock(cart())), 'OUT_OF_STOCK');
    await short.releaseStock({ ...expired, unplaced: null });
    await short.reserveStock(cart(3));
    assert.deepEqual(await stockOf(shop.adminUrl, item), {
      ...{ available: 0, reserved: 3, status: 'OUT_OF_STOCK', version: 4 },
    });
  });

  it('of a payment in time is not needed: an order that is paid after its end is still sold', async () => {
    const short = shop.limitedTo({}, { bank_transfer: 100 });
    const late = cart(1, TRANSFER);
    await short.reserveStock(late);
    await isOver(late.orderId);
    await short.commitStock(late);
    assert.equal((await shop.returns.readHeader(late))?.state, 'COMMITTED');
  });

  it('lets nobody hold more than the limits with live holds, whatever they try at once', async () => {
    const limits = { maxOpenCheckouts: 3, maxUnitsPerProduct: 6 };
    const service = shop.limitedTo(limits);
    const tries = fc.array(fc.record({ quantity: fc.integer({ min: 1, max: 7 }), release: fc.boolean() }), {
      ...{ minLength: 1, maxLength: 10 },
    });
    await fc.assert(
      fc.asyncProperty(fc.array(tries, { minLength: 1, maxLength: 2 }), async (rounds) => {
        customerId = await makeCustomer(shop.platform);
        item = await makeItem(shop.platform);
        for (const round of rounds) {
          const inputs = round.map(({ quantity }) => cart(quantity));
          const ends = await Promise.allSettled(inputs.map((input) => service.reserveStock(input)));
          const [held] = await query<{ open: number; units: number }>(
            shop.adminUrl,
            `select count(*)::integer as open, coalesce(sum(r.quantity), 0)::integer as units
             from inventory_orders o join inventory_reservations r using (order_id)
             where o.user_id = $1 and o.state = 'RESERVED'`,
            [customerId],
          );
          assert.ok(held !== undefined && held.open <= limits.maxOpenCheckouts);
          assert.ok(held.units <= limits.maxUnitsPerProduct, `${held.units} units are held`);
          const given = inputs.filter(
            (_, index) => ends[index]?.status === 'fulfilled' && round[index]?.release === true,
          );
          for (const input of given) await service.releaseStock({ ...input, unplaced: null });
        }
      }),
      { numRuns: 15 },
    );
  });
});
