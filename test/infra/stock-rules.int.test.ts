import assert from 'node:assert/strict';

import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

describe('a row of stock', () => {
  let databases: TestDatabases;
  before(async () => {
    databases = await freshDatabases();
    await run("insert into categories (id, name, slug) values (1, 'C', 'c')");
    await run(`insert into products (id, category_id, sku, name, slug, currency, base_price)
      values (1, 1, 'P', 'P', 'p', 'KRW', 100), (2, 1, 'Q', 'Q', 'q', 'KRW', 100)`);
    await run("insert into product_variants (id, product_id, variant_sku, name) values (11, 1, 'P-1', 'one')");
  });
  // Past the triggers and grants by which nobody takes a movement out of the ledger.
  afterEach(() =>
    query(
      databases.adminUrl('platform'),
      'set session_replication_role = replica; delete from inventory_snapshots; delete from inventory_events',
    ),
  );
  after(() => databases.drop());

  const run = (sql: string) => query(databases.urls.platform, sql);
  const insert = (columns: string, values: string) =>
    run(`insert into inventory_snapshots (${columns}) values (${values}) returning stock_status, total_quantity`);
  const violates = (constraint: string) => ({ constraint });

  for (const [available, reserved, threshold, stock_status] of [
    [0, 0, 10, 'OUT_OF_STOCK'],
    [0, 7, 10, 'OUT_OF_STOCK'],
    [1, 0, 10, 'LOW_STOCK'],
    [10, 3, 10, 'LOW_STOCK'],
    [11, 0, 10, 'IN_STOCK'],
    [0, 0, 0, 'OUT_OF_STOCK'],
    [1, 0, 0, 'IN_STOCK'],
  ] as const) {
    it(`is ${stock_status} with ${available} available, ${reserved} reserved and threshold ${threshold}`, async () => {
      const columns = 'product_id, available_quantity, reserved_quantity, low_stock_threshold';
      assert.deepEqual(await insert(columns, `1, ${available}, ${reserved}, ${threshold}`), [
        { stock_status, total_quantity: available + reserved },
      ]);
    });
  }

  it('computes status and total again when the quantities change', async () => {
    await insert('product_id, available_quantity', '1, 11');
    const sell = (units: number) =>
      run(`update inventory_snapshots set available_quantity = available_quantity - ${units},
        reserved_quantity = reserved_quantity + ${units} returning stock_status, total_quantity`);
    assert.deepEqual(await sell(1), [{ stock_status: 'LOW_STOCK', total_quantity: 11 }]);
    assert.deepEqual(await sell(10), [{ stock_status: 'OUT_OF_STOCK', total_quantity: 11 }]);
  });

  it('cannot have its computed columns written', async () => {
    await assert.rejects(insert('product_id, stock_status', "1, 'IN_STOCK'"), { code: '428C9' });
  });

  it('cannot be there twice for a product without variants at one place', async () => {
    await insert('product_id, location_code', "1, 'MAIN'");
    await assert.rejects(insert('product_id, location_code', "1, 'MAIN'"), violates('uk_inventory_location'));
    await insert('product_id, location_code', "1, 'BUSAN'");
  });

  it('cannot belong to a variant of another product', async () => {
    await assert.rejects(insert('product_id, variant_id', '2, 11'), violates('fk_inventory_variant'));
    await insert('product_id, variant_id', '1, 11');
  });

  it('never goes below zero', async () => {
    await assert.rejects(
      insert('product_id, available_quantity', '1, -1'),
      violates('chk_inventory_snapshots_available'),
    );
    await assert.rejects(
      insert('product_id, reserved_quantity', '1, -1'),
      violates('chk_inventory_snapshots_reserved'),
    );
  });

  for (const [what, values, constraint] of [
    ['a sum that is wrong', "'ADJUSTED', 1, 5, 0, 6, 0", 'chk_inventory_events_quantities'],
    ['a reservation that sets nothing aside', "'RESERVED', 1, -5, 9, 4, 0", 'chk_inventory_events_reserved'],
    ['a reservation that adds stock', "'RESERVED', 1, 5, 0, 5, -5", 'chk_inventory_events_reserved'],
    ['a commit that changes what is available', "'COMMITTED', 1, -5, 9, 4, -5", 'chk_inventory_events_reserved'],
    ['a release that gives back less than it takes', "'RELEASED', 1, 4, 0, 4, -5", 'chk_inventory_events_reserved'],
    ['an adjustment of what is reserved', "'ADJUSTED', 1, 5, 0, 5, 1", 'chk_inventory_events_reserved'],
    ['a movement of an unknown kind', "'SOLD', 1, 5, 0, 5, 0", 'inventory_events_event_type_check'],
    ['a version below one', "'ADJUSTED', 0, 5, 0, 5, 0", 'inventory_events_aggregate_version_check'],
  ] as const) {
    it(`has no place in its ledger for ${what}`, async () => {
      await assert.rejects(movement(values), violates(constraint));
    });
  }

  it('has one movement per version and one per cause', async () => {
    await movement("'ADJUSTED', 1, 5, 0, 5, 0", 'gen_random_uuid()');
    await assert.rejects(movement("'ADJUSTED', 1, 1, 5, 6, 0"), violates('uk_inventory_agg'));

    const cause = "'00000000-0000-4000-8000-000000000001'";
    await movement("'ADJUSTED', 2, 1, 5, 6, 0", cause);
    await assert.rejects(movement("'ADJUSTED', 3, 1, 6, 7, 0", cause), violates('uk_inventory_corr'));
  });

  const movement = (values: string, cause = 'null') =>
    run(`insert into inventory_events (event_type, aggregate_version, quantity_change, quantity_before, quantity_after,
      reserved_change, aggregate_id, product_id, correlation_id) values (${values}, '1-0-MAIN', 1, ${cause})`);
});
