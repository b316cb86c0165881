import assert from 'node:assert/strict';

import { movementIdFor, stockAggregateId } from '../../events/ids.ts';
import { refusalCode, refused } from '../support/activity-refusal.ts';
import { query } from '../support/databases.ts';
import { brokenStock, type InventoryService, openInventory, stockOf } from '../support/inventory.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { rowsWith } from '../support/row-search.ts';
import { adjustBy, checkoutInput, makeCustomer, makeItem, makeVariant } from '../support/shop.ts';

describe('reserveStock', () => {
  let shop: InventoryService;
  let customerId: string;

  before(async () => {
    shop = await openInventory();
    customerId = await makeCustomer(shop.platform);
  });
  after(() => shop.close());
  afterEach(async () => {
    assert.deepEqual(await brokenStock(shop.adminUrl), []);
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > 0);
  });

  it('answers the lines with the prices of now and stores exactly that answer', async () => {
    const item = await makeItem(shop.platform, { priceMinor: 20_000, salePriceMinor: 15_000 });
    const variant = await makeVariant(shop.platform, { priceMinor: 9_000, variantPriceMinor: 9_500 });
    const input = checkoutInput(customerId, [
      { item, quantity: 2 },
      { item: variant, quantity: 1 },
    ]);

    const { lines, total, paymentMethod, placedAt } = await shop.activities.reserveStock(input);

    assert.deepEqual(
      lines.map(({ lineNo, productId, variantId, unitPrice, quantity, lineTotal, variantName }) => ({
        ...{ lineNo, productId, variantId, unitPrice, quantity, lineTotal, variantName },
      })),
      [
        {
          ...{ lineNo: 1, productId: item.productId, variantId: null, quantity: 2, variantName: null },
          ...{ unitPrice: { minor: 15_000, currency: 'KRW' }, lineTotal: { minor: 30_000, currency: 'KRW' } },
        },
        {
          ...{
            lineNo: 2,
            productId: variant.productId,
            variantId: variant.variantId,
            quantity: 1,
            variantName: 'Blue',
          },
          ...{ unitPrice: { minor: 9_500, currency: 'KRW' }, lineTotal: { minor: 9_500, currency: 'KRW' } },
        },
      ],
    );
    assert.deepEqual({ total, paymentMethod }, { total: { minor: 39_500, currency: 'KRW' }, paymentMethod: 'card' });
    assert.deepEqual(
      await query(
        shop.adminUrl,
        `select user_id::text as customer, request_hash as hash, state, answer,
           expires_at between now() and now() + interval '15 minutes' as held
         from inventory_orders where order_id = $1`,
        [input.orderId],
      ),
      [
        {
          ...{ customer: customerId, hash: input.requestHash, state: 'RESERVED', held: true },
          answer: { lines, total, paymentMethod, placedAt },
        },
      ],
    );
  });

  it('moves stock, ledger, reservations and events together', async () => {
    const item = await makeItem(shop.platform, { stock: 12 });
    const variant = await makeVariant(shop.platform, { stock: 5 });
    const input = checkoutInput(customerId, [
      { item, quantity: 3 },
      { item: variant, quantity: 5 },
    ]);

    await shop.activities.reserveStock(input);

    assert.deepEqual(await stockOf(shop.adminUrl, item), {
      available: 9,
      reserved: 3,
      status: 'LOW_STOCK',
      version: 2,
    });
    assert.deepEqual(await stockOf(shop.adminUrl, variant), {
      ...{ available: 0, reserved: 5, status: 'OUT_OF_STOCK', version: 2 },
    });
    const aggregates = [item, variant].map((i) => stockAggregateId(i.productId, i.variantId, i.locationCode));
    assert.deepEqual(
      await query(
        shop.adminUrl,
        `select event_type as type, aggregate_id as aggregate, aggregate_version::integer as version,
           product_id::text as product, variant_id::text as variant, location_code as location,
           quantity_before as before, quantity_change as change, quantity_after as after, reserved_change as reserved,
           change_reason as reason, reference_type as kind, event_data as data, correlation_id as correlation
         from inventory_events where reference_id = $1 order by id`,
        [input.orderId],
      ),
      [
        { item, before: 12, change: -3, after: 9, reserved: 3 },
        { item: variant, before: 5, change: -5, after: 0, reserved: 5 },
      ].map(({ item: { productId: product, variantId, locationCode }, ...quantities }, index) => ({
        ...{ type: 'RESERVED', aggregate: aggregates[index], version: 2, product, variant: variantId },
        ...{ location: locationCode, ...quantities, reason: 'CHECKOUT', kind: 'ORDER', data: { lineNo: index + 1 } },
        correlation: movementIdFor(input.orderId, 'RESERVED', index + 1),
      })),
    );
    assert.deepEqual(
      await query(
        shop.adminUrl,
        `select line_no as line, product_id::text as product, variant_id::text as variant, quantity, state
         from inventory_reservations where order_id = $1 order by line_no`,
        [input.orderId],
      ),
      [
        { line: 1, product: item.productId, variant: null, quantity: 3, state: 'RESERVED' },
        { line: 2, product: variant.productId, variant: variant.variantId, quantity: 5, state: 'RESERVED' },
      ],
    );
    const shared = { lowStockThreshold: 10, locationCode: 'MAIN', reason: 'CHECKOUT', orderId: input.orderId };
    const events = await eventsOf(shop.adminUrl, input.orderId);
    assert.deepEqual(
      events.map(({ type, subject, aggregateVersion, data }) => ({ type, subject, aggregateVersion, data })),
      [
        { ...item, quantityChange: -3, reservedChange: 3, available: 9, reserved: 3, ...shared },
        { ...variant, quantityChange: -5, reservedChange: 5, available: 0, reserved: 5, ...shared },
      ].map((data, i) => ({ type: 'InventoryReserved', subject: aggregates[i], aggregateVersion: 2, data })),
    );
  });

  it('refuses another request under the same order, and leaves the first one what it has', async () => {
    const item = await makeItem(shop.platform, { priceMinor: 1_000 });
    const input = checkoutInput(customerId, [{ item, quantity: 2 }]);
    const first = await shop.activities.reserveStock(input);
    const stock = await stockOf(shop.adminUrl, item);

    const other = {
      ...input,
      requestHash: 'f'.repeat(64),
      lines: input.lines.map((line) => ({ ...line, quantity: 1 })),
    };
    assert.equal(await refusalCode(shop.activities.reserveStock(other)), 'IDEMPOTENCY_KEY_REUSED');
    assert.deepEqual(await stockOf(shop.adminUrl, item), stock);
    assert.deepEqual(await shop.activities.reserveStock(input), first);
  });

  it('gives a repeat the first answer and moves nothing again, although the price has changed', async () => {
    const item = await makeItem(shop.platform, { priceMinor: 1_000 });
    const input = checkoutInput(customerId, [{ item, quantity: 2 }]);
    const first = await shop.activities.reserveStock(input);
    await shop.platform.product.update({ where: { id: BigInt(item.productId) }, data: { basePrice: 7_777 } });
    const stock = await stockOf(shop.adminUrl, item);

    assert.deepEqual(await shop.activities.reserveStock(input), first);
    assert.deepEqual(await shop.activities.reserveStock({ ...input, startDeadline: '2020-01-01T00:00:00Z' }), first);

    assert.deepEqual(await stockOf(shop.adminUrl, item), stock);
    assert.equal((await eventsOf(shop.adminUrl, input.orderId)).length, 1);
  });

  it('keeps refusing an order that it refused, although stock came back', async () => {
    const item = await makeItem(shop.platform, { stock: 1 });
    const input = checkoutInput(customerId, [{ item, quantity: 2 }]);
    const first = await refused(shop.activities.reserveStock(input));
    await adjustBy(shop.platform, item, 50);

    assert.deepEqual(await refused(shop.activities.reserveStock(input)), first);
    assert.equal(first.code, 'OUT_OF_STOCK');
    assert.deepEqual(await eventsOf(shop.adminUrl, input.orderId), []);
  });

  it('checks equal lines as one, under the lowest line number', async () => {
    const item = await makeItem(shop.platform, { stock: 5 });
    const lines = [
      { ...item, lineNo: 7, quantity: 2 },
      { ...item, lineNo: 3, quantity: 2 },
    ];
    const { lines: merged } = await shop.activities.reserveStock(checkoutInput(customerId, [], { lines }));
    assert.deepEqual(
      merged.map(({ lineNo, quantity }) => ({ lineNo, quantity })),
      [{ lineNo: 3, quantity: 4 }],
    );

    const tooMany = checkoutInput(customerId, [
      { item, quantity: 1 },
      { item, quantity: 1 },
    ]);
    const { detail } = await refused(shop.activities.reserveStock(tooMany));
    assert.deepEqual(detail, [{ lineNo: 1, asked: 2, available: 1 }]);
  });

  it('stores the card token nowhere', async () => {
    const cart = [{ item: await makeItem(shop.platform), quantity: 1 }];
    const payment = { method: 'card', token: 'tok_of_4242424242424242' } as const;
    const input = checkoutInput(customerId, cart, { payment });
    await shop.activities.reserveStock(input);
    await shop.activities.commitStock(input);
    assert.ok((await rowsWith(shop.adminUrl, input.orderId)) > 0, 'the search finds what is there');
    assert.equal(await rowsWith(shop.adminUrl, 'tok_'), 0);
  });

  it('holds stock of one product at two locations apart', async () => {
    const item = await makeItem(shop.platform, { stock: 3 });
    const elsewhere = { ...item, locationCode: 'ANNEX' };
    await shop.platform.inventorySnapshot.create({
      data: { productId: BigInt(item.productId), locationCode: 'ANNEX' },
    });
    await adjustBy(shop.platform, elsewhere, 4);
    const cart = [
      { item, quantity: 3 },
      { item: elsewhere, quantity: 4 },
    ];

    const { lines } = await shop.activities.reserveStock(checkoutInput(customerId, cart));

    assert.equal(lines.length, 2);
    assert.equal((await stockOf(shop.adminUrl, item))?.reserved, 3);
    assert.equal((await stockOf(shop.adminUrl, elsewhere))?.reserved, 4);
  });
});
