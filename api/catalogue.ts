import { Router } from 'express';
import { z } from 'zod';

import { CheckoutError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { notAllowed } from './problem.ts';
import { findProduct, listProducts } from './products.ts';
import { databaseId, parsed } from './requests.ts';

const LARGEST_PAGE = 100;

const listQuery = z.strictObject({
  search: z.string().trim().min(1).max(100).optional(),
  category: z
    .string()
    .regex(/^[a-z0-9-]{1,120}$/, 'must be the slug of a category')
    .optional(),
  cursor: z.string().max(64).transform(productIdIn).optional(),
  limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(20),
});

/** The public catalogue: active products, read from the platform service. */
export function catalogueRoutes({ databases: { platform } }: ApiDeps): Router {
  return Router()
    .get('/v1/products', async (req, res) => {
      const { cursor, limit, search, category } = parsed(listQuery, req.query);
      const page = await within(READ_LIMIT_MS, listProducts(platform, { after: cursor, limit, search, category }));
      const next = page.lastId === null ? null : Buffer.from(page.lastId).toString('base64url');
      res.set('Cache-Control', 'no-cache').json({ items: page.items, next, viewLagMs: 0 });
    })
    .all('/v1/products', notAllowed('GET, HEAD, POST'))
    .get('/v1/products/:productId', async (req, res) => {
      const id = databaseId.safeParse(req.params.productId);
      const product = id.success ? await within(READ_LIMIT_MS, findProduct(platform, id.data)) : undefined;
      if (product === undefined) throw new CheckoutError('NOT_FOUND', 'there is no such product');
      res.set('Cache-Control', 'no-cache').json(product);
    })
    .all('/v1/products/:productId', notAllowed('GET, HEAD, PATCH'));
}

/** A cursor is the last id of the page before; it is opaque so that it may become something else. */
function productIdIn(cursor: string, context: z.RefinementCtx): string {
  const id = databaseId.safeParse(Buffer.from(cursor, 'base64url').toString('ascii'));
  if (id.success) return id.data;
  context.addIssue({ code: 'custom', message: 'must be a `next` of an earlier answer' });
  return z.NEVER;
}
