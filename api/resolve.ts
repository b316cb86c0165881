import { callerOf } from './auth.ts';
import { resolveBody, resolveParked } from './contract/admin.ts';
import type { ApiDeps } from './deps.ts';
import { orderIdOf } from './order-for.ts';
import { parsed } from './requests.ts';
import { mustBelongTo, resolveFirst, resolveOrder } from './resolutions.ts';
import { type Route, route } from './routes.ts';

/**
 * A person's decision about the parked steps of an order: they are tried again at once, or count as done. Without
 * `workflowId` it is the order's checkout, or else its repair, or else its only parked refund or webhook; 409 where
 * nothing of it is parked.
 */
export function resolveRoutes({ temporal }: ApiDeps): readonly Route[] {
  return [
    route(resolveParked, async (req, res) => {
      const orderId = orderIdOf(req.params['orderId']);
      const { workflowId, ...asked } = parsed(resolveBody, req.body);
      const decision = { ...asked, by: callerOf(res).id };
      if (workflowId !== undefined) await mustBelongTo(temporal, workflowId, orderId);
      const resolved =
        workflowId === undefined
          ? await resolveOrder(temporal, orderId, decision)
          : await resolveFirst(temporal, [workflowId], decision);
      res.json(resolved);
    }),
  ];
}
