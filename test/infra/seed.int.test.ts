import assert from 'node:assert/strict';

import { EVENT_TYPES } from '../../events/catalogue.ts';
import type { ShopEvent } from '../../events/outbox.ts';
import { seedPlatform } from '../../prisma/seed.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

const TABLES = [
  'users',
  'categories',
  'products',
  'product_variants',
  'inventory_snapshots',
  'inventory_events',
  'outbox',
] as const;

describe('the seeded catalogue', () => {
  let databases: TestDatabases;
  let url: string;
  before(async () => {
    databases = await freshDatabases({ seed: true });
    url = databases.urls.platform;
  });
  after(() => databases.drop());

  const count = async (from: string): Promise<number> =>
    (await query<{ n: number }>(url, `select count(*)::int as n from ${from}`))[0]?.n ?? NaN;

  it('is the same in two databases, but for the instants and the keys of people', async () => {
    const other = await freshDatabases();
    try {
      assert.deepEqual(await seedPlatform(other.urls.platform), { seeded: true });
      for (const table of TABLES) assert.deepEqual(await rowsOf(other.urls.platform, table), await rowsOf(url, table));
    } finally {
      await other.drop();
    }
  });

  it('changes nothing when it is seeded again', async () => {
    const before = await Promise.all(TABLES.map((table) => query(url, `select * from ${table} order by id`)));
    assert.deepEqual(await seedPlatform(url), { seeded: false });
    assert.deepEqual(
      await Promise.all(TABLES.map((table) => query(url, `select * from ${table} order by id`))),
      before,
    );
  });

  it('is there once when two seed together', async () => {
    const other = await freshDatabases();
    try {
      const both = await Promise.all([seedPlatform(other.urls.platform), seedPlatform(other.urls.platform)]);
      assert.deepEqual(both.map(({ seeded }) => seeded).sort(), [false, true]);
      assert.deepEqual(await query(other.urls.platform, 'select count(*)::int as n from users'), [{ n: 100 }]);
    } finally {
      await other.drop();
    }
  });

  it('leaves a platform alone that has a user already', async () => {
    const other = await freshDatabases();
    try {
      await query(
        other.urls.platform,
        "insert into users (username, email, full_name) values ('a', 'a@example.com', 'A')",
      );
      assert.deepEqual(await seedPlatform(other.urls.platform), { seeded: false });
      assert.deepEqual(await query(other.urls.platform, 'select count(*)::int as n from products'), [{ n: 0 }]);
    } finally {
      await other.drop();
    }
  });

  it('has enough of everything to try the shop with', async () => {
    const atLeast = async (least: number, from: string) => {
      const n = await count(from);
      assert.ok(n >= least, `${n} of ${from}, wanted ${least}`);
    };
    await atLeast(300, 'products');
    await atLeast(12, 'categories c where exists (select from products where category_id = c.id)');
    await atLeast(100, 'products p where exists (select from product_variants where product_id = p.id)');
    await atLeast(100, 'products p where not exists (select from product_variants where product_id = p.id)');
    await atLeast(200, "products where currency = 'KRW'");
    await atLeast(15, "products where currency = 'USD'");
    await atLeast(30, 'products where sale_price < base_price');
    await atLeast(5, "products where status = 'ARCHIVED'");
    await atLeast(250, "products where status = 'ACTIVE'");
    for (const status of ['LOW_STOCK', 'OUT_OF_STOCK']) {
      await atLeast(20, `inventory_snapshots where stock_status = '${status}'`);
    }
    for (const place of ['MAIN', 'BUSAN']) await atLeast(300, `inventory_snapshots where location_code = '${place}'`);
    assert.equal(await count('users'), 100);
    for (const status of ['ACTIVE', 'INACTIVE', 'DELETED']) await atLeast(3, `users where status = '${status}'`);
    assert.equal(await count("users where email not like '%@example.com'"), 0);
  });

  it('has the people and products that documents and demonstrations rely on', async () => {
    assert.deepEqual(
      await query(url, "select id::int from users where id in (1, 2, 100) and status = 'ACTIVE' order by id"),
      [{ id: 1 }, { id: 2 }, { id: 100 }],
    );
    assert.deepEqual(
      await query(
        url,
        `select p.id::int as product, v.id::int as variant, coalesce(v.variant_sku, p.sku) as sku,
           coalesce(v.price, p.sale_price, p.base_price)::int as price, p.currency, available_quantity >= 10000 as plenty
         from products p left join product_variants v on v.product_id = p.id
           join inventory_snapshots s on s.product_id = p.id and s.variant_id is not distinct from v.id
             and s.location_code = 'MAIN'
         where p.id in (101, 102) and p.status = 'ACTIVE' and v.id is distinct from 1013 order by p.id, v.id`,
      ),
      [
        { product: 101, variant: 1011, sku: 'MUG-BLUE', price: 12_000, currency: 'KRW', plenty: true },
        { product: 101, variant: 1012, sku: 'MUG-GREEN', price: 12_000, currency: 'KRW', plenty: true },
        { product: 102, variant: null, sku: 'COASTER', price: 3_500, currency: 'KRW', plenty: true },
      ],
    );
  });

  it('has stock for every variant, and for every product without one', async () => {
    const missing = `products p left join product_variants v on v.product_id = p.id where not exists (
      select from inventory_snapshots s where s.product_id = p.id and s.variant_id is not distinct from v.id)`;
    assert.equal(await count(missing), 0);
  });

  it('has for every snapshot the one movement that it is the fold of', async () => {
    const rows = await count('inventory_snapshots');
    assert.equal(await count('inventory_events'), rows);
    const agreeing = `inventory_snapshots s join inventory_events e
      on e.aggregate_id = s.product_id || '-' || coalesce(s.variant_id, 0) || '-' || s.location_code
        and e.product_id = s.product_id and e.variant_id is not distinct from s.variant_id
        and e.location_code = s.location_code and e.event_type = 'ADJUSTED' and e.aggregate_version = 1
        and s.version = 1 and e.quantity_before = 0 and e.quantity_after = s.available_quantity
        and s.reserved_quantity = 0`;
    assert.equal(await count(agreeing), rows);
  });

  it('announces every user, product and row of stock, unpublished, in the words of the catalogue', async () => {
    const rows = await query<{ type: keyof typeof EVENT_TYPES; envelope: ShopEvent; open: boolean }>(
      url,
      'select type, envelope, published_at is null as open from outbox order by id',
    );
    const types = new Map<string, number>();
    for (const { type, envelope, open } of rows) {
      EVENT_TYPES[type].data.parse(envelope.data);
      assert.equal(envelope.aggregateVersion, 1);
      assert.equal(open, true);
      types.set(type, (types.get(type) ?? 0) + 1);
    }
    assert.deepEqual(Object.fromEntries(types), {
      UserCreated: await count('users'),
      ProductCreated: await count('products'),
      InventoryAdjusted: await count('inventory_snapshots'),
    });
  });

  it('leaves ids free for what is added later', async () => {
    const rows = await query(
      url,
      `with c as (insert into categories (name, slug) values ('N', 'n') returning id),
         p as (insert into products (category_id, sku, name, slug, currency, base_price)
           select 11, 'N', 'N', 'n', 'KRW', 1 returning id),
         v as (insert into product_variants (product_id, variant_sku, name) values (101, 'N-1', 'N') returning id),
         u as (insert into users (username, email, full_name) values ('n', 'n@example.com', 'N') returning id)
       select c.id - (select max(id) from categories) as category, p.id - (select max(id) from products) as product,
         v.id - (select max(id) from product_variants) as variant, u.id - (select max(id) from users) as user
       from c, p, v, u`,
    );
    assert.deepEqual(rows, [{ category: '1', product: '1', variant: '1', user: '1' }]);
  });
});

/** Everything but instants; rows with an id that PostgreSQL draws are compared in that order. */
/** Whoever is seeded gets a key of their own, so what is sealed with it is never the same. */
async function rowsOf(from: string, table: (typeof TABLES)[number]): Promise<unknown[]> {
  return query(
    from,
    `select regexp_replace(
       (to_jsonb(t) - '{created_at,updated_at,last_updated_at,occurred_at}'::text[] #- '{envelope,time}')::text,
       '"sealed:v1:[^"]+"', '"sealed"', 'g')::jsonb as row
     from ${table} t order by id`,
  );
}
