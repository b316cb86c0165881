import type { Databases } from '../infra/databases.ts';
import { Prisma } from '../prisma/views/generated/client.ts';

type Views = Databases['views'];

export type ProductFilter = Readonly<{
  /** Id of the last product of the page before. */
  after: string | undefined;
  limit: number;
  /**
   * Part of the name, the SKU or the brand, in any case; without three letters or digits in a row it must begin a word.
   * Without any it finds nothing.
   */
  search: string | undefined;
  /** Slug; products of its direct subcategories belong to it. */
  category: string | undefined;
}>;

/** Prices are minor units of `currency`. `stock` comes per variant, null for the product itself, and location. */
export type ShownProduct = Readonly<{
  productId: string;
  sku: string;
  name: string;
  slug: string;
  description: string;
  brand: string | null;
  categorySlug: string | null;
  categoryName: string;
  currency: string;
  basePrice: bigint;
  salePrice: bigint | null;
  primaryImageUrl: string | null;
  stockStatus: string;
  variants: readonly Readonly<{
    variantId: string;
    sku: string;
    name: string;
    options: Readonly<Record<string, string>>;
    priceMinor: number | null;
    status: string;
  }>[];
  stock: readonly Readonly<{
    variantId: string | null;
    locationCode: string;
    available: number;
    stockStatus: string;
  }>[];
}>;

/** One page of active products in id order. `lastId` is null on the last page. */
export async function readProducts(
  views: Views,
  { after = '0', limit, search, category }: ProductFilter,
): Promise<{ items: ShownProduct[]; lastId: string | null }> {
  const matching = Prisma.sql`status = 'ACTIVE' and product_id > ${after}::bigint ${searchedBy(search)}`;
  const count = limit + 1; // one more than shown tells whether there is a next page
  const page = (of: Prisma.Sql) =>
    Prisma.sql`select * from mv_products where ${matching} ${of} order by product_id limit ${count}`;
  const found =
    category === undefined
      ? page(Prisma.empty)
      : // Each half is read in the order of an index of its own; as one condition they would have to be sorted.
        Prisma.sql`(${page(Prisma.sql`and category_slug = ${category}`)}) union all
          (${page(Prisma.sql`and parent_category_slug = ${category} and category_slug <> ${category}`)})`;
  const rows = await views.$queryRaw<ShownProduct[]>`
    select ${SHOWN} from (${found}) as p order by product_id limit ${count}`;
  const items = rows.slice(0, limit);
  return { items, lastId: rows.length > limit ? (items.at(-1)?.productId ?? null) : null };
}

/** An active product; undefined for any other. */
export async function readProduct(views: Views, productId: string): Promise<ShownProduct | undefined> {
  const [row] = await views.$queryRaw<ShownProduct[]>`
    select ${SHOWN} from mv_products p where product_id = ${productId}::bigint and status = 'ACTIVE'`;
  return row;
}

const SHOWN = Prisma.sql`
  product_id::text as "productId", sku, name, slug, description, brand, category_slug as "categorySlug",
  category_name as "categoryName", currency::text, base_price as "basePrice", sale_price as "salePrice",
  primary_image_url as "primaryImageUrl", stock_status as "stockStatus", variants,
  coalesce((
    select jsonb_agg(jsonb_build_object('variantId', variant_id::text, 'locationCode', location_code,
      'available', available_quantity, 'stockStatus', s.stock_status) order by variant_id nulls first, location_code)
    from mv_product_stock s where s.product_id = p.product_id
  ), '[]') as stock`;

/** Letters or digits in a row: what the index knows of the middle of a word. */
const THREE_IN_A_ROW = /[\p{L}\p{N}]{3}/u;
const LETTER_OR_DIGIT = /[\p{L}\p{N}]/u;

/**
 * The index knows groups of three letters or digits, and of each word its first ones with the blank before them. So a search
 * with no such group must begin a word, and one without a letter or digit finds nothing: for these every row would have to
 * be looked at. `%` and `_` are taken as themselves.
 */
function searchedBy(search: string | undefined): Prisma.Sql {
  if (search === undefined) return Prisma.empty;
  if (!LETTER_OR_DIGIT.test(search)) return Prisma.sql`and false`;
  const part = search.replace(/[\\%_]/g, '\\$&');
  const pattern = THREE_IN_A_ROW.test(search) ? `%${part}%` : `% ${part}%`;
  return Prisma.sql`and search_text like lower(${pattern})`;
}
