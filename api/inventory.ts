import { Router } from 'express';
import { z } from 'zod';

import { adjustStock } from '../activities/inventory/administration.ts';
import { callerOf, only } from './auth.ts';
import { jsonBody } from './body.ts';
import { databaseId, locationCode } from './contract/fields.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { notAllowed } from './problem.ts';
import { idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';

const ROUTE = '/v1/inventory/adjustments';
const MOST_UNITS = 1_000_000;

const adjustmentBody = z.strictObject({
  productId: databaseId,
  variantId: databaseId.nullable().default(null),
  locationCode: locationCode.default('MAIN'),
  quantityChange: z
    .int()
    .min(-MOST_UNITS)
    .max(MOST_UNITS)
    .refine((units) => units !== 0, 'must not be 0'),
  reason: z.string().regex(/^[A-Z][A-Z0-9_]{0,49}$/, 'must be a word such as STOCKTAKE'),
});

/** Corrections of stock, by administrators. The same key gets the first answer again. */
export function inventoryRoutes({ databases: { platform } }: ApiDeps): Router {
  return Router()
    .post(ROUTE, only('admin'), ...jsonBody, async (req, res) => {
      const idempotencyKey = idempotencyKeyOf(req);
      const body = parsed(adjustmentBody, req.body);
      const work = adjustStock(platform, {
        ...body,
        caller: callerOf(res).id,
        idempotencyKey,
        requestHash: requestHashOf(body),
      });
      const { replayed, ...adjusted } = await within(READ_LIMIT_MS, work);
      if (replayed) res.set('Idempotent-Replayed', 'true');
      res.status(201).json(adjusted);
    })
    .all(ROUTE, notAllowed('POST'));
}
