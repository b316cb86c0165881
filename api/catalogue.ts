import { getProduct, listProducts, productsQuery } from './contract/products.ts';
import { productAfter } from './cursors.ts';
import type { ApiDeps } from './deps.ts';
import { sendTagged } from './etag.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { noSuchProduct, productIdOf } from './product-for.ts';
import { loadPage, loadProduct, withLag } from './products.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';

/** The public catalogue: active products, read from the view and cached. What is bought is decided elsewhere. */
export function catalogueRoutes({ databases: { views }, cache }: ApiDeps): readonly Route[] {
  return [
    route(listProducts, async (req, res) => {
      const { cursor, limit, search, category } = parsed(productsQuery, req.query);
      const filter = { after: cursor === undefined ? undefined : productAfter(cursor), limit, search, category };
      const key = `products:${JSON.stringify([filter.after ?? 0, limit, search ?? null, category ?? null])}`;
      const load = () => within(READ_LIMIT_MS, loadPage(views, filter));
      const page = await within(READ_LIMIT_MS, cache.get(key, load));
      res.set('Cache-Control', 'no-cache');
      sendTagged(req, res, page.etag, withLag(page));
    }),
    route(getProduct, async (req, res) => {
      const id = productIdOf(req.params['productId']);
      const load = () => within(READ_LIMIT_MS, loadProduct(views, id));
      const product = await within(READ_LIMIT_MS, cache.get(`product:${id}`, load));
      if (product === undefined) throw noSuchProduct();
      res.set('Cache-Control', 'no-cache');
      sendTagged(req, res, product.etag, withLag(product));
    }),
  ];
}
