import type { ErrorRequestHandler, RequestHandler } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';

import { CheckoutError } from '../domain/errors.ts';
import { limitKeyOf } from './auth.ts';

const WINDOW_MS = 60_000;

/** Webhooks from one address within a minute that we refused. */
const REFUSED_WEBHOOKS = 6_000;

/**
 * For what was refused of the provider's webhooks, by address: beyond the limit every refusal becomes 429. It stands
 * behind the routes, so a genuine event comes through whatever others send from the same address, and so does its repeat
 * after an outage of ours.
 */
export function refusedWebhookLimit(refusedPerMinute = REFUSED_WEBHOOKS): ErrorRequestHandler {
  const count = rateLimit({
    windowMs: WINDOW_MS,
    limit: refusedPerMinute,
    standardHeaders: 'draft-7',
    legacyHeaders: false,
    keyGenerator: (req) => ipKeyGenerator(req.ip ?? ''),
    handler: (_req, _res, next) => next(tooMany()),
    validate: { xForwardedForHeader: false },
  });
  return (error: unknown, req, res, next) => {
    if (!isRefused(error)) return next(error);
    void count(req, res, (limited?: unknown) => next(limited ?? error));
  };
}

/** By us, or by the parser of bodies: anything else is an outage or a mistake of ours. */
const isRefused = (error: unknown): boolean =>
  error instanceof CheckoutError ||
  (error instanceof Error && 'status' in error && Number(error.status) >= 400 && Number(error.status) < 500);

/**
 * So many requests a minute per caller, or per address (an IPv6 /56) without a good token. The counters are this
 * process's own: with several API processes each allows the limit.
 */
export const requestLimit = (perMinute: number): RequestHandler =>
  rateLimit({
    windowMs: WINDOW_MS,
    limit: perMinute,
    standardHeaders: 'draft-7',
    legacyHeaders: false,
    keyGenerator: (req, res) => limitKeyOf(req, res) ?? ipKeyGenerator(req.ip ?? ''),
    handler: (_req, _res, next) => next(tooMany()),
    // Anybody can send this header; it says nothing about how we are deployed.
    validate: { xForwardedForHeader: false },
  });

const tooMany = (): CheckoutError => new CheckoutError('TOO_MANY_REQUESTS', 'too many requests; slow down');
