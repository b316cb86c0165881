import { Router } from 'express';
import { z } from 'zod';

import { CheckoutError } from '../domain/errors.ts';
import { databaseId, plainText } from './contract/fields.ts';
import { LONGEST_CURSOR, productAfter } from './cursors.ts';
import type { ApiDeps } from './deps.ts';
import { sendTagged } from './etag.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { notAllowed } from './problem.ts';
import { loadPage, loadProduct, withLag } from './products.ts';
import { parsed } from './requests.ts';

const LARGEST_PAGE = 100;

const listQuery = z.strictObject({
  search: plainText(100).optional(),
  category: z
    .string()
    .regex(/^[a-z0-9-]{1,120}$/, 'must be the slug of a category')
    .optional(),
  cursor: z.string().max(LONGEST_CURSOR).optional(),
  limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(20),
});

/** The public catalogue: active products, read from the view and cached. What is bought is decided elsewhere. */
export function catalogueRoutes({ databases: { views }, cache }: ApiDeps): Router {
  return Router()
    .get('/v1/products', async (req, res) => {
      const { cursor, limit, search, category } = parsed(listQuery, req.query);
      const filter = { after: cursor === undefined ? undefined : productAfter(cursor), limit, search, category };
      const key = `products:${JSON.stringify([filter.after ?? 0, limit, search ?? null, category ?? null])}`;
      const load = () => within(READ_LIMIT_MS, loadPage(views, filter));
      const page = await within(READ_LIMIT_MS, cache.get(key, load));
      res.set('Cache-Control', 'no-cache');
      sendTagged(req, res, page.etag, withLag(page));
    })
    .all('/v1/products', notAllowed('GET, HEAD, POST'))
    .get('/v1/products/:productId', async (req, res) => {
      const id = databaseId.safeParse(req.params.productId);
      if (!id.success) throw noSuchProduct();
      const load = () => within(READ_LIMIT_MS, loadProduct(views, id.data));
      const product = await within(READ_LIMIT_MS, cache.get(`product:${id.data}`, load));
      if (product === undefined) throw noSuchProduct();
      res.set('Cache-Control', 'no-cache');
      sendTagged(req, res, product.etag, withLag(product));
    })
    .all('/v1/products/:productId', notAllowed('GET, HEAD, PATCH'));
}

const noSuchProduct = (): CheckoutError => new CheckoutError('NOT_FOUND', 'there is no such product');
