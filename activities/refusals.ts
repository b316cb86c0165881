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
        throw error instanceof CheckoutError ? failureOf(error) : error;
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

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
