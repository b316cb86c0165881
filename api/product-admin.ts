import { randomUUID } from 'node:crypto';

import type { Response } from 'express';

import { type Product, productAdministration } from '../activities/inventory/products.ts';
import type { Money } from '../domain/money.ts';
import { requestIdFor } from '../events/ids.ts';
import { callerOf } from './auth.ts';
import { newProductBody, productChangeBody } from './contract/product-bodies.ts';
import { changeProduct, createProduct, type ProductBody } from './contract/products.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { productIdOf } from './product-for.ts';
import { expectedVersionsOf, idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';
import { type Route, route } from './routes.ts';

const ROUTE = createProduct.path;

/**
 * Products, by administrators. A repeated POST gets the first answer again; a PATCH that changes nothing does nothing.
 */
export function productAdminRoutes({ databases: { platform } }: ApiDeps): readonly Route[] {
  const products = productAdministration({ platform });
  return [
    route(createProduct, async (req, res) => {
      const caller = callerOf(res).id;
      const id = requestIdFor(ROUTE, caller, idempotencyKeyOf(req));
      const body = parsed(newProductBody, req.body);
      const work = products.create({ id, requestHash: requestHashOf(body), caller }, body);
      const { replayed, ...product } = await within(READ_LIMIT_MS, work);
      if (replayed) res.set('Idempotent-Replayed', 'true');
      send(res.status(201).location(`${ROUTE}/${product.productId}`), product);
    }),
    route(changeProduct, async (req, res) => {
      const productId = productIdOf(req.params['productId']);
      const expected = expectedVersionsOf(req);
      const changes = parsed(productChangeBody, req.body);
      const work = products.change({
        ...{ productId, changes, expected },
        caller: callerOf(res).id,
        requestHash: requestHashOf(changes),
        correlationId: randomUUID(),
      });
      send(res, await within(READ_LIMIT_MS, work));
    }),
  ];
}

/** The version is the ETag, for `If-Match`. Archived variants are shown here, which the public catalogue hides. */
function send(res: Response, product: Product): void {
  const { productId, sku, name, slug, description, brand, categorySlug, categoryName, status, version } = product;
  const money = (minor: number): Money => ({ minor, currency: product.currency });
  const maybe = (minor: number | null): Money | null => (minor === null ? null : money(minor));
  const body: ProductBody = {
    ...{ productId, sku, name, slug, description, brand, category: { slug: categorySlug, name: categoryName }, status },
    ...{ basePrice: money(product.basePriceMinor), salePrice: maybe(product.salePriceMinor) },
    primaryImageUrl: product.primaryImageUrl,
    variants: product.variants.map(({ priceMinor, ...variant }) => ({ ...variant, price: maybe(priceMinor) })),
    version,
  };
  res.set('ETag', `"${version}"`).json(body);
}
