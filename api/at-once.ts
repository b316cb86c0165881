import type { RequestHandler } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import { callerOf } from './auth.ts';

const RETRY_AFTER_S = 1;

/**
 * So many requests at a time of one caller, for what costs much: one more is refused with 429. It comes after the check of
 * the caller's role, and counts a request until its answer is sent or its client is gone.
 */
export function atOnce(most: number): RequestHandler {
  const running = new Map<string, number>();
  return (_req, res, next) => {
    const { id } = callerOf(res);
    const own = running.get(id) ?? 0;
    if (own >= most) {
      res.set('Retry-After', String(RETRY_AFTER_S));
      throw new CheckoutError('TOO_MANY_REQUESTS', `ask for at most ${most} of these at a time`);
    }
    if (!res.destroyed) {
      running.set(id, own + 1);
      res.once('close', () => {
        const left = (running.get(id) ?? 1) - 1;
        if (left > 0) running.set(id, left);
        else running.delete(id);
      });
    }
    next();
  };
}
