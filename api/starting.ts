import {
  isGrpcServiceError,
  NamespaceNotFoundError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

import { CheckoutError, isErrorCode } from '../domain/errors.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import { isOutage, isTemporalError, Unavailable } from './outage.ts';

/** How long Temporal may take to say that it is there, milliseconds. */
const REACH_DEADLINE_MS = 2_000;

/** What a 503 says when nothing was started. */
const NOT_NOW = 'this cannot be started now; try again';

/**
 * What came of a start: its own answer · `started`: it may have started, and more is not known · `closed`: the same work
 * ran to its end before. Repeat-safe as far as the start is.
 *
 * @throws Unavailable only when it certainly did not start: whoever reads 503 may do it again with a new key
 * @throws CheckoutError when the workflow refused to be joined: it belongs to another request
 */
export async function starting<T>(
  temporal: TemporalClient,
  start: () => Promise<T>,
): Promise<T | 'started' | 'closed'> {
  await mustBeReachable(temporal);
  return startingReached(start);
}

/** As `starting`, where Temporal was reached a moment ago. */
export async function startingReached<T>(start: () => Promise<T>): Promise<T | 'started' | 'closed'> {
  try {
    return await start();
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError || error instanceof WorkflowNotFoundError)
      return 'closed';
    if (error instanceof WorkflowUpdateFailedError) return refusedUpdate(error);
    if (certainlyNotStarted(error)) throw new Unavailable(NOT_NOW, { cause: error });
    // Whatever else the server said, such as INTERNAL, it may have said after it had stored the start.
    if (isOutage(error) || isTemporalError(error)) return 'started';
    throw error;
  }
}

/**
 * Asks before anything is sent, because afterwards it is too late: the client repeats a broken call by itself, so a
 * connection refused at the last attempt does not tell what became of the first one.
 */
async function mustBeReachable({ connection }: TemporalClient): Promise<void> {
  try {
    await connection.withDeadline(Date.now() + REACH_DEADLINE_MS, () => connection.healthService.check({}));
  } catch (error) {
    throw new Unavailable(NOT_NOW, { cause: error });
  }
}

/** The validator said no, or the workflow ended between the update's acceptance and its answer. */
function refusedUpdate({ cause }: WorkflowUpdateFailedError): 'closed' {
  if (cause instanceof ApplicationFailure && isErrorCode(cause.type))
    throw new CheckoutError(cause.type, cause.message);
  return 'closed';
}

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;
const NEVER_EXECUTED: readonly number[] = [INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED];

/** True where the server said that it did nothing. A time-out or a lost connection says nothing. */
function certainlyNotStarted(error: unknown): boolean {
  if (error instanceof NamespaceNotFoundError) return true;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return isGrpcServiceError(cause) && NEVER_EXECUTED.includes(cause.code);
}
