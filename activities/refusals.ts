import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';

import { CheckoutError, type Refusal } from '../domain/errors.ts';

type Activity = (...args: never[]) => Promise<unknown>;

/**
 * The border to Temporal: a CheckoutError becomes a failure that nobody retries and whose `type` is the code, because
 * error classes do not survive the journey. Everything else stays the driver's own error, which Temporal retries.
 */
export function withRefusals<T extends Record<string, Activity>>(activities: T): T {
  const wrapped = Object.entries(activities).map(([name, run]) => [
    name,
    async (...args: never[]): Promise<unknown> => {
      try {
        return await run(...args);
      } catch (error) {
        if (error instanceof CheckoutError) throw failureOf(error);
        throw askedToWait(error) ? later(error) : error;
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

/** Somebody said when to come back, such as a gateway by Retry-After. */
const askedToWait = (error: unknown): error is Error & Readonly<{ retryAfterMs: number }> =>
  error instanceof Error && 'retryAfterMs' in error && typeof error.retryAfterMs === 'number';

/** An outage whose next attempt comes when it was asked for, within reason. */
const later = (error: Error & Readonly<{ retryAfterMs: number }>): ApplicationFailure =>
  ApplicationFailure.create({
    type: error.name,
    message: error.message,
    nextRetryDelay: Math.min(error.retryAfterMs, LONGEST_DELAY_MS),
    cause: error,
  });

const LONGEST_DELAY_MS = 60_000;

/** A refusal is business as usual: it is neither logged as a warning nor counted as an error. */
const failureOf = ({ code, message, detail }: CheckoutError): ApplicationFailure =>
  ApplicationFailure.create({
    type: code,
    message,
    details: [detail],
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
  });

/** Throws a refusal that was found on record. */
export function throwRefusal({ code, message, detail }: Refusal): never {
  throw new CheckoutError(code, message, detail);
}
