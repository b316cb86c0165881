import { type Response, Router } from 'express';
import { z } from 'zod';

import { callerOf, only } from './auth.ts';
import { jsonBody } from './body.ts';
import { plainText } from './contract/fields.ts';
import type { ApiDeps } from './deps.ts';
import { orderIdOf } from './order-for.ts';
import { notAllowed } from './problem.ts';
import { parsed } from './requests.ts';
import { mustBelongTo, resolveFirst, resolveOrder } from './resolutions.ts';

const ROUTE = '/v1/admin/orders/:orderId/resolve';
/** So much of it fits into the order's history. */
const LONGEST_REASON = 400;

const resolveBody = z.strictObject({
  action: z.enum(['retry', 'markDone']),
  reason: plainText(LONGEST_REASON),
  workflowId: z
    .string()
    .max(400)
    .regex(/^(checkout|repair|refund|webhook)-[\x21-\x7e]+$/, 'must be a `workflowId` of GET /v1/admin/attention')
    .optional(),
});

/**
 * A person's decision about the parked steps of an order: they are tried again at once, or count as done. Without
 * `workflowId` it is the order's checkout, or else its repair, or else its only parked refund or webhook; 409 where
 * nothing of it is parked.
 */
export function resolveRoutes({ temporal }: ApiDeps): Router {
  return Router()
    .post(ROUTE, only('admin'), ...jsonBody, async (req, res: Response) => {
      const orderId = orderIdOf(req.params['orderId']);
      const { workflowId, ...asked } = parsed(resolveBody, req.body);
      const decision = { ...asked, by: callerOf(res).id };
      if (workflowId !== undefined) await mustBelongTo(temporal, workflowId, orderId);
      const resolved =
        workflowId === undefined
          ? await resolveOrder(temporal, orderId, decision)
          : await resolveFirst(temporal, [workflowId], decision);
      res.json(resolved);
    })
    .all(ROUTE, notAllowed('POST'));
}
