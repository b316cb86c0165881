import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { type Adjustment, adjustStock } from '../../activities/inventory/administration.ts';
import { CheckoutError, type ErrorCode } from '../../domain/errors.ts';
import { adjustmentIdFor, stockAggregateId } from '../../events/ids.ts';
import { query } from '../support/databases.ts';
import { brokenStock, type InventoryService, openInventory, stockOf } from '../support/inventory.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { checkoutInput, type Item, makeCustomer, makeItem, makeVariant, sha256 } from '../support/shop.ts';

const LARGEST = 2_147_483_647;

describe('adjustStock', () => {
  let shop: InventoryService;
  let item: Item;

  before(async () => {
    shop = await openInventory(15);
  });
  after(() => shop.close());
  beforeEach(async () => {
    item = await makeItem(shop.platform, { stock: 10 });
  });
  afterEach(async () => {
    assert.deepEqual(await brokenStock(shop.adminUrl), []);
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > 0);
  });

  const request = (quantityChange: number, changes: Partial<Adjustment> = {}): Adjustment => ({
    ...item,
    ...{ quantityChange, reason: 'DAMAGED', caller: '7', idempotencyKey: randomUUID() },
    requestHash: sha256(`${quantityChange}`),
    ...changes,
  });
  const adjust = (adjustment: Adjustment) => adjustStock(shop.platform, adjustment);
  const ledgerOf = (adjustment: Adjustment) =>
    query(
      shop.adminUrl,
      `select event_type as type, aggregate_id as aggregate, aggregate_version::integer as version,
         quantity_before as before, quantity_change as change, quantity_after as after, reserved_change as reserved,
         change_reason as reason, reference_type as kind, reference_id as reference
       from inventory_events where correlation_id = $1`,
      [adjustmentIdFor(adjustment.caller, adjustment.idempotencyKey)],
    );
  const refusedWith = (adjustment: Adjustment, code: ErrorCode) =>
    assert.rejects(adjust(adjustment), (error) => error instanceof CheckoutError && error.code === code);

  it('moves stock, ledger and event together and says what it made of them', async () => {
    const loss = request(-4);
    const adjustmentId = adjustmentIdFor('7', loss.idempotencyKey);
    const after = { quantityChange: -4, available: 6, reserved: 0 };
    assert.deepEqual(await adjust(loss), { adjustmentId, ...item, ...after, version: 2, replayed: false });

    const aggregate = stockAggregateId(item.productId, null, 'MAIN');
    assert.deepEqual(await stockOf(shop.adminUrl, item), {
      ...{ available: 6, reserved: 0, status: 'LOW_STOCK', version: 2 },
    });
    assert.deepEqual(await ledgerOf(loss), [
      {
        ...{ type: 'ADJUSTED', aggregate, version: 2, before: 10, change: -4, after: 6, reserved: 0 },
        ...{ reason: 'DAMAGED', kind: 'ADJUSTMENT', reference: 'user:7' },
      },
    ]);
    assert.deepEqual(
      (await eventsOf(shop.adminUrl, adjustmentId)).map(({ type, subject, aggregateVersion, data }) => ({
        ...{ type, subject, aggregateVersion, data },
      })),
      [
        {
          ...{ type: 'InventoryAdjusted', subject: aggregate, aggregateVersion: 2 },
          data: { ...item, ...after, reservedChange: 0, lowStockThreshold: 10, reason: 'DAMAGED', orderId: null },
        },
      ],
    );
  });

  it('corrects a variant and leaves what is reserved alone', async () => {
    item = await makeVariant(shop.platform, { stock: 10 });
    const customerId = await makeCustomer(shop.platform);
    await shop.activities.reserveStock(checkoutInput(customerId, [{ item, quantity: 3 }]));
    const { available, reserved, version, variantId } = await adjust(request(+5));
    assert.deepEqual([available, reserved, version, variantId], [12, 3, 3, item.variantId]);
  });

  it('answers the same key of the same caller with the first answer, whatever happened since', async () => {
    const found = request(+5);
    const first = await adjust(found);
    await adjust(request(-15));
    assert.deepEqual(await adjust(found), { ...first, replayed: true });
    assert.equal((await stockOf(shop.adminUrl, item))?.available, 0);
  });

  it('refuses the key of another request, but not the equal key of another caller', async () => {
    const found = request(+5);
    await adjust(found);
    await refusedWith({ ...found, requestHash: sha256('other') }, 'IDEMPOTENCY_KEY_REUSED');
    const other = await adjust({ ...found, caller: '8' });
    assert.deepEqual([other.replayed, other.available], [false, 20]);
  });

  it('takes no more than is available, says how much that is, and writes nothing', async () => {
    const tooMuch = request(-11);
    await assert.rejects(adjust(tooMuch), { code: 'STOCK_BELOW_ZERO', detail: { available: 10 } });
    assert.deepEqual(await ledgerOf(tooMuch), []);
    await adjust(request(+1));
    const { available } = await adjust(tooMuch);
    assert.equal(available, 0);
  });

  it('takes nothing that is reserved', async () => {
    const customerId = await makeCustomer(shop.platform);
    await shop.activities.reserveStock(checkoutInput(customerId, [{ item, quantity: 8 }]));
    await refusedWith(request(-3), 'STOCK_BELOW_ZERO');
    assert.equal((await adjust(request(-2))).available, 0);
  });

  it('adds no more than the columns can count, reserved stock included', async () => {
    const customerId = await makeCustomer(shop.platform);
    await shop.activities.reserveStock(checkoutInput(customerId, [{ item, quantity: 4 }]));
    await refusedWith(request(LARGEST - 9), 'STOCK_BELOW_ZERO');
    await refusedWith(request(5_000_000_000), 'STOCK_BELOW_ZERO');
    assert.equal((await adjust(request(LARGEST - 10))).available, LARGEST - 4);
  });

  it('knows no stock of a product, variant or location that does not exist', async () => {
    for (const unknown of [{ productId: '999999999' }, { variantId: '1' }, { locationCode: 'NOWHERE' }]) {
      await refusedWith(request(1, unknown), 'UNKNOWN_PRODUCT');
    }
  });

  it('happens once when the same request comes twenty times at once', async () => {
    const found = request(+5);
    const answers = await Promise.all(Array.from({ length: 20 }, () => adjust(found)));
    assert.equal(answers.filter(({ replayed }) => !replayed).length, 1);
    assert.equal(new Set(answers.map(({ version, available }) => `${version}/${available}`)).size, 1);
    assert.equal((await ledgerOf(found)).length, 1);
    assert.equal((await stockOf(shop.adminUrl, item))?.available, 15);
  });

  it('loses none of many different requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => adjust(request(+1))));
    assert.deepEqual(
      answers.map(({ version }) => version).sort((a, b) => a - b),
      Array.from({ length: 20 }, (_, index) => index + 2),
    );
    assert.equal((await stockOf(shop.adminUrl, item))?.available, 30);
  });
});
