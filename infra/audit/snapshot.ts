import pg from 'pg';

/** The service databases that the audit reads itself. The gateway is asked over HTTP. */
export const AUDITED = ['platform', 'order', 'payment'] as const;
export type AuditedDatabase = (typeof AUDITED)[number];

/** Thrown when something needed cannot be read, so that nothing can be said. Its message is one actionable line. */
export class CannotLook extends Error {}

/** One database as it was at one instant, whatever is written meanwhile. */
export type Snapshot = Readonly<{
  /** @throws CannotLook naming the database */
  query: <R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<R[]>;
}>;
export type Snapshots = Readonly<Record<AuditedDatabase, Snapshot>>;

const CONNECTION_LIMIT_MS = 5_000;
/** A fold over millions of ledger rows takes minutes on a small server, not hours. */
const STATEMENT_LIMIT_MS = 15 * 60_000;
/** While one database is paged through, another waits inside its transaction. */
const IDLE_LIMIT_MS = 30 * 60_000;

/**
 * Opens the databases that `names` asks for, all at the same moment, read-only, and closes them after `work`. Asking a
 * database that was not opened is a mistake of ours and throws.
 *
 * @throws CannotLook naming the database that cannot be reached or read
 */
export async function withSnapshots<T>(
  urls: Readonly<Record<AuditedDatabase, string>>,
  names: readonly AuditedDatabase[],
  work: (snapshots: Snapshots) => Promise<T>,
): Promise<T> {
  const clients: pg.Client[] = [];
  const open = async (name: AuditedDatabase): Promise<Snapshot> => {
    if (!names.includes(name)) return notOpened(name);
    const client = new pg.Client({
      connectionString: urls[name],
      connectionTimeoutMillis: CONNECTION_LIMIT_MS,
      application_name: 'commerce-saga audit',
      keepAlive: true,
    });
    client.on('error', () => undefined); // the statement that meets the lost connection says so
    clients.push(client);
    await read(name, urls[name], () => client.connect());
    await read(name, urls[name], () => client.query(BEGIN));
    return {
      query: async <R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
        (await read(name, urls[name], () => client.query<R>(text, [...values]))).rows,
    };
  };
  try {
    const opened = await Promise.allSettled(AUDITED.map(open));
    const [platform, order, payment] = opened.map((one) => {
      if (one.status === 'fulfilled') return one.value;
      throw one.reason;
    }) as [Snapshot, Snapshot, Snapshot];
    return await work({ platform, order, payment });
  } finally {
    await Promise.allSettled(clients.map((client) => client.end()));
  }
}

/** The last statement fixes the instant; `transaction_timeout` exists from PostgreSQL 17 on. */
const BEGIN = `
  set default_transaction_read_only = on;
  set statement_timeout = ${STATEMENT_LIMIT_MS};
  set idle_in_transaction_session_timeout = ${IDLE_LIMIT_MS};
  select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout';
  begin isolation level repeatable read read only;
  select 1`;

async function read<T>(name: AuditedDatabase, url: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw cannotRead(name, url, error);
  }
}

/** The one line about a database that cannot be used, with what to do. */
export function cannotRead(name: AuditedDatabase, url: string, error: unknown): CannotLook {
  const { host, pathname } = new URL(url);
  const variable = `${name.toUpperCase()}_DATABASE_URL`;
  const line = `Database ${name} (${host}${pathname}) cannot be read: ${reasonOf(error)}. Start it, or correct ${variable}.`;
  return new CannotLook(line, { cause: error });
}

/** A driver's error may have no message of its own, only those of the addresses it tried. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  const text = error instanceof Error ? error.message || error.name : String(error);
  return (text.split('\n')[0] ?? '').replace(/\.$/, '');
}

const notOpened = (name: AuditedDatabase): Snapshot => ({
  query: () => Promise.reject(new Error(`the database ${name} was not opened for this audit`)),
});
