import { isGrpcServiceError, WorkflowUpdateRPCTimeoutOrCancelledError } from '@temporalio/client';

import { isDatabaseOutage } from '../infra/database-outage.ts';
import { KeysUnavailable } from '../infra/identity-keys.ts';
import { UndecryptablePayload } from '../infra/payload-codec.ts';

/** Thrown when a dependency is down and repeating the request later is harmless. Becomes 503 with Retry-After. */
export class Unavailable extends Error {
  constructor(message = 'a service behind this one does not answer; try again', options?: ErrorOptions) {
    super(message, options);
    this.name = 'Unavailable';
  }
}

/** Longest time a read may take: a paused database answers nothing and closes nothing. */
export const READ_LIMIT_MS = 8_000;

/**
 * The result of `work`, or Unavailable when it takes longer than `limitMs`. The work itself is not stopped.
 *
 * @param limitMs milliseconds
 */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Unavailable()), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** True for what says "not now": the database or Temporal is away, overloaded or too slow, or somebody found it so. */
export function isOutage(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < LONGEST_CHAIN; e = e.cause, depth++) {
    if (e instanceof Unavailable || e instanceof KeysUnavailable) return true;
    if (e instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
    if (e instanceof UndecryptablePayload) return true; // until this process has the key that the others encrypt with
    if (isGrpcServiceError(e)) return GRPC_OUTAGES.includes(e.code);
  }
  return isDatabaseOutage(error);
}

/** True for every error of a call to Temporal, whatever its code: the server may have acted before it gave up. */
export function isTemporalError(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return isGrpcServiceError(cause);
}

const LONGEST_CHAIN = 6;
/** CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE. */
const GRPC_OUTAGES: readonly number[] = [1, 2, 4, 8, 10, 14];
