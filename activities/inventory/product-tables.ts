import { CheckoutError } from '../../domain/errors.ts';
import type { EventData } from '../../events/catalogue.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow, safeNumber } from '../../infra/rows.ts';

export type ProductStatus = 'DRAFT' | 'ACTIVE' | 'ARCHIVED';
export type VariantStatus = 'ACTIVE' | 'ARCHIVED';
type ProductData = EventData<'ProductCreated'>;

/** A product as its events tell it. Prices are minor units of `currency`. */
export type Product = ProductData & Readonly<{ version: number }>;
export type Variant = ProductData['variants'][number];

/** What a product has besides its variants, its category's names, and what the database gives it. */
export type ProductRow = Omit<Product, 'productId' | 'variants' | keyof Omit<Category, 'categoryId'> | 'version'>;
export type NewVariantRow = Omit<Variant, 'variantId'>;

export type Category = Readonly<{
  categoryId: string;
  categoryName: string;
  categorySlug: string;
  parentCategorySlug: string | null;
}>;

/** @throws CheckoutError UNKNOWN_CATEGORY */
export async function findCategory(tx: SqlTransaction, slug: string): Promise<Category> {
  const [row] = await tx.$queryRaw<Category[]>`
    select c.id::text as "categoryId", c.name as "categoryName", c.slug as "categorySlug", up.slug as "parentCategorySlug"
    from categories c left join categories up on up.id = c.parent_id
    where c.slug = ${slug}`;
  if (row === undefined) throw new CheckoutError('UNKNOWN_CATEGORY', `there is no category ${slug}`);
  return row;
}

/** @returns the product's id; its version is 1 */
export async function insertProduct(tx: SqlTransaction, row: ProductRow): Promise<string> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    insert into products (category_id, sku, name, slug, description, brand, status, currency, base_price, sale_price,
      primary_image_url)
    values (${row.categoryId}::bigint, ${row.sku}, ${row.name}, ${row.slug}, ${row.description}, ${row.brand},
      ${row.status}, ${row.currency}, ${row.basePriceMinor}, ${row.salePriceMinor}, ${row.primaryImageUrl})
    returning id::text`;
  return expectRow(rows).id;
}

/** One insert, whatever the number of variants. @returns them with their ids, in the order given */
export async function insertVariants(
  tx: SqlTransaction,
  productId: string,
  variants: readonly NewVariantRow[],
): Promise<Variant[]> {
  const rows = await tx.$queryRaw<{ id: string; sku: string }[]>`
    insert into product_variants (product_id, variant_sku, name, options, price, status)
    select ${productId}::bigint, sku, name, options, "priceMinor", status
    from jsonb_array_elements(${JSON.stringify(variants)}::jsonb) with ordinality as a(v, position),
      jsonb_to_record(v) as r (sku text, name text, options jsonb, "priceMinor" bigint, status text)
    order by position
    returning id::text, variant_sku as sku`;
  const idOf = new Map(rows.map(({ id, sku }) => [sku, id]));
  return variants.map((variant) => ({
    ...variant,
    variantId: expectRow([idOf.get(variant.sku)].flatMap((id) => id ?? [])),
  }));
}

type LockedProduct = Omit<Product, 'variants' | 'version' | 'basePriceMinor' | 'salePriceMinor'> &
  Readonly<{ version: bigint; basePriceMinor: bigint; salePriceMinor: bigint | null }>;
type VariantRow = Omit<Variant, 'priceMinor'> & Readonly<{ priceMinor: bigint | null }>;

/** The product with its variants; nobody else changes any of it until the transaction ends. @throws CheckoutError NOT_FOUND */
export async function lockProduct(tx: SqlTransaction, productId: string): Promise<Product> {
  const [row] = await tx.$queryRaw<LockedProduct[]>`
    select p.id::text as "productId", p.sku, p.name, p.slug, p.description, p.brand, p.category_id::text as "categoryId",
      c.name as "categoryName", c.slug as "categorySlug", up.slug as "parentCategorySlug", p.status,
      p.currency::text, p.base_price as "basePriceMinor", p.sale_price as "salePriceMinor", p.primary_image_url as "primaryImageUrl", p.version
    from products p join categories c on c.id = p.category_id left join categories up on up.id = c.parent_id
    where p.id = ${productId}::bigint for update of p`;
  if (row === undefined) throw new CheckoutError('NOT_FOUND', 'there is no such product');
  const variants = await tx.$queryRaw<VariantRow[]>`
    select id::text as "variantId", variant_sku as sku, name, options, price as "priceMinor", status
    from product_variants where product_id = ${productId}::bigint order by id`;
  const price = (minor: bigint | null) => (minor === null ? null : safeNumber(minor));
  return {
    ...row,
    version: safeNumber(row.version),
    basePriceMinor: safeNumber(row.basePriceMinor),
    salePriceMinor: price(row.salePriceMinor),
    variants: variants.map((variant) => ({ ...variant, priceMinor: price(variant.priceMinor) })),
  };
}

export const updateProduct = (tx: SqlTransaction, product: Product) => tx.$executeRaw`
  update products
  set category_id = ${product.categoryId}::bigint, sku = ${product.sku}, name = ${product.name}, slug = ${product.slug},
    description = ${product.description}, brand = ${product.brand}, status = ${product.status},
    base_price = ${product.basePriceMinor}, sale_price = ${product.salePriceMinor},
    primary_image_url = ${product.primaryImageUrl}, updated_at = now(), version = ${product.version}
  where id = ${product.productId}::bigint`;

/** One update, whatever the number of variants. */
export const updateVariants = (tx: SqlTransaction, productId: string, variants: readonly Variant[]) => tx.$executeRaw`
  update product_variants v
  set variant_sku = r.sku, name = r.name, options = r.options, price = r."priceMinor", status = r.status, updated_at = now()
  from jsonb_to_recordset(${JSON.stringify(variants)}::jsonb)
    as r ("variantId" bigint, sku text, name text, options jsonb, "priceMinor" bigint, status text)
  where v.id = r."variantId" and v.product_id = ${productId}::bigint`;
