import type { RequestHandler } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';

import { CheckoutError } from '../domain/errors.ts';
import { limitKeyOf } from './auth.ts';

const WINDOW_MS = 60_000;

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
    handler: (_req, _res, next) => next(new CheckoutError('TOO_MANY_REQUESTS', 'too many requests; slow down')),
    // Anybody can send this header; it says nothing about how we are deployed.
    validate: { xForwardedForHeader: false },
  });
