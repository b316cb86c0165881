/**
 * True for what says "not now": the database is away, overloaded, too slow or shutting down, or the transaction lost
 * against another one. The same work may well succeed later; it says nothing about the work itself.
 */
export function isDatabaseOutage(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < LONGEST_CHAIN; e = e.cause, depth++) {
    if (OUTAGE_MESSAGE.test(e.message)) return true;
    if ('code' in e && typeof e.code === 'string' && (OUTAGE_CODE.test(e.code) || OUTAGE_SQLSTATE.test(e.code))) {
      return true;
    }
    if (isDriverOutage(e)) return true;
  }
  return false;
}

/**
 * What Prisma's driver adapter says. Prisma has no code of its own for most errors of PostgreSQL and puts what the
 * adapter said below `meta`, not below `cause`.
 */
function isDriverOutage(error: Error): boolean {
  const { kind, originalCode } = adapterCauseOf(error);
  return OUTAGE_KIND.test(String(kind)) || OUTAGE_SQLSTATE.test(String(originalCode));
}

/** PostgreSQL's own code for what a statement met, whichever of our clients ran it. */
export function sqlStateOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { originalCode } = adapterCauseOf(error);
  if (typeof originalCode === 'string') return originalCode;
  return 'code' in error && typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}

function adapterCauseOf(error: Error): Record<string, unknown> {
  const meta = 'meta' in error && isObject(error.meta) ? error.meta['driverAdapterError'] : undefined;
  const said: unknown = error.name === 'DriverAdapterError' ? error : meta;
  return isObject(said) && isObject(said['cause']) ? said['cause'] : {};
}

const LONGEST_CHAIN = 6;
/** Node's network errors · Prisma: cannot reach, time-out, closed, pool exhausted. */
const OUTAGE_CODE =
  /^(ECONN(REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|P10(01|02|08|17)|P2024|P2028|P2034|P2037)$/;
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
