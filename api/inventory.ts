import { adjustStock } from '../activities/inventory/administration.ts';
import { readStock } from '../activities/inventory/read-stock.ts';
import { callerOf } from './auth.ts';
import { adjustmentBody, adjustStock as operation, getStock, stockQuery } from './contract/inventory.ts';
import { ledgerAfter, ledgerCursor } from './cursors.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { noSuchProduct, productIdOf } from './product-for.ts';
import { idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';
import { type Route, route } from './routes.ts';

/** What is left, and corrections of it, for administrators. A repeated correction gets the first answer again. */
export function inventoryRoutes({ databases: { platform } }: ApiDeps): readonly Route[] {
  return [
    // Before the other path, whose parameter would take it for a product.
    route(operation, async (req, res) => {
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
    }),
    route(getStock, async (req, res) => {
      const id = productIdOf(req.params['productId']);
      const { cursor, limit } = parsed(stockQuery, req.query);
      const before = cursor === undefined ? null : ledgerAfter(cursor);
      const page = await within(READ_LIMIT_MS, readStock(platform, { productId: id, before, limit: limit + 1 }));
      if (page === undefined) throw noSuchProduct();
      const ledger = page.ledger.slice(0, limit);
      const last = page.ledger.length > limit ? ledger.at(-1) : undefined;
      const next = last === undefined ? null : ledgerCursor(last.ledgerId);
      res.set('Cache-Control', 'private, no-cache').json({ productId: id, stock: page.stock, ledger, next });
    }),
  ];
}
