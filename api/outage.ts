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

/** True for what says "not now": the database or Temporal is away, overloaded or too slow, or somebody found it so. */
export function isOutage(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < LONGEST_CHAIN; e = e.cause, depth++) {
    if (e instanceof Unavailable || e instanceof KeysUnavailable) return true;
    if (e instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
    if (isGrpcServiceError(e)) return GRPC_OUTAGES.includes(e.code);
    if (OUTAGE_MESSAGE.test(e.message)) return true;
    if ('code' in e && typeof e.code === 'string' && OUTAGE_CODE.test(e.code)) return true;
    if (isDriverOutage(e)) return true;
  }
  return false;
}

/** True for every error of a call to Temporal, whatever its code: the server may have acted before it gave up. */
export function isTemporalError(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return isGrpcServiceError(cause);
}

/**
 * What Prisma's driver adapter says. Prisma has no code of its own for most errors of PostgreSQL and puts what the
 * adapter said below `meta`, not below `cause`.
 */
function isDriverOutage(error: Error): boolean {
  const meta = 'meta' in error && isObject(error.meta) ? error.meta['driverAdapterError'] : undefined;
  const said = error.name === 'DriverAdapterError' ? error : meta;
  if (!isObject(said) || !isObject(said['cause'])) return false;
  const { kind, originalCode } = said['cause'];
  return OUTAGE_KIND.test(String(kind)) || OUTAGE_SQLSTATE.test(String(originalCode));
}

const LONGEST_CHAIN = 6;
/** CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE. */
const GRPC_OUTAGES: readonly number[] = [1, 2, 4, 8, 10, 14];
/** Node's network errors · Prisma: cannot reach, time-out, closed, pool exhausted · PostgreSQL's, from node-postgres. */
const OUTAGE_CODE =
  /^(ECONN(REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|P10(01|02|08|17)|P2024|P2028|P2037|(08|53|57)...)$/;
/**
 * Of PostgreSQL: connection lost, too little of something, shut down, starting up or statement time-out; a transaction
 * that took too long or waited too long for a lock, or that lost against another one.
 */
const OUTAGE_SQLSTATE = /^((08|53|57)...|25P0[234]|55P03|40001|40P01)$/;
/** Of node-postgres and its pool, which give these no code. */
const OUTAGE_MESSAGE =
  /^(Connection terminated( unexpectedly| due to connection timeout)?$|timeout exceeded when trying to connect$|Client has encountered a connection error)/;
/** Of Prisma's driver adapters. */
const OUTAGE_KIND = /^(DatabaseNotReachable|ConnectionClosed|TlsConnectionError|TooManyConnections|SocketTimeout)$/;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
