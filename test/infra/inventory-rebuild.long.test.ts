import assert from 'node:assert/strict';

import pLimit from 'p-limit';

import { rebuildInventory } from '../../infra/audit/rebuild.ts';
import { type AuditedShop, brokenIn, MUG, openAuditedShop, SIMPLE } from '../support/audited-shop.ts';
import { stockOf } from '../support/inventory.ts';
import { checkoutInput } from '../support/shop.ts';

describe('inventory:rebuild', function () {
  this.timeout(60_000);
  let shop: AuditedShop;

  beforeEach(async () => {
    shop = await openAuditedShop();
  });
  afterEach(() => shop.close());

  const snapshots = () =>
    shop.ask('platform', 'select * from inventory_snapshots order by product_id, variant_id, location_code');
  const withoutClock = (rows: Record<string, unknown>[]) => rows.map((row) => ({ ...row, id: 0, last_updated_at: 0 }));
  const rebuild = (apply: boolean) => rebuildInventory(shop.urls.platform, { apply });

  it('finds each kind of damage without touching it, repairs it when told to, and then finds nothing', async () => {
    await shop.paid();
    await shop.damage('platform', `update inventory_snapshots set low_stock_threshold = 10`);
    const sound = await snapshots();
    const stock = await shop.untouched(4);
    const [available, reserved, version, gone] = stock.map(({ id }) => id);
    await shop.damage('platform', `update inventory_snapshots set available_quantity = 3 where id = $1`, [available]);
    await shop.damage('platform', `update inventory_snapshots set reserved_quantity = 3 where id = $1`, [reserved]);
    await shop.damage('platform', `update inventory_snapshots set version = 30 where id = $1`, [version]);
    await shop.damage('platform', `delete from inventory_snapshots where id = $1`, [gone]);
    await shop.damage(
      'platform',
      `update outbox set envelope = jsonb_set(envelope, '{data,lowStockThreshold}', '10')
      where aggregate_type = 'inventory'`,
    );
    const damaged = await snapshots();
    const names = stock.map(({ name }) => name).sort();

    const dry = await rebuild(false);
    assert.deepEqual([dry.repairable.map(({ aggregateId }) => aggregateId).sort(), dry.repaired], [names, []]);
    assert.deepEqual(await snapshots(), damaged);

    const applied = await rebuild(true);
    assert.deepEqual([...applied.repaired].sort(), names);
    assert.deepEqual(applied.damagedLedgers, []);
    const repaired = await snapshots();
    assert.deepEqual(withoutClock(repaired), withoutClock(sound));
    assert.deepEqual(brokenIn(await shop.audit()), []);

    const again = await rebuild(true);
    assert.deepEqual([again.repairable, again.repaired], [[], []]);
    assert.deepEqual(await snapshots(), repaired);
  });

  it('gives a lost row the threshold that its last event told', async () => {
    const [stock] = await shop.untouched(1);
    const ask = () =>
      shop.ask(
        'platform',
        `select low_stock_threshold as threshold from inventory_snapshots
      where product_id || '-' || coalesce(variant_id, 0) || '-' || location_code = $1`,
        [stock?.name],
      );
    const before = await ask();
    await shop.damage('platform', `delete from inventory_snapshots where id = $1`, [stock?.id]);
    await rebuild(true);
    assert.deepEqual(await ask(), before);
    assert.equal(before.length, 1);
  });

  it('reports a gap in a ledger, and leaves its snapshot and its ledger as they are', async () => {
    const [stock] = await shop.untouched(1);
    await shop.damage('platform', `update inventory_events set aggregate_version = 2 where aggregate_id = $1`, [
      stock?.name,
    ]);
    const before = await snapshots();
    const { damagedLedgers, repairable, repaired } = await rebuild(true);
    assert.deepEqual(
      damagedLedgers.map(({ aggregateId }) => aggregateId),
      [stock?.name],
    );
    assert.deepEqual([repairable, repaired, await snapshots()], [[], [], before]);
  });

  it('reports a ledger that folds to less than nothing, and leaves its snapshot as it is', async () => {
    const [stock] = await shop.untouched(1);
    await shop.damage(
      'platform',
      `alter table inventory_events drop constraint inventory_events_quantity_after_check;
      update inventory_events set quantity_change = -5, quantity_after = quantity_before - 5 where aggregate_id = $1`,
      [stock?.name],
    );
    const before = await snapshots();
    const { damagedLedgers, repaired } = await rebuild(true);
    assert.deepEqual(
      [damagedLedgers.map(({ fold }) => fold.available), repaired, await snapshots()],
      [[-5], [], before],
    );
  });

  it('ends right beside 200 reservations, none of which fails', async () => {
    await shop.damage(
      'platform',
      `update inventory_snapshots set available_quantity = available_quantity + 5000, reserved_quantity = 1
      where product_id in (101, 102)`,
    );
    const stocked = async () => [
      await stockOf(shop.adminUrl('platform'), MUG),
      await stockOf(shop.adminUrl('platform'), SIMPLE),
    ];
    const [mug, simple] = await stocked();
    const carts = Array.from({ length: 200 }, (_, n) =>
      checkoutInput(
        '1',
        n % 2 === 0
          ? [
              { item: MUG, quantity: 1 },
              { item: SIMPLE, quantity: 1 },
            ]
          : [
              { item: SIMPLE, quantity: 1 },
              { item: MUG, quantity: 1 },
            ],
      ),
    );
    for (const item of [MUG, SIMPLE]) await shop.addStock(item, 1_000);

    // As many at once as a worker runs: more would only wait for a connection until they give up.
    const atOnce = pLimit(20);
    const reserving = Promise.all(carts.map((cart) => atOnce(() => shop.inventory.reserveStock(cart))));
    let repaired = 0;
    let done = false;
    void reserving.finally(() => (done = true)).catch(() => undefined);
    while (!done) repaired += (await rebuild(true)).repaired.length;
    await reserving;

    assert.ok(repaired >= 2, String(repaired));
    const after = await rebuild(false);
    assert.deepEqual([after.repairable, after.damagedLedgers], [[], []]);
    assert.deepEqual(
      (await stocked()).map((row) => [row?.available, row?.reserved, row?.version]),
      [mug, simple].map((row) => [(row?.available ?? 0) - 5_000 + 1_000 - 200, 200, (row?.version ?? 0) + 201]),
    );
    assert.deepEqual(brokenIn(await shop.audit({ only: [1, 2] })), []);
  });
});
