/**
 * True for what says "not now": the database is away, overloaded, too slow or shutting down, or the transaction lost
 * against another one. The same work may well succeed later.
 */
export const isDatabaseOutage = (error: unknown): boolean =>
  isDatabaseAway(error) || someCause(error, (e) => says(e, SLOW_CODE, SLOW_SQLSTATE));

/**
 * True where the database, or another server, could not be asked at all: it says nothing about the work. Unlike what
 * took too long or waited too long for a lock, which may be the work's own fault and fail the same way for ever.
 */
export const isDatabaseAway = (error: unknown): boolean =>
  someCause(error, (e) => {
    if (AWAY_MESSAGE.test(e.message) || says(e, AWAY_CODE, AWAY_SQLSTATE)) return true;
    return AWAY_KIND.test(String(adapterCauseOf(e)['kind']));
  });

/** PostgreSQL's own code for what a statement met, whichever of our clients ran it. */
export function sqlStateOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { originalCode } = adapterCauseOf(error);
  if (typeof originalCode === 'string') return originalCode;
  return 'code' in error && typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}

function someCause(error: unknown, is: (e: Error) => boolean): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < LONGEST_CHAIN; e = e.cause, depth++) {
    if (is(e)) return true;
  }
  return false;
}

/** By the code of Node, Prisma or node-postgres, or by PostgreSQL's below what the driver adapter said. */
function says(error: Error, code: RegExp, sqlState: RegExp): boolean {
  const own = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return code.test(own) || sqlState.test(own) || sqlState.test(String(adapterCauseOf(error)['originalCode']));
}

/**
 * What Prisma's driver adapter says. Prisma has no code of its own for most errors of PostgreSQL and puts what the
 * adapter said below `meta`, not below `cause`.
 */
function adapterCauseOf(error: Error): Record<string, unknown> {
  const meta = 'meta' in error && isObject(error.meta) ? error.meta['driverAdapterError'] : undefined;
  const said: unknown = error.name === 'DriverAdapterError' ? error : meta;
  return isObject(said) && isObject(said['cause']) ? said['cause'] : {};
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const LONGEST_CHAIN = 6;
/** Node's network errors · Prisma: cannot reach, time-out, closed, no connection in the pool. */
const AWAY_CODE = /^(ECONN(REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|P10(01|02|08|17)|P2024|P2037)$/;
/** Of PostgreSQL: connection lost, too little of something, shut down, starting up, or a standby after a switch-over. */
const AWAY_SQLSTATE = /^((08|53)...|57P..|25006)$/;
/** Of node-postgres and its pool, which give these no code, and of Prisma, whose P2028 says several things. */
const AWAY_MESSAGE = new RegExp(
  [
    '^Connection terminated( unexpectedly| due to connection timeout)?$',
    '^timeout exceeded when trying to connect$',
    '^Query read timeout$',
    '^Client was closed and is not queryable$',
    '^Client has encountered a connection error',
    'Unable to start a transaction in the given time',
  ].join('|'),
);
/** Of Prisma's driver adapters. */
const AWAY_KIND = /^(DatabaseNotReachable|ConnectionClosed|TlsConnectionError|TooManyConnections|SocketTimeout)$/;
/** Of Prisma: the transaction was closed by its time limit, or lost against another one. */
const SLOW_CODE = /^(P2028|P2034)$/;
/**
 * Of PostgreSQL: statement time-out; a transaction that took too long or waited too long for a lock, or that lost against
 * another one.
 */
const SLOW_SQLSTATE = /^(57...|25P0[234]|55P03|40001|40P01)$/;
