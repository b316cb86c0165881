import { adjustStock } from '../activities/inventory/administration.ts';
import { callerOf } from './auth.ts';
import { adjustmentBody, adjustStock as operation } from './contract/inventory.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';
import { type Route, route } from './routes.ts';

/** Corrections of stock, by administrators. The same key gets the first answer again. */
export function inventoryRoutes({ databases: { platform } }: ApiDeps): readonly Route[] {
  return [
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
  ];
}
