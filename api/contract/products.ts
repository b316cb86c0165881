import { z } from 'zod';

import { cursor, databaseId, locationCode, money, next, pageSize, plainText, viewLagMs } from './fields.ts';
import type { Operation } from './operation.ts';
import { newProductBody, productChangeBody } from './product-bodies.ts';

const params = z.object({ productId: databaseId });

export const productsQuery = z.strictObject({
  search: plainText(100)
    .optional()
    .describe(
      'part of the name, the SKU or the brand, in any case; without three letters or digits in a row it must begin a word',
    ),
  category: z
    .string()
    .regex(/^[a-z0-9-]{1,120}$/, 'must be the slug of a category')
    .optional()
    .describe('products of its direct subcategories belong to it'),
  cursor: cursor().optional(),
  limit: pageSize,
});

const category = z.object({ slug: z.string().nullable(), name: z.string() });
const options = z.record(z.string(), z.string());
const stockStatus = z.string().describe('OUT_OF_STOCK, LOW_STOCK or IN_STOCK');
const stock = z.array(z.object({ locationCode, available: z.int(), stockStatus }));

const shownProduct = z.object({
  productId: databaseId,
  sku: z.string(),
  name: z.string(),
  slug: z.string(),
  description: z.string(),
  brand: z.string().nullable(),
  imageUrl: z.string().nullable(),
  category,
  price: money.describe('what it costs now'),
  basePrice: money,
  stockStatus,
  stock: stock.describe('of the product itself; that of a product with variants is in these'),
  variants: z.array(
    z.object({ variantId: databaseId, sku: z.string(), name: z.string(), options, price: money, stock }),
  ),
});
export type ShownProductBody = z.infer<typeof shownProduct>;

const productPage = z.object({ items: z.array(shownProduct), next });
export type ProductPageBody = z.infer<typeof productPage>;

export const listProducts = {
  id: 'listProducts',
  method: 'get',
  path: '/v1/products',
  tag: 'catalogue',
  summary: 'What the shop sells, in the order of its ids',
  description: 'What is bought, and for how much, is decided when it is ordered: a list may be some moments behind.',
  access: 'public',
  query: productsQuery,
  headers: ['If-None-Match'],
  answers: {
    200: { description: 'One page.', headers: ['ETag'], body: productPage.extend({ viewLagMs }) },
    304: { description: 'What `If-None-Match` names is still what would be answered.', headers: ['ETag'] },
  },
} as const satisfies Operation;

export const getProduct = {
  id: 'getProduct',
  method: 'get',
  path: '/v1/products/{productId}',
  tag: 'catalogue',
  summary: 'A product that is for sale',
  access: 'public',
  params,
  headers: ['If-None-Match'],
  answers: {
    200: { description: 'The product.', headers: ['ETag'], body: shownProduct.extend({ viewLagMs }) },
    304: { description: 'What `If-None-Match` names is still what would be answered.', headers: ['ETag'] },
  },
} as const satisfies Operation;

const product = z.object({
  productId: databaseId,
  sku: z.string(),
  name: z.string(),
  slug: z.string(),
  description: z.string(),
  brand: z.string().nullable(),
  category,
  status: z.string().describe('DRAFT, ACTIVE or ARCHIVED'),
  basePrice: money,
  salePrice: money.nullable(),
  primaryImageUrl: z.string().nullable(),
  variants: z.array(
    z.object({
      variantId: databaseId,
      sku: z.string(),
      name: z.string(),
      options,
      price: money.nullable().describe('null: it costs what the product costs'),
      status: z.string().describe('ACTIVE or ARCHIVED; the public catalogue hides what is archived'),
    }),
  ),
  version: z.int(),
});
export type ProductBody = z.infer<typeof product>;

export const createProduct = {
  id: 'createProduct',
  method: 'post',
  path: '/v1/products',
  tag: 'catalogue',
  summary: 'Makes a product with its variants and first stock',
  access: ['admin'],
  headers: ['Idempotency-Key'],
  body: newProductBody,
  answers: {
    201: {
      description: 'The product; the same request gets it again as it was made.',
      headers: ['ETag', 'Location', 'Idempotent-Replayed'],
      body: product,
    },
  },
  refusals: ['UNKNOWN_CATEGORY', 'SKU_TAKEN', 'SLUG_TAKEN'],
} as const satisfies Operation;

export const changeProduct = {
  id: 'changeProduct',
  method: 'patch',
  path: '/v1/products/{productId}',
  tag: 'catalogue',
  summary: 'Changes fields and variants of a product, and adds variants',
  description: 'What is so already makes no new version. Nothing is deleted: what is no longer sold is archived.',
  access: ['admin'],
  params,
  headers: ['If-Match'],
  body: productChangeBody,
  answers: { 200: { description: 'The product as it is now.', headers: ['ETag'], body: product } },
  refusals: ['UNKNOWN_CATEGORY', 'SKU_TAKEN', 'SLUG_TAKEN'],
} as const satisfies Operation;
