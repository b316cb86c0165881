import type { Money } from '../domain/money.ts';
import type { Databases } from '../infra/databases.ts';
import { safeNumber } from '../infra/rows.ts';
import { type ProductFilter, readProduct, readProducts, type ShownProduct } from '../projections/read-products.ts';
import type { ProductPageBody, ShownProductBody } from './contract/products.ts';
import { productCursor } from './cursors.ts';
import { weakTagOf } from './etag.ts';
import { viewLagMs } from './view-lag.ts';

/** A body without its `viewLagMs`, as it may be kept: `lagMs` was true at `readAt`, milliseconds since 1970. */
export type Kept<T> = Readonly<{ body: T; etag: string; lagMs: number | null; readAt: number }>;
type Views = Databases['views'];

/** Of whatever shows one product, and of whatever lists products, to which each may come or go. */
export const productTag = (productId: string): string => `product:${productId}`;
export const ALL_PRODUCTS = 'products';

/** One page of active products in id order, with the tags of what it shows. */
export async function loadPage(views: Views, filter: ProductFilter) {
  const read = await begun(views);
  const { items, lastId } = await readProducts(views, filter);
  const body = { items: items.map(present), next: lastId === null ? null : productCursor(lastId) };
  const tags = [ALL_PRODUCTS, ...items.map(({ productId }) => productTag(productId))];
  return { value: { body, etag: weakTagOf(body), ...read } satisfies Kept<ProductPageBody>, tags };
}

/** An active product; undefined for any other, archived ones too. */
export async function loadProduct(views: Views, productId: string) {
  const read = await begun(views);
  const row = await readProduct(views, productId);
  if (row === undefined) return undefined;
  const body = present(row);
  return {
    value: { body, etag: weakTagOf(body), ...read } satisfies Kept<ShownProductBody>,
    tags: [productTag(productId)],
  };
}

/** The body with how far behind it may be by now. */
export const withLag = <T extends object>({ body, lagMs, readAt }: Kept<T>): T & { viewLagMs: number | null } => ({
  ...body,
  viewLagMs: lagMs === null ? null : lagMs + Math.max(0, Date.now() - readAt),
});

const begun = async (views: Views) => ({ readAt: Date.now(), lagMs: await viewLagMs(views, 'products') });

function present(row: ShownProduct): ShownProductBody {
  const { productId, sku, name, slug, description, brand, stockStatus, currency } = row;
  const money = (minor: number): Money => ({ minor, currency });
  const basePrice = safeNumber(row.basePrice);
  const price = row.salePrice === null ? basePrice : safeNumber(row.salePrice);
  const stockOf = (variant: string | null) =>
    row.stock
      .filter(({ variantId }) => variantId === variant)
      .map(({ locationCode, available, stockStatus: status }) => ({ locationCode, available, stockStatus: status }));
  return {
    ...{ productId, sku, name, slug, description, brand },
    imageUrl: row.primaryImageUrl,
    category: { slug: row.categorySlug, name: row.categoryName },
    price: money(price),
    basePrice: money(basePrice),
    stockStatus,
    stock: stockOf(null),
    variants: row.variants
      .filter(({ status }) => status === 'ACTIVE')
      .map((variant) => ({
        variantId: variant.variantId,
        sku: variant.sku,
        name: variant.name,
        options: variant.options,
        price: money(variant.priceMinor ?? price),
        stock: stockOf(variant.variantId),
      })),
  };
}
