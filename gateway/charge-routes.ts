import { type Request, Router } from 'express';

import type { PaymentMethod } from '../domain/payment.ts';
import { GatewayError } from './answers.ts';
import { type CallContext, serveCall } from './calls.ts';
import { confirm } from './confirm.ts';
import { once } from './keys.ts';
import * as operations from './operations.ts';
import * as requests from './requests.ts';
import { type Behaviour, behaviourOf, TRANSFER } from './tokens.ts';

/** Durations in milliseconds. */
export type GatewaySettings = Readonly<{
  /** How long a key and its answer are kept. */
  keyTtlMs: number;
  /** Processing time of `tok_slow`. */
  slowMs: number;
  /** How long a connection that never gets its answer stays open. */
  hangMs: number;
  /** How many attempts `tok_error_500` fails. */
  failures: number;
  /** Where a shopper's browser reaches the gateway; undefined: where its caller does. */
  publicUrl?: string | undefined;
}>;

/** What the shop calls. Every one of these may be scripted to go wrong. */
export function chargeRoutes(context: CallContext, { keyTtlMs, slowMs, failures, publicUrl }: GatewaySettings): Router {
  const { db } = context;
  const routes = Router();
  const chargeAt = async (providerId: string) => {
    const select = { orderId: true, method: true } as const;
    const charge = await db.charge.findUnique({ where: { id: providerId }, select });
    if (charge === null) throw new GatewayError('unknown_charge', 'there is no such charge');
    return { orderId: charge.orderId, method: charge.method as PaymentMethod };
  };

  routes.post('/charges', async (req, res) => {
    const key = requests.idempotencyKeyOf(req);
    const asked = requests.parse(requests.prepareBody, req.body);
    const { orderId, amount, method } = asked;
    const requestHash = requests.hashOf(orderId, amount.minor, amount.currency, method);
    await serveCall(context, res, { route: 'prepare', orderId }, () =>
      once(db, { route: 'prepare', key, requestHash }, keyTtlMs, (claim) => operations.prepare(db, claim, asked)),
    );
  });

  routes.post('/charges/:id/confirm', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    const key = requests.idempotencyKeyOf(req);
    const { token } = requests.parse(requests.confirmBody, req.body);
    const { orderId, method } = await chargeAt(providerId);
    const behaviour = behaviourFor(method, token);
    const requestHash = requests.hashOf(providerId, token ?? '');
    const rest = { providerId, behaviour, slowMs, failures, publicUrl: publicUrl ?? urlOf(req) };
    await serveCall(context, res, { route: 'confirm', orderId }, (fault, gone) =>
      once(db, { route: 'confirm', key, requestHash }, keyTtlMs, (claim) =>
        confirm(db, { claim, fault, gone, ...rest }),
      ),
    );
  });

  routes.get('/charges/:id', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    const { orderId } = await chargeAt(providerId);
    await serveCall(context, res, { route: 'lookup', orderId }, () => operations.lookup(db, providerId));
  });

  routes.post('/charges/:id/cancel', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    requests.parse(requests.cancelBody, req.body);
    const { orderId } = await chargeAt(providerId);
    await serveCall(context, res, { route: 'cancel', orderId }, () => operations.cancel(db, providerId));
  });

  routes.post('/charges/:id/refunds', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    const key = requests.idempotencyKeyOf(req);
    const { amount } = requests.parse(requests.refundBody, req.body);
    const { orderId } = await chargeAt(providerId);
    const requestHash = requests.hashOf(providerId, amount.minor, amount.currency);
    await serveCall(context, res, { route: 'refund', orderId }, (fault) =>
      once(db, { route: 'refund', key, requestHash }, keyTtlMs, (claim) =>
        operations.refund(db, claim, providerId, amount, fault),
      ),
    );
  });

  routes.get('/charges/:id/refunds', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    const { refundKey } = requests.parse(requests.refundsQuery, req.query);
    const { orderId } = await chargeAt(providerId);
    await serveCall(context, res, { route: 'list_refunds', orderId }, () =>
      operations.listRefunds(db, providerId, refundKey),
    );
  });

  return routes;
}

/** @throws GatewayError invalid_payment_method when the token does not fit the method, or is unknown */
function behaviourFor(method: PaymentMethod, token: string | undefined): Behaviour {
  if (method === 'bank_transfer' && token === undefined) return TRANSFER;
  const behaviour = method === 'card' && token !== undefined ? behaviourOf(token) : undefined;
  if (behaviour === undefined) throw new GatewayError('invalid_payment_method', 'no such payment method');
  return behaviour;
}

const urlOf = (req: Request): string => `${req.protocol}://${req.get('host') ?? 'localhost'}`;
