import { isGrpcServiceError, WorkflowUpdateRPCTimeoutOrCancelledError } from '@temporalio/client';

import { KeysUnavailable } from '../infra/tokens.ts';

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

/** True for the errors of drivers that say "not now": the database or Temporal is away, overloaded or too slow. */
export function isOutage(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < LONGEST_CHAIN; e = e.cause, depth++) {
    if (e instanceof WorkflowUpdateRPCTimeoutOrCancelledError || e instanceof KeysUnavailable) return true;
    if (isGrpcServiceError(e)) return GRPC_OUTAGES.includes(e.code);
    if (OUTAGE_MESSAGE.test(e.message)) return true;
    if ('code' in e && typeof e.code === 'string' && OUTAGE_CODE.test(e.code)) return true;
    if (e.name === 'DriverAdapterError' && isObject(e.cause) && OUTAGE_KIND.test(String(e.cause['kind']))) return true;
  }
  return false;
}

const LONGEST_CHAIN = 6;
/** CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE. */
const GRPC_OUTAGES: readonly number[] = [1, 2, 4, 8, 10, 14];
/** Node's network errors · Prisma: cannot reach, time-out, closed, pool exhausted · PostgreSQL classes 08, 53, 57. */
const OUTAGE_CODE =
  /^(ECONN(REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|P10(01|02|08|17)|P2024|P2028|P2037|(08|53|57)...)$/;
/** Of node-postgres and its pool, which give these no code. */
const OUTAGE_MESSAGE =
  /^(Connection terminated( unexpectedly| due to connection timeout)?$|timeout exceeded when trying to connect$|Client has encountered a connection error)/;
/** Of Prisma's driver adapters. */
const OUTAGE_KIND = /^(DatabaseNotReachable|ConnectionClosed|TlsConnectionError|TooManyConnections|SocketTimeout)$/;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
