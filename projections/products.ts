import type { ReadEvent } from '../events/read-event.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { distinct, factOf, newestBy, ofTypes } from './facts.ts';
import type { View } from './view.ts';

const PRODUCT_EVENTS = ['ProductCreated', 'ProductUpdated'] as const;
const STOCK_EVENTS = ['InventoryReserved', 'InventoryCommitted', 'InventoryReleased', 'InventoryAdjusted'] as const;

/**
 * Products with their stock and how often they were bought (source document 4). Whoever holds the row of a product in
 * `mv_products` writes all rows of that product, so two batches that touch one product come one after the other, and the
 * second goes on from what the first brought.
 */
export const products: View = {
  name: 'products',
  takes: [...PRODUCT_EVENTS, ...STOCK_EVENTS, 'OrderPaid'],
  async apply(tx, events) {
    const descriptions = newestBy(ofTypes(events, PRODUCT_EVENTS), ({ data }) => data.productId).map(factOf);
    const stock = newestBy(ofTypes(events, STOCK_EVENTS), ({ subject }) => subject).map((event) => ({
      ...factOf(event),
      aggregateId: event.subject,
    }));
    const purchases = ofTypes(events, ['OrderPaid']).flatMap(purchasesOf);
    const stocked = distinct(stock.map(({ productId }) => productId));
    const bought = distinct(purchases.map(({ productId }) => productId));

    await lockProducts(tx, distinct([...descriptions.map(({ productId }) => productId), ...stocked, ...bought]));
    if (descriptions.length > 0) await saveDescriptions(tx, descriptions);
    if (stocked.length > 0) {
      await saveStock(tx, stock);
      await sumStock(tx, stocked);
    }
    if (bought.length > 0) await savePurchases(tx, purchases);
  },
};

type EventOf<T extends ReadEvent['type']> = Extract<ReadEvent, { type: T }>;
type Description = ReturnType<typeof factOf<EventOf<(typeof PRODUCT_EVENTS)[number]>>>;
type Stock = ReturnType<typeof factOf<EventOf<(typeof STOCK_EVENTS)[number]>>> & Readonly<{ aggregateId: string }>;
type Purchase = Readonly<{ productId: string; orderId: string; quantity: number }>;

const purchasesOf = ({ data }: EventOf<'OrderPaid'>): Purchase[] =>
  data.lines.map(({ productId, quantity }) => ({ productId, quantity, orderId: data.orderId }));

/** Makes stubs of those that are not there; reads do not show them. In key order, so that nobody waits in a circle. */
async function lockProducts(tx: SqlTransaction, productIds: readonly string[]): Promise<void> {
  await tx.$executeRaw`
    insert into mv_products (product_id)
    select id from unnest(${productIds}::bigint[]) as p (id)
    order by id
    on conflict do nothing`;
  await tx.$queryRaw`
    select from mv_products where product_id = any(${productIds}::bigint[]) order by product_id for update`;
}

const saveDescriptions = (tx: SqlTransaction, descriptions: readonly Description[]) => tx.$executeRaw`
  update mv_products v
  set sku = e.sku, slug = e.slug, name = e.name, description = e.description, status = e.status, brand = e.brand,
    category_id = e."categoryId", category_name = e."categoryName", category_slug = e."categorySlug",
    parent_category_slug = e."parentCategorySlug", currency = e.currency,
    base_price = e."basePriceMinor", sale_price = e."salePriceMinor", primary_image_url = e."primaryImageUrl",
    variants = e.variants, product_version = e.version, synced_at = now()
  from jsonb_to_recordset(${JSON.stringify(descriptions)}::jsonb)
    as e ("productId" bigint, sku text, slug text, name text, description text, status text, brand text,
      "categoryId" bigint, "categoryName" text, "categorySlug" text, "parentCategorySlug" text, currency text,
      "basePriceMinor" bigint, "salePriceMinor" bigint, "primaryImageUrl" text, variants jsonb, version bigint)
  where v.product_id = e."productId" and v.product_version < e.version`;

/** Status by the rule of the snapshots that the events come from (source document 2.4). */
const saveStock = (tx: SqlTransaction, stock: readonly Stock[]) => tx.$executeRaw`
  insert into mv_product_stock as v (aggregate_id, product_id, variant_id, location_code, available_quantity,
    reserved_quantity, stock_status, stock_version)
  select e."aggregateId", e."productId", e."variantId", e."locationCode", e.available, e.reserved,
    case when e.available = 0 then 'OUT_OF_STOCK' when e.available <= e."lowStockThreshold" then 'LOW_STOCK'
      else 'IN_STOCK' end,
    e.version
  from jsonb_to_recordset(${JSON.stringify(stock)}::jsonb)
    as e ("aggregateId" text, "productId" bigint, "variantId" bigint, "locationCode" text, available integer,
      reserved integer, "lowStockThreshold" integer, version bigint)
  order by e."aggregateId"
  on conflict (aggregate_id) do update
  set available_quantity = excluded.available_quantity, reserved_quantity = excluded.reserved_quantity,
    stock_status = excluded.stock_status, stock_version = excluded.stock_version, synced_at = now()
  where v.stock_version < excluded.stock_version`;

/** A product is as well stocked as the best stocked of its variants and locations. */
const sumStock = (tx: SqlTransaction, productIds: readonly string[]) => tx.$executeRaw`
  update mv_products v
  set available_stock = s.available, stock_status = s.status, synced_at = now()
  from (
    select product_id, sum(available_quantity) as available,
      case when bool_or(stock_status = 'IN_STOCK') then 'IN_STOCK' when bool_or(stock_status = 'LOW_STOCK')
        then 'LOW_STOCK' else 'OUT_OF_STOCK' end as status
    from mv_product_stock
    where product_id = any(${productIds}::bigint[])
    group by product_id
  ) as s
  where v.product_id = s.product_id
    and (v.available_stock, v.stock_status) is distinct from (s.available, s.status)`;

/**
 * An order is paid once, so its row is a fact that nothing changes, and a product's count is what it was and what is new:
 * what that costs does not depend on how often the product was bought before.
 */
const savePurchases = (tx: SqlTransaction, purchases: readonly Purchase[]) => tx.$executeRaw`
  with added as (
    insert into mv_product_purchases (product_id, order_id, units)
    select e."productId", e."orderId", sum(e.quantity)
    from jsonb_to_recordset(${JSON.stringify(purchases)}::jsonb)
      as e ("productId" bigint, "orderId" uuid, quantity integer)
    group by e."productId", e."orderId"
    order by e."productId", e."orderId"
    on conflict do nothing
    returning product_id, units
  )
  update mv_products v
  set purchase_count = v.purchase_count + p.units, synced_at = now()
  from (select product_id, sum(units) as units from added group by product_id) as p
  where v.product_id = p.product_id`;
