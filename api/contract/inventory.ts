import { z } from 'zod';

import { databaseId, locationCode } from './fields.ts';
import type { Operation } from './operation.ts';

const MOST_UNITS = 1_000_000;

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
