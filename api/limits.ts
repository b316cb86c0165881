import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { ipKeyGenerator, rateLimit, type Store } from 'express-rate-limit';

import { CheckoutError } from '../domain/errors.ts';
import type { RequestCounters } from '../infra/request-counters.ts';
import { limitKeyOf } from './auth.ts';

const WINDOW_MS = 60_000;

/** Webhooks from one address within a minute that we refused. */
const REFUSED_WEBHOOKS = 6_000;

/**
 * For what was refused of the provider's webhooks, by address: beyond the limit every refusal becomes 429. It stands
 * behind the routes, so a genuine event comes through whatever others send from the same address, and so does its repeat
 * after an outage of ours.
 */
export function refusedWebhookLimit(counters: RequestCounters, perMinute = REFUSED_WEBHOOKS): ErrorRequestHandler {
  const count = limited(counters.store('refused-webhooks'), perMinute, (req) => ipKeyGenerator(req.ip ?? ''));
  return (error: unknown, req, res, next) => {
    if (!isRefused(error)) return next(error);
    void count(req, res, (tooMany?: unknown) => next(tooMany ?? error));
  };
}

/** By us, or by the parser of bodies: anything else is an outage or a mistake of ours. */
const isRefused = (error: unknown): boolean =>
  error instanceof CheckoutError ||
  (error instanceof Error && 'status' in error && Number(error.status) >= 400 && Number(error.status) < 500);

/**
 * So many requests a minute per caller, or per address (an IPv6 /56) without a good token, over all processes that count
 * together. Every answer says in `RateLimit` how many are left.
 */
export const requestLimit = (counters: RequestCounters, perMinute: number): RequestHandler =>
  limited(counters.store('requests'), perMinute, (req, res) => limitKeyOf(req, res) ?? ipKeyGenerator(req.ip ?? ''));

const limited = (store: Store, perMinute: number, keyOf: (req: Request, res: Response) => string): RequestHandler =>
  rateLimit({
    store,
    windowMs: WINDOW_MS,
    limit: perMinute,
    standardHeaders: 'draft-7',
    legacyHeaders: false,
    keyGenerator: keyOf,
    handler: (_req, _res, next) => next(new CheckoutError('TOO_MANY_REQUESTS', 'too many requests; slow down')),
    // Anybody can send this header; it says nothing about how we are deployed.
    validate: { xForwardedForHeader: false },
  });
