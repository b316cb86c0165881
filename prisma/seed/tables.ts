import type { SqlTransaction } from '../../infra/databases.ts';
import type { ProductSeed, StockSeed, UserSeed } from './catalogue.ts';
import { INITIAL_STOCK, seededAggregateId, seededStockId } from './events.ts';
import type { CategorySeed } from './words.ts';

/* One statement per table, over all rows at once. */

export const insertUsers = (tx: SqlTransaction, users: readonly UserSeed[]) => tx.$executeRaw`
  insert into users (id, username, email, full_name, status)
  select id, username, email, "fullName", status
  from jsonb_to_recordset(${JSON.stringify(users)}::jsonb)
    as r (id bigint, username text, email text, "fullName" text, status text)`;

export const insertCategories = (tx: SqlTransaction, categories: readonly CategorySeed[]) => tx.$executeRaw`
  insert into categories (id, parent_id, name, slug)
  select id, "parentId", name, slug
  from jsonb_to_recordset(${JSON.stringify(categories)}::jsonb) as r (id bigint, "parentId" bigint, name text, slug text)`;

export const insertProducts = (tx: SqlTransaction, products: readonly ProductSeed[]) => tx.$executeRaw`
  insert into products (id, category_id, sku, name, slug, description, brand, status, currency, base_price, sale_price)
  select id, "categoryId", sku, name, slug, description, brand, status, currency, "basePrice", "salePrice"
  from jsonb_to_recordset(${JSON.stringify(products)}::jsonb)
    as r (id bigint, "categoryId" bigint, sku text, name text, slug text, description text, brand text, status text,
      currency text, "basePrice" bigint, "salePrice" bigint)`;

export const insertVariants = (tx: SqlTransaction, products: readonly ProductSeed[]) => tx.$executeRaw`
  insert into product_variants (id, product_id, variant_sku, name, options, price)
  select v.id, p.id, v.sku, v.name, v.options, v.price
  from jsonb_to_recordset(${JSON.stringify(products)}::jsonb) as p (id bigint, variants jsonb),
    jsonb_to_recordset(p.variants) as v (id bigint, sku text, name text, options jsonb, price bigint)`;

/** The first movement of each row of stock: from the empty fold, version 0, to version 1. */
export function insertLedger(tx: SqlTransaction, rows: readonly StockSeed[]) {
  const named = rows.map((row) => ({ ...row, aggregate: seededAggregateId(row), correlation: seededStockId(row) }));
  return tx.$executeRaw`
    insert into inventory_events (event_type, aggregate_id, aggregate_version, product_id, variant_id, location_code,
      quantity_change, quantity_before, quantity_after, change_reason, reference_type, reference_id, correlation_id)
    select 'ADJUSTED', aggregate, 1, "productId", "variantId", "locationCode", available, 0, available,
      ${INITIAL_STOCK}, 'ADJUSTMENT', 'seed', correlation
    from jsonb_to_recordset(${JSON.stringify(named)}::jsonb)
      as r ("productId" bigint, "variantId" bigint, "locationCode" text, available integer, aggregate text, correlation uuid)
    order by "productId", "variantId", "locationCode"`;
}

export const insertSnapshots = (tx: SqlTransaction, rows: readonly StockSeed[]) => tx.$executeRaw`
  insert into inventory_snapshots (product_id, variant_id, location_code, available_quantity, low_stock_threshold, version)
  select "productId", "variantId", "locationCode", available, "lowStockThreshold", 1
  from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
    as r ("productId" bigint, "variantId" bigint, "locationCode" text, available integer, "lowStockThreshold" integer)
  order by "productId", "variantId", "locationCode"`;

/** Rows with an id of their own do not move a sequence, and the next row without one would get an id that is taken. */
export const movePastSeededIds = (tx: SqlTransaction) => tx.$queryRaw`
  select setval('users_id_seq', (select max(id) from users))::text,
    setval('categories_id_seq', (select max(id) from categories))::text,
    setval('products_id_seq', (select max(id) from products))::text,
    setval('product_variants_id_seq', (select max(id) from product_variants))::text`;
