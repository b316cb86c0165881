import assert from 'node:assert/strict';

import type { CheckoutInput } from '../../domain/checkout.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { type InventoryService, openInventory, stockOf } from '../support/inventory.ts';
import { checkoutInput, makeCustomer, makeItem, makeVariant } from '../support/shop.ts';

describe('a refusal of reserveStock', () => {
  let shop: InventoryService;
  let customerId: string;

  before(async () => {
    shop = await openInventory();
    customerId = await makeCustomer(shop.platform);
  });
  after(() => shop.close());

  /** The refusal, after making sure that it is the only thing that was written, and that a repeat gets it again. */
  async function onlyRefused(input: CheckoutInput, service = shop.activities) {
    const before = await everything();
    const refusal = await refused(service.reserveStock(input));
    const headers = await query<{ state: string; answer: object }>(
      shop.adminUrl,
      'select state, answer from inventory_orders where order_id = $1',
      [input.orderId],
    );
    const { detail, ...named } = refusal;
    assert.deepEqual(headers, [{ state: 'REFUSED', answer: detail === undefined ? named : refusal }]);
    assert.deepEqual(await everything(), before);
    assert.deepEqual(await refused(service.reserveStock(input)), refusal);
    return refusal;
  }

  /** All that a refusal must leave as it was. */
  const everything = () =>
    query(
      shop.adminUrl,
      `select (select count(*) from inventory_events) as ledger, (select count(*) from outbox) as outbox,
         (select count(*) from inventory_reservations) as reservations,
         (select md5(string_agg(s::text, ',' order by id)) from inventory_snapshots s) as snapshots`,
    );

  it('names exactly the lines that are short, and holds none of the others', async () => {
    const plenty = await makeItem(shop.platform, { stock: 10 });
    const [few, none] = [await makeItem(shop.platform, { stock: 2 }), await makeItem(shop.platform, { stock: 0 })];
    const nowhere = { ...plenty, locationCode: 'NOWHERE' };
    const cart = [plenty, few, none, nowhere].map((item) => ({ item, quantity: 3 }));

    const { code, detail } = await onlyRefused(checkoutInput(customerId, cart));

    assert.equal(code, 'OUT_OF_STOCK');
    assert.deepEqual(detail, [
      { lineNo: 2, asked: 3, available: 2 },
      { lineNo: 3, asked: 3, available: 0 },
      { lineNo: 4, asked: 3, available: 0 },
    ]);
    assert.equal((await stockOf(shop.adminUrl, plenty))?.reserved, 0);
  });

  it('meets a customer who does not exist or is no longer active', async () => {
    const cart = [{ item: await makeItem(shop.platform), quantity: 1 }];
    const gone = await makeCustomer(shop.platform, 'DELETED');
    assert.equal((await onlyRefused(checkoutInput('999999999', cart))).code, 'UNKNOWN_USER');
    assert.equal((await onlyRefused(checkoutInput(gone, cart))).code, 'UNKNOWN_USER');
  });

  it('names every line whose product or variant does not exist', async () => {
    const item = await makeItem(shop.platform);
    const [variant, other] = [await makeVariant(shop.platform), await makeVariant(shop.platform)];
    const cart = [
      item,
      { ...item, productId: '999999999' },
      { ...variant, variantId: '999999999' },
      { ...variant, variantId: other.variantId },
      { ...item, variantId: other.variantId },
    ].map((each) => ({ item: each, quantity: 1 }));
    const { code, detail } = await onlyRefused(checkoutInput(customerId, cart));
    assert.equal(code, 'UNKNOWN_PRODUCT');
    assert.deepEqual(detail, [{ lineNo: 2 }, { lineNo: 3 }, { lineNo: 4 }, { lineNo: 5 }]);
  });

  it('asks for the variant of a product that has variants', async () => {
    const variant = await makeVariant(shop.platform);
    const cart = [{ item: { ...variant, variantId: null }, quantity: 1 }];
    assert.deepEqual((await onlyRefused(checkoutInput(customerId, cart))).detail, [{ lineNo: 1 }]);
  });

  it('meets a product or variant that is not for sale', async () => {
    const items = [
      await makeItem(shop.platform, { status: 'ARCHIVED' }),
      await makeItem(shop.platform, { status: 'DRAFT' }),
      await makeVariant(shop.platform, { variantStatus: 'ARCHIVED' }),
    ];
    for (const item of items) {
      const { code, detail } = await onlyRefused(checkoutInput(customerId, [{ item, quantity: 1 }]));
      assert.deepEqual([code, detail], ['PRODUCT_NOT_FOR_SALE', [{ lineNo: 1 }]]);
    }
  });

  it('meets a cart in two currencies', async () => {
    const items = [await makeItem(shop.platform), await makeItem(shop.platform, { currency: 'USD' })];
    const cart = items.map((item) => ({ item, quantity: 1 }));
    const { code, detail } = await onlyRefused(checkoutInput(customerId, cart));
    assert.deepEqual([code, detail], ['MIXED_CURRENCY', { currencies: ['KRW', 'USD'] }]);
  });

  it('tells the new total when it is not the expected one, in amount or in currency', async () => {
    const cart = [{ item: await makeItem(shop.platform, { priceMinor: 1_500 }), quantity: 2 }];
    for (const expectedTotal of [
      { minor: 2_999, currency: 'KRW' },
      { minor: 3_000, currency: 'USD' },
    ]) {
      const { code, detail } = await onlyRefused(checkoutInput(customerId, cart, { expectedTotal }));
      assert.deepEqual([code, detail], ['PRICE_CHANGED', { total: { minor: 3_000, currency: 'KRW' } }]);
    }
    const expectedTotal = { minor: 3_000, currency: 'KRW' };
    await shop.activities.reserveStock(checkoutInput(customerId, cart, { expectedTotal }));
  });

  it('meets a total that no safe integer holds, in one line or in the sum of two', async () => {
    const priceMinor = Number.MAX_SAFE_INTEGER;
    const [item, other] = [
      await makeItem(shop.platform, { priceMinor }),
      await makeItem(shop.platform, { priceMinor }),
    ];
    for (const cart of [[{ item, quantity: 2 }], [item, other].map((each) => ({ item: each, quantity: 1 }))]) {
      assert.equal((await onlyRefused(checkoutInput(customerId, cart))).code, 'AMOUNT_OUT_OF_RANGE');
    }
    const { total } = await shop.activities.reserveStock(checkoutInput(customerId, [{ item, quantity: 1 }]));
    assert.equal(total.minor, priceMinor);
  });

  it('meets a checkout that starts after its deadline', async () => {
    const cart = [{ item: await makeItem(shop.platform), quantity: 1 }];
    const startDeadline = new Date(Date.now() - 1_000).toISOString();
    assert.equal((await onlyRefused(checkoutInput(customerId, cart, { startDeadline }))).code, 'START_DEADLINE_PASSED');
  });

  it('meets the checkout above the limit, until one of the open ones has ended', async () => {
    const cart = [{ item: await makeItem(shop.platform), quantity: 1 }];
    const service = shop.limitedTo({ maxOpenCheckouts: 2 });
    const someone = await makeCustomer(shop.platform);
    const [paid, released] = [checkoutInput(someone, cart), checkoutInput(someone, cart)];
    await service.reserveStock(paid);
    await service.reserveStock(released);

    const { code, detail } = await onlyRefused(checkoutInput(someone, cart), service);
    assert.deepEqual([code, detail], ['TOO_MANY_OPEN_CHECKOUTS', { limit: 2 }]);

    await service.commitStock(paid);
    await service.releaseStock({ ...released, unplaced: null });
    await service.reserveStock(checkoutInput(someone, cart));
    await service.reserveStock(checkoutInput(someone, cart));
    assert.equal(await refusalCode(service.reserveStock(checkoutInput(someone, cart))), 'TOO_MANY_OPEN_CHECKOUTS');
  });

  it('meets the unit above the limit, counting variants, lines and open checkouts of one product together', async () => {
    const variant = await makeVariant(shop.platform);
    const { id } = await shop.platform.productVariant.create({
      data: { productId: BigInt(variant.productId), variantSku: `v-${variant.productId}-b`, name: 'Red' },
    });
    const service = shop.limitedTo({ maxUnitsPerProduct: 5 });
    const someone = await makeCustomer(shop.platform);
    await service.reserveStock(checkoutInput(someone, [{ item: variant, quantity: 3 }]));

    const both = [
      { item: variant, quantity: 2 },
      { item: { ...variant, variantId: id.toString() }, quantity: 1 },
    ];
    const { code, detail } = await onlyRefused(checkoutInput(someone, both), service);
    assert.deepEqual([code, detail], ['UNITS_LIMIT', { limit: 5 }]);
    await service.reserveStock(checkoutInput(someone, [{ item: variant, quantity: 2 }]));
    await service.reserveStock(checkoutInput(customerId, [{ item: variant, quantity: 5 }]));
  });

  it('meets more units than any column could count, instead of failing', async () => {
    const item = await makeItem(shop.platform);
    const service = shop.limitedTo({ maxUnitsPerProduct: 5 });
    const cart = [1, 2].map(() => ({ item, quantity: 2_000_000_000 }));
    assert.equal((await onlyRefused(checkoutInput(customerId, cart), service)).code, 'UNITS_LIMIT');
  });

  it('meets a cart without lines', async () => {
    assert.equal((await onlyRefused(checkoutInput(customerId, []))).code, 'INVALID_REQUEST');
  });
});
