import { isDeepStrictEqual } from 'node:util';

import type { EventData } from '../../events/catalogue.ts';
import { appendToOutbox, shopEvent } from '../../events/outbox.ts';
import type { ReadEvent } from '../../events/read-event.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import {
  type AdministrationRequest,
  type ExpectedVersions,
  expectVersion,
  madeBy,
  refusingTaken,
  rememberRequest,
} from './administration-requests.ts';
import { type FirstStock, openStock } from './first-stock.ts';
import {
  changedFields,
  changedVariants,
  minorOf,
  type NewProduct,
  type NewVariant,
  newVariants,
  type ProductChanges,
  requirePossiblePrices,
  type Stock,
  variantRow,
} from './product-changes.ts';
import * as table from './product-tables.ts';

export type { Product } from './product-tables.ts';

export type ProductChange = Readonly<{
  productId: string;
  changes: ProductChanges;
  expected: ExpectedVersions;
  /** Who asked: `users.id` of the administrator. */
  caller: string;
  requestHash: string;
  /** A UUID that names what caused the change. */
  correlationId: string;
}>;
type NewRequest = AdministrationRequest & Readonly<{ caller: string }>;

/** What makes and changes products: rows and events in one transaction. The API calls it. */
export const productAdministration = ({ platform }: Pick<Databases, 'platform'>) => ({
  /**
   * Makes a product with its variants and first stock; the same request gets the product as it was made again.
   *
   * @throws CheckoutError UNKNOWN_CATEGORY, SKU_TAKEN, SLUG_TAKEN, IDEMPOTENCY_KEY_REUSED, INVALID_REQUEST
   */
  create: (request: NewRequest, product: NewProduct): Promise<table.Product & { replayed: boolean }> =>
    refusingTaken(
      TAKEN,
      platform.$transaction(async (tx) => {
        const made = await madeBy(tx, request);
        return made === undefined
          ? { ...(await create(tx, request, product)), replayed: false }
          : { ...asMade(made), replayed: true };
      }),
    ),

  /**
   * Changes some fields and variants, and adds variants. What is so already makes no event and no new version.
   *
   * @throws CheckoutError NOT_FOUND, VERSION_MISMATCH, UNKNOWN_CATEGORY, SKU_TAKEN, SLUG_TAKEN, INVALID_REQUEST
   */
  change: (change: ProductChange): Promise<table.Product> =>
    refusingTaken(
      TAKEN,
      platform.$transaction((tx) => changeProduct(tx, change)),
    ),
});

const TAKEN = {
  products_sku_key: 'SKU_TAKEN',
  products_slug_key: 'SLUG_TAKEN',
  product_variants_variant_sku_key: 'SKU_TAKEN',
} as const;

async function create(tx: SqlTransaction, request: NewRequest, product: NewProduct): Promise<table.Product> {
  const { category: slug, variants: asked, stock, basePrice, salePrice, ...texts } = product;
  const { currency } = basePrice;
  const category = await table.findCategory(tx, slug);
  const row = {
    ...{ ...texts, ...category, currency, basePriceMinor: basePrice.minor },
    salePriceMinor: minorOf(currency, salePrice, '/salePrice'),
  };
  requirePossiblePrices(row);
  const productId = await table.insertProduct(tx, row);
  const rows = asked.map((variant, index) => variantRow(currency, variant, index));
  const made = { ...row, productId, variants: await table.insertVariants(tx, productId, rows), version: 1 };
  const event = shopEvent('ProductCreated', productId, 1, request.id, dataOf(made));
  await appendToOutbox(tx, [event]);
  await openStock(tx, productId, [...stockOf(null, stock), ...stockOfVariants(made.variants, asked)], request);
  await rememberRequest(tx, request, event);
  return made;
}

async function changeProduct(tx: SqlTransaction, change: ProductChange): Promise<table.Product> {
  const { productId, changes, correlationId } = change;
  const before = await table.lockProduct(tx, productId);
  expectVersion(before.version, change.expected);
  const after = {
    ...before,
    ...(await changedFields(tx, before, changes)),
    variants: changedVariants(before, changes),
  };
  requirePossiblePrices(after);
  const { rows, added } = newVariants(before, changes);
  if (rows.length === 0 && isDeepStrictEqual(after, before)) return before;

  const touched = after.variants.filter((variant, index) => !isDeepStrictEqual(variant, before.variants[index]));
  await table.updateVariants(tx, productId, touched);
  const made = await table.insertVariants(tx, productId, rows);
  const next = { ...after, variants: [...after.variants, ...made], version: before.version + 1 };
  await table.updateProduct(tx, next);
  await appendToOutbox(tx, [shopEvent('ProductUpdated', productId, next.version, correlationId, dataOf(next))]);
  await openStock(tx, productId, stockOfVariants(made, added), change);
  return next;
}

const stockOf = (variantId: string | null, stock: Stock): FirstStock[] => stock.map((row) => ({ ...row, variantId }));

const stockOfVariants = (made: readonly table.Variant[], asked: readonly NewVariant[]): FirstStock[] =>
  made.flatMap(({ variantId }, index) => stockOf(variantId, asked[index]?.stock ?? []));

function dataOf(product: table.Product): EventData<'ProductCreated'> {
  const { productId, sku, name, slug, description, brand, categoryId, categoryName, categorySlug } = product;
  const { parentCategorySlug, status, currency, basePriceMinor, salePriceMinor, primaryImageUrl, variants } = product;
  return {
    ...{ productId, sku, name, slug, description, brand, categoryId, categoryName, categorySlug },
    ...{ parentCategorySlug, status, currency, basePriceMinor, salePriceMinor, primaryImageUrl, variants },
  };
}

function asMade(event: ReadEvent): table.Product {
  if (event.type !== 'ProductCreated') throw new Error(`a request for a product has made ${event.type}`);
  return { ...event.data, version: event.aggregateVersion };
}
