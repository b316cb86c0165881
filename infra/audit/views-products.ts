import type { ViewRule } from './views-rows.ts';

const PRODUCT = { product_id: 'number' } as const;

/** Descriptions and stock from the platform, what was bought from the orders, and the sums of that. */
export const PRODUCT_RULES: readonly ViewRule[] = [
  {
    ...{ view: 'products', table: 'mv_products', key: PRODUCT, from: 'platform' },
    // A product whose stock or first purchase came first is a stub until the description comes.
    is: `select product_id, sku, slug, name, description, status, brand, category_id, category_name, category_slug,
        parent_category_slug, currency, base_price, sale_price, primary_image_url, variants, product_version
      from mv_products p
      where product_version <> 0 or sku is not null or name is not null
        or not exists (select from mv_product_stock s where s.product_id = p.product_id)
          and not exists (select from mv_product_purchases b where b.product_id = p.product_id)`,
    // Its oldest events do not tell the category above, and what nobody told cannot be shown.
    shouldBe: `select p.id as product_id, p.sku, p.slug, p.name, p.description, p.status, p.brand, p.category_id,
        c.name as category_name, c.slug as category_slug,
        case when coalesce(e.envelope -> 'data' ? 'parentCategorySlug', true) then up.slug end as parent_category_slug,
        p.currency, p.base_price, p.sale_price, p.primary_image_url, coalesce(v.variants, '[]') as variants,
        p.version as product_version
      from products p
      join categories c on c.id = p.category_id
      left join categories up on up.id = c.parent_id
      left join outbox e on e.aggregate_type = 'product' and e.aggregate_id = p.id::text and e.aggregate_version = p.version
      left join (
        select product_id, jsonb_agg(jsonb_build_object('variantId', id::text, 'sku', variant_sku, 'name', name,
          'options', options, 'priceMinor', price, 'status', status) order by id) as variants
        from product_variants group by product_id
      ) as v on v.product_id = p.id`,
    toldBy: { aggregate: 'product', idOf: (row) => String(row['product_id']) },
  },
  {
    ...{ view: 'products', table: 'mv_product_stock', key: { aggregate_id: 'text' }, from: 'platform' },
    is: `select aggregate_id, product_id, variant_id, location_code, available_quantity, reserved_quantity, stock_status,
        stock_version
      from mv_product_stock`,
    // Version 0: nothing has happened to it, and no event tells of it.
    shouldBe: `select product_id || '-' || coalesce(variant_id, 0) || '-' || location_code as aggregate_id, product_id,
        variant_id, location_code, available_quantity, reserved_quantity, stock_status, version as stock_version
      from inventory_snapshots where version > 0`,
    toldBy: { aggregate: 'inventory', idOf: (row) => String(row['aggregate_id']) },
  },
  {
    view: 'products',
    table: 'mv_product_purchases',
    key: { product_id: 'number', order_id: 'uuid' },
    is: 'select product_id, order_id, units from mv_product_purchases',
    from: 'order',
    shouldBe: `select i.product_id, i.order_id, sum(i.quantity) as units
      from order_items i join orders o on o.id = i.order_id
      where o.paid_at is not null group by 1, 2`,
    toldBy: { aggregate: 'order', types: ['OrderPaid'], idOf: (row) => String(row['order_id']) },
  },
  {
    ...{ view: 'products', table: 'mv_products', key: PRODUCT, from: 'views' },
    is: 'select product_id, available_stock, stock_status, purchase_count from mv_products',
    // As well stocked as the best stocked of its variants and locations.
    shouldBe: `select product_id, coalesce(s.available, 0) as available_stock,
        case s.best when 2 then 'IN_STOCK' when 1 then 'LOW_STOCK' else 'OUT_OF_STOCK' end as stock_status,
        coalesce(b.units, 0) as purchase_count
      from mv_products
      full join (
        select product_id, sum(available_quantity) as available,
          max(case stock_status when 'IN_STOCK' then 2 when 'LOW_STOCK' then 1 else 0 end) as best
        from mv_product_stock group by 1
      ) as s using (product_id)
      full join (select product_id, sum(units) as units from mv_product_purchases group by 1) as b using (product_id)`,
  },
];
