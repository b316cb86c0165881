import { z } from 'zod';

import { databaseId, locationCode, plainText } from './fields.ts';

/** Most variants of a product that one request may bring, and most rows of stock of one of them. */
const MOST_VARIANTS = 100;
const MOST_LOCATIONS = 20;
const MOST_OPTIONS = 10;
const MOST_UNITS = 1_000_000;
const LONGEST_DESCRIPTION = 10_000;
const LOW_STOCK = 10;

const money = z.strictObject({
  minor: z.int().min(0),
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code'),
});
const sku = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be letters, digits, dots, dashes');
const slug = (longest: number) =>
  z
    .string()
    .max(longest)
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be words of a-z and 0-9 with dashes between them');
const options = z
  .record(plainText(50), plainText(100))
  .refine((all) => Object.keys(all).length <= MOST_OPTIONS, `must be at most ${MOST_OPTIONS}`);
/** Lines are kept: a description is written by a person in paragraphs. */
const description = z
  .string()
  .max(LONGEST_DESCRIPTION)
  .regex(/^(?:[^\p{Cc}\p{Cs}]|[\n\t])*$/u, 'must be text without control characters');
/** A URL parser takes characters that PostgreSQL or a header cannot. */
const imageUrl = z
  .url({ protocol: /^https$/ })
  .max(500)
  .regex(/^[^\p{Cc}\p{Cs}\s]*$/u, 'must be a URL without blanks');

const stock = z
  .array(
    z.strictObject({
      locationCode,
      quantity: z.int().min(0).max(MOST_UNITS).default(0),
      lowStockThreshold: z.int().min(0).max(MOST_UNITS).default(LOW_STOCK),
    }),
  )
  .min(1)
  .max(MOST_LOCATIONS)
  .refine((rows) => new Set(rows.map((row) => row.locationCode)).size === rows.length, 'must name each location once');
const NOTHING_YET = [{ locationCode: 'MAIN', quantity: 0, lowStockThreshold: LOW_STOCK }];

const variantFields = { sku, name: plainText(255), options, price: money.nullable() };
const newVariant = z.strictObject({
  ...variantFields,
  options: options.default({}),
  price: variantFields.price.default(null),
  stock: stock.default(NOTHING_YET),
});
const variantChange = z
  .strictObject({ ...variantFields, status: z.enum(['ACTIVE', 'ARCHIVED']) })
  .partial()
  .extend({ variantId: databaseId });

const productFields = {
  ...{ sku, name: plainText(255), slug: slug(280), description, category: slug(120) },
  brand: plainText(100).nullable(),
  status: z.enum(['DRAFT', 'ACTIVE', 'ARCHIVED']),
  basePrice: money,
  salePrice: money.nullable(),
  primaryImageUrl: imageUrl.nullable(),
};

/** A product that is sold in variants has stock of these, and none of its own. */
export const newProductBody = z
  .strictObject({
    ...productFields,
    description: description.default(''),
    brand: productFields.brand.default(null),
    status: productFields.status.default('ACTIVE'),
    salePrice: productFields.salePrice.default(null),
    primaryImageUrl: productFields.primaryImageUrl.default(null),
    variants: z.array(newVariant).max(MOST_VARIANTS).default([]),
    stock: stock.optional(),
  })
  .refine(({ variants, stock: own }) => variants.length === 0 || own === undefined, {
    path: ['stock'],
    error: 'belongs to the variants of a product that has some',
  })
  .transform(({ stock: own, variants, ...product }) => ({
    ...product,
    variants,
    stock: variants.length === 0 ? (own ?? NOTHING_YET) : [],
  }));

/** An entry of `variants` with an id changes that variant, one without adds one; the others stay. */
export const productChangeBody = z
  .strictObject({
    ...productFields,
    variants: z
      .array(z.union([variantChange, newVariant]))
      .max(MOST_VARIANTS)
      .refine((entries) => {
        const ids = entries.flatMap((entry) => ('variantId' in entry ? [entry.variantId] : []));
        return new Set(ids).size === ids.length;
      }, 'must name each variant once'),
  })
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, 'must change something');
