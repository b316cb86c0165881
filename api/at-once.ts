import type { RequestHandler, Response } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import { callerOf } from './auth.ts';

const RETRY_AFTER_S = 1;

/**
 * So many requests at a time of one caller, for what costs much: one more is refused with 429. It comes after the check of
 * the caller's role, and counts a request until its answer is sent or its client is gone.
 */
export function atOnce(most: number): RequestHandler {
  const places = new Places();
  return (_req, res, next) => {
    const { id } = callerOf(res);
    if (places.of(id) >= most) {
      res.set('Retry-After', String(RETRY_AFTER_S));
      throw new CheckoutError('TOO_MANY_REQUESTS', `ask for at most ${most} of these at a time`);
    }
    places.take(id, res);
    next();
  };
}

/** What callers have open in this process. */
export class Places {
  readonly #perCaller = new Map<string, number>();
  #taken = 0;

  /** Of all callers, and how many these are. */
  get taken(): number {
    return this.#taken;
  }
  get callers(): number {
    return this.#perCaller.size;
  }

  of(callerId: string): number {
    return this.#perCaller.get(callerId) ?? 0;
  }

  /** Until the response is closed, however that comes; none for one whose client is gone already. */
  take(callerId: string, res: Response): void {
    if (res.destroyed) return; // its `close` was told before, and would never give the place back
    this.#perCaller.set(callerId, this.of(callerId) + 1);
    this.#taken += 1;
    res.once('close', () => {
      const left = this.of(callerId) - 1;
      if (left > 0) this.#perCaller.set(callerId, left);
      else this.#perCaller.delete(callerId);
      this.#taken -= 1;
    });
  }
}
