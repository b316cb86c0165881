import type { RequestHandler } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';

import { CheckoutError } from '../domain/errors.ts';
import { limitKeyOf } from './auth.ts';

const WINDOW_MS = 60_000;

/** Webhooks from one address within a minute that we refused. */
const REFUSED_WEBHOOKS = 6_000;

/**
 * For the provider's webhooks, by address: whatever shoppers do, the provider comes through. Only what is refused counts,
 * so that no number of genuine events is too many, and neither is their repeat after an outage of ours.
 */
export const webhookLimit = (refusedPerMinute = REFUSED_WEBHOOKS): RequestHandler =>
  rateLimit({
    windowMs: WINDOW_MS,
    limit: refusedPerMinute,
    standardHeaders: 'draft-7',
    legacyHeaders: false,
    skipSuccessfulRequests: true,
    requestWasSuccessful: (_req, { statusCode }) => statusCode < 400 || statusCode >= 500,
    keyGenerator: (req) => ipKeyGenerator(req.ip ?? ''),
    handler: (_req, _res, next) => next(tooMany()),
    validate: { xForwardedForHeader: false },
  });

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
