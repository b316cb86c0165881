import { type RequestHandler, Router } from 'express';

import type { Databases } from '../infra/databases.ts';
import { GatewayError } from './answers.ts';
import { addFault, clearFaults, type Holds, listFaults } from './faults.ts';
import { forgetKeys } from './keys.ts';
import {
  authorizeBody,
  expireBody,
  faultBody,
  keysQuery,
  parse,
  providerIdOf,
  transferBody,
  transferToBody,
} from './requests.ts';
import * as shopper from './shopper.ts';

/** What a test or a demonstration does behind the shop's back. Not mounted in production. */
export function controlRoutes(db: Databases['gateway'], holds: Holds, changed: () => void): Router {
  const routes = Router();

  routes.put('/faults', jsonOnly, async (req, res) => {
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
  /** Lets every held answer go; the scripts stay. */
  routes.delete('/holds', (_req, res) => {
    holds.releaseAll();
    res.json({ holding: [] });
  });
  /** Forgets settled keys as if their time had passed. */
  routes.delete('/keys', async (req, res) => {
    res.json({ forgotten: await forgetKeys(db, parse(keysQuery, req.query).orderId) });
  });

  /** The shopper transfers the amount, or another one. */
  routes.post('/charges/:id/transfer', jsonOnly, async (req, res) => {
    const { amount } = parse(transferBody, req.body) ?? {};
    res.json(await shopper.transfer(db, providerIdOf(req), amount));
    changed();
  });
  /** The same by the account's number, which is all that a shopper is told. */
  routes.post('/transfers', jsonOnly, async (req, res) => {
    res.json(await shopper.transferTo(db, parse(transferToBody, req.body)));
    changed();
  });
  /** The card's owner agrees at the bank, or does not. */
  routes.post('/charges/:id/authorize', jsonOnly, async (req, res) => {
    const { outcome } = parse(authorizeBody, req.body);
    res.json(await shopper.authorize(db, providerIdOf(req), outcome));
    changed();
  });
  /** What waits for the shopper is closed by the provider. */
  routes.post('/charges/:id/expire', jsonOnly, async (req, res) => {
    parse(expireBody, req.body);
    res.json(await shopper.expire(db, providerIdOf(req)));
    changed();
  });

  return routes;
}

/** A web page of somebody else can make a browser send everything but JSON, without asking whether it may. */
const jsonOnly: RequestHandler = (req, _res, next) => {
  if (/^application\/json\s*(;|$)/i.test(req.get('content-type') ?? '')) return next();
  throw new GatewayError('unsupported_media_type', 'controls take application/json alone');
};
