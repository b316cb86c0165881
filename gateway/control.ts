import { Router } from 'express';

import type { Databases } from '../infra/databases.ts';
import { addFault, clearFaults, type Holds, listFaults } from './faults.ts';
import { forgetKeys } from './keys.ts';
import { faultBody, keysQuery, parse } from './requests.ts';

/** What a test or a demonstration does behind the shop's back. Not mounted in production. */
export function controlRoutes(db: Databases['gateway'], holds: Holds): Router {
  const routes = Router();

  routes.put('/faults', async (req, res) => {
    const script = parse(faultBody, req.body);
    res.json({ id: await addFault(db, script), ...script });
  });
  /** `holding`: the calls whose effect is committed and whose answer is held back right now. */
  routes.get('/faults', async (_req, res) => {
    res.json({ faults: await listFaults(db), holding: holds.list() });
  });
  /** Ends every script and lets every held answer go. */
  routes.delete('/faults', async (_req, res) => {
    await clearFaults(db);
    holds.releaseAll();
    res.json({ faults: [], holding: [] });
  });
  /** Forgets settled keys as if their time had passed. */
  routes.delete('/keys', async (req, res) => {
    res.json({ forgotten: await forgetKeys(db, parse(keysQuery, req.query).orderId) });
  });

  return routes;
}
