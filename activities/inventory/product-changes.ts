import { CheckoutError } from '../../domain/errors.ts';
import type { Money } from '../../domain/money.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import type { FirstStock } from './first-stock.ts';
import * as table from './product-tables.ts';

export type Stock = readonly Omit<FirstStock, 'variantId'>[];
/** All prices of a product are in one currency, which stays. */
type Fields = Readonly<{
  sku: string;
  name: string;
  slug: string;
  description: string;
  brand: string | null;
  /** Slug of its category. */
  category: string;
  status: table.ProductStatus;
  basePrice: Money;
  salePrice: Money | null;
  primaryImageUrl: string | null;
}>;
type VariantFields = Readonly<{
  sku: string;
  name: string;
  options: Readonly<Record<string, string>>;
  /** Null: it costs what the product costs. */
  price: Money | null;
}>;

export type NewVariant = VariantFields & Readonly<{ stock: Stock }>;
/** A product that is sold in variants has stock of these, and none of its own. */
export type NewProduct = Fields & Readonly<{ variants: readonly NewVariant[]; stock: Stock }>;
export type VariantChange = Readonly<{ variantId: string }> &
  Partial<VariantFields & Readonly<{ status: table.VariantStatus }>>;
/** An entry of `variants` with an id changes that variant, one without adds one; the others stay. */
export type ProductChanges = Partial<Fields & Readonly<{ variants: readonly (VariantChange | NewVariant)[] }>>;

const TEXTS = ['sku', 'name', 'slug', 'description', 'brand', 'status', 'primaryImageUrl'] as const;

/** What becomes of the product's own fields. @throws CheckoutError UNKNOWN_CATEGORY, INVALID_REQUEST */
export async function changedFields(tx: SqlTransaction, { currency }: table.Product, changes: ProductChanges) {
  const { category, basePrice, salePrice } = changes;
  const texts = TEXTS.flatMap((name) => (changes[name] === undefined ? [] : [[name, changes[name]]]));
  return {
    ...(Object.fromEntries(texts) as Partial<Pick<Fields, (typeof TEXTS)[number]>>),
    ...(category !== undefined && (await table.findCategory(tx, category))),
    ...(basePrice !== undefined && { basePriceMinor: minorIn(currency, basePrice, '/basePrice') }),
    ...(salePrice !== undefined && { salePriceMinor: minorOf(currency, salePrice, '/salePrice') }),
  };
}

/** What becomes of the variants that it has. @throws CheckoutError INVALID_REQUEST */
export function changedVariants({ currency, variants }: table.Product, { variants: asked = [] }: ProductChanges) {
  const changes = new Map<string, Partial<table.Variant>>();
  asked.forEach((entry, index) => {
    if (!('variantId' in entry)) return;
    const { variantId, price, options, ...rest } = entry;
    if (!variants.some((variant) => variant.variantId === variantId)) {
      throw impossible(`/variants/${index}/variantId`, 'is no variant of this product');
    }
    changes.set(variantId, {
      ...rest,
      ...(options !== undefined && { options: { ...options } }),
      ...(price !== undefined && { priceMinor: minorOf(currency, price, `/variants/${index}/price`) }),
    });
  });
  return variants.map((variant) => ({ ...variant, ...changes.get(variant.variantId) }));
}

/** The variants that it gets: as they were asked for, and their rows. @throws CheckoutError INVALID_REQUEST */
export function newVariants({ currency, variants }: table.Product, { variants: asked = [] }: ProductChanges) {
  const added: NewVariant[] = [];
  const rows = asked.flatMap((entry, index) => {
    if ('variantId' in entry) return [];
    // Its own stock could not be sold any more: a cart has to name the variant.
    if (variants.length === 0) throw impossible(`/variants/${index}`, 'this product is sold without variants');
    added.push(entry);
    return [variantRow(currency, entry, index)];
  });
  return { rows, added };
}

export const variantRow = (currency: string, variant: NewVariant, index: number): table.NewVariantRow => ({
  ...{ sku: variant.sku, name: variant.name, options: { ...variant.options }, status: 'ACTIVE' },
  priceMinor: minorOf(currency, variant.price, `/variants/${index}/price`),
});

/** @throws CheckoutError INVALID_REQUEST for a price in another currency */
export const minorOf = (currency: string, price: Money | null, pointer: string): number | null =>
  price === null ? null : minorIn(currency, price, pointer);

function minorIn(currency: string, price: Money, pointer: string): number {
  if (price.currency === currency) return price.minor;
  throw impossible(`${pointer}/currency`, `must be ${currency}: a product has one currency, which stays`);
}

type Prices = Readonly<{ basePriceMinor: number; salePriceMinor: number | null }>;
/** @throws CheckoutError INVALID_REQUEST */
export function requirePossiblePrices({ basePriceMinor, salePriceMinor }: Prices): void {
  if (salePriceMinor === null || salePriceMinor <= basePriceMinor) return;
  throw impossible('/salePrice', 'must not be above the base price');
}

const impossible = (pointer: string, message: string): CheckoutError =>
  new CheckoutError('INVALID_REQUEST', `${pointer} ${message}`, { errors: [{ pointer, message }] });
