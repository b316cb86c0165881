import { adjustmentIdFor, stockAggregateId } from '../../events/ids.ts';
import { type ShopEvent, shopEvent } from '../../events/outbox.ts';
import { sealed } from '../../events/personal-fields.ts';
import type { PersonalKeys } from '../../events/personal-keys.ts';
import type { ProductSeed, StockSeed, UserSeed } from './catalogue.ts';
import { CATEGORIES, type CategorySeed } from './words.ts';

/** What all seeded facts have in common, and why the first stock is there. */
const CAUSE = 'seed';
export const INITIAL_STOCK = 'initial stock';

/** The ledger row's guard. No user is called "seed", so no request can ever make the same id. */
export const seededStockId = (row: StockSeed): string => adjustmentIdFor(CAUSE, seededAggregateId(row));

export const seededAggregateId = ({ productId, variantId, locationCode }: StockSeed): string =>
  stockAggregateId(String(productId), idText(variantId), locationCode);

/** @param keys of all of them */
export const userEvents = (users: readonly UserSeed[], keys: PersonalKeys): ShopEvent[] =>
  users.map(({ id, ...profile }) => {
    const userId = String(id);
    const data = sealed(keys.get(userId) ?? null, { userId, ...profile });
    return shopEvent('UserCreated', userId, 1, CAUSE, data);
  });

export function productEvents(products: readonly ProductSeed[]): ShopEvent[] {
  const categories = new Map<number | null, CategorySeed>(CATEGORIES.map((category) => [category.id, category]));
  return products.map((product) =>
    shopEvent('ProductCreated', String(product.id), 1, CAUSE, {
      productId: String(product.id),
      sku: product.sku,
      name: product.name,
      slug: product.slug,
      description: product.description,
      brand: product.brand,
      categoryId: String(product.categoryId),
      categoryName: categories.get(product.categoryId)?.name ?? '',
      categorySlug: categories.get(product.categoryId)?.slug ?? '',
      parentCategorySlug: categories.get(categories.get(product.categoryId)?.parentId ?? null)?.slug ?? null,
      status: product.status,
      currency: product.currency,
      basePriceMinor: product.basePrice,
      salePriceMinor: product.salePrice,
      primaryImageUrl: null,
      variants: product.variants.map(({ id, sku, name, options, price }) => ({
        variantId: String(id),
        sku,
        name,
        options,
        priceMinor: price,
        status: 'ACTIVE',
      })),
    }),
  );
}

export const stockEvents = (rows: readonly StockSeed[]): ShopEvent[] =>
  rows.map((row) =>
    shopEvent('InventoryAdjusted', seededAggregateId(row), 1, seededStockId(row), {
      productId: String(row.productId),
      variantId: idText(row.variantId),
      locationCode: row.locationCode,
      quantityChange: row.available,
      reservedChange: 0,
      available: row.available,
      reserved: 0,
      lowStockThreshold: row.lowStockThreshold,
      reason: INITIAL_STOCK,
      orderId: null,
    }),
  );

const idText = (id: number | null): string | null => (id === null ? null : String(id));
