import { z } from 'zod';

import { cursor, databaseId, instant, locationCode, next, pageSize } from './fields.ts';
import type { Operation } from './operation.ts';

const MOST_UNITS = 1_000_000;

export const stockQuery = z.strictObject({ cursor: cursor().optional(), limit: pageSize });

export const getStock = {
  id: 'getStock',
  method: 'get',
  path: '/v1/inventory/{productId}',
  tag: 'inventory',
  summary: 'What is left of a product, and every movement that led there',
  description: 'From the inventory service itself. The ledger is told from the newest movement on, in pages.',
  access: ['admin'],
  params: z.object({ productId: databaseId }),
  query: stockQuery,
  answers: {
    200: {
      description: 'Stock by variant and location, and a page of the ledger of all of them.',
      body: z.object({
        productId: databaseId,
        stock: z.array(
          z.object({
            variantId: databaseId.nullable(),
            locationCode,
            available: z.int(),
            reserved: z.int().describe('set aside for orders that are not paid yet'),
            total: z.int(),
            lowStockThreshold: z.int(),
            stockStatus: z.string().describe('OUT_OF_STOCK, LOW_STOCK or IN_STOCK'),
            version: z.int(),
            updatedAt: instant,
          }),
        ),
        ledger: z.array(
          z.object({
            ledgerId: databaseId,
            at: instant,
            movement: z.string().describe('RESERVED, COMMITTED, RELEASED or ADJUSTED'),
            variantId: databaseId.nullable(),
            locationCode,
            quantityChange: z.int().describe('of what is available'),
            availableBefore: z.int(),
            availableAfter: z.int(),
            reservedChange: z.int(),
            reason: z.string().nullable(),
            reference: z
              .object({ type: z.string(), id: z.string().nullable() })
              .nullable()
              .describe('the order, refund or request that it was made for'),
          }),
        ),
        next,
      }),
    },
  },
} as const satisfies Operation;

export const adjustmentBody = z.strictObject({
  productId: databaseId,
  variantId: databaseId.nullable().default(null),
  locationCode: locationCode.default('MAIN'),
  quantityChange: z
    .int()
    .min(-MOST_UNITS)
    .max(MOST_UNITS)
    .refine((units) => units !== 0, 'must not be 0')
    .describe('units found, or lost when it is below 0; never 0'),
  reason: z.string().regex(/^[A-Z][A-Z0-9_]{0,49}$/, 'must be a word such as STOCKTAKE'),
});

export const adjustStock = {
  id: 'adjustStock',
  method: 'post',
  path: '/v1/inventory/adjustments',
  tag: 'inventory',
  summary: 'Corrects the stock of a product or variant at one location',
  access: ['admin'],
  headers: ['Idempotency-Key'],
  body: adjustmentBody,
  answers: {
    201: {
      description: 'The stock after this correction; the same request gets the same answer again.',
      headers: ['Idempotent-Replayed'],
      body: z.object({
        adjustmentId: z.guid(),
        productId: databaseId,
        variantId: databaseId.nullable(),
        locationCode,
        quantityChange: z.int(),
        available: z.int(),
        reserved: z.int(),
        version: z.int(),
      }),
    },
  },
  refusals: ['UNKNOWN_PRODUCT', 'STOCK_BELOW_ZERO'],
} as const satisfies Operation;
