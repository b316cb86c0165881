import pg from 'pg';

/** The services that store events. */
export const EVENT_SERVICES = ['platform', 'order', 'payment'] as const;
export type EventService = (typeof EVENT_SERVICES)[number];

/** The databases that the audit reads itself. The gateway is asked over HTTP. */
export const AUDITED = [...EVENT_SERVICES, 'bus', 'views'] as const;
export type AuditedDatabase = (typeof AUDITED)[number];

/** Thrown when something needed cannot be read, so that nothing can be said. Its message is one actionable line. */
export class CannotLook extends Error {
  /** What cannot be read, in words that give no address away. */
  readonly what: string;

  constructor(message: string, { what = 'its settings', ...options }: ErrorOptions & Readonly<{ what?: string }> = {}) {
    super(message, options);
    this.what = what;
  }
}

/** One database as it was at one instant, whatever is written meanwhile. */
export type Snapshot = Readonly<{
  /** @throws CannotLook naming the database */
  query: <R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<R[]>;
}>;
export type Snapshots = Readonly<Record<AuditedDatabase, Snapshot>>;

/** For whoever may not look as long as it takes. */
export type LookLimits = Readonly<{
  /** Ends it: connections are closed, whatever they are at. */
  signal?: AbortSignal;
  /** Of one statement, milliseconds. */
  statementMs?: number;
}>;

const CONNECTION_LIMIT_MS = 5_000;
/** A fold over millions of ledger rows takes minutes on a small server, not hours. */
const STATEMENT_LIMIT_MS = 15 * 60_000;
/** While one database is paged through, another waits inside its transaction. */
const IDLE_LIMIT_MS = 30 * 60_000;

/**
 * Opens the databases that `names` asks for, read-only and all at the same moment, and closes them after `work`.
 *
 * @throws CannotLook naming the database that cannot be reached or read
 */
export async function withSnapshots<T>(
  urls: Readonly<Partial<Record<AuditedDatabase, string>>>,
  names: readonly AuditedDatabase[],
  work: (snapshots: Snapshots) => Promise<T>,
  { signal, statementMs = STATEMENT_LIMIT_MS }: LookLimits = {},
): Promise<T> {
  const clients = new Map<AuditedDatabase, pg.Client>();
  /** A client with a statement under way closes its socket; the server ends that one by its own limit. */
  const stop = (): void => clients.forEach((client) => void client.end().catch(() => undefined));
  const urlOf = (name: AuditedDatabase): string => urls[name] ?? '';
  const ask = <R extends pg.QueryResultRow>(name: AuditedDatabase, text: string, values: readonly unknown[] = []) =>
    readable(name, urlOf(name), async () => {
      signal?.throwIfAborted();
      const client = clients.get(name);
      if (client === undefined) throw new Error('it was not opened for this audit');
      return (await client.query<R>(text, [...values])).rows;
    });
  signal?.addEventListener('abort', stop);
  try {
    await together(names, async (name) => {
      const client = new pg.Client({
        connectionString: urlOf(name),
        connectionTimeoutMillis: CONNECTION_LIMIT_MS,
        application_name: 'commerce-saga audit',
        keepAlive: true,
      });
      client.on('error', () => undefined); // the statement that meets the lost connection says so
      clients.set(name, client);
      await readable(name, urlOf(name), () => client.connect());
      for (const setting of settingsWith(statementMs)) await ask(name, setting);
      await ask(name, 'begin isolation level repeatable read read only');
      if (name === 'views') await ask(name, HOLD_VIEWS);
    });
    await together(names, (name) => ask(name, 'select 1')); // the first statement fixes the instant
    const snapshot = (name: AuditedDatabase): Snapshot => ({ query: (text, values) => ask(name, text, values) });
    return await work(Object.fromEntries(AUDITED.map((name) => [name, snapshot(name)])) as Snapshots);
  } finally {
    signal?.removeEventListener('abort', stop);
    await Promise.allSettled([...clients.values()].map((client) => client.end()));
  }
}

const settingsWith = (statementMs: number): readonly string[] => [
  'set default_transaction_read_only = on',
  `set statement_timeout = ${statementMs}`,
  `set idle_in_transaction_session_timeout = ${IDLE_LIMIT_MS}`,
  // From PostgreSQL 17 on there is a limit of the whole transaction, which the service's role has short.
  `select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'`,
];

/**
 * Before the instant is fixed, and in the order in which a rebuild exchanges them: tables that come in their place later
 * would look empty from here.
 */
const HOLD_VIEWS = `lock table mv_users, mv_user_orders, mv_user_totals, mv_products, mv_product_stock,
  mv_product_purchases, mv_orders, mv_payments, mv_order_sales, mv_daily_sales in access share mode`;

/** All of them to their end, so that nothing is left running; then the first failure, in the order of the names. */
async function together(names: readonly AuditedDatabase[], work: (name: AuditedDatabase) => Promise<unknown>) {
  const ends = await Promise.allSettled(names.map(work));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

async function readable<T>(name: AuditedDatabase, url: string, action: () => Promise<T>): Promise<T> {
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
  return new CannotLook(line, { cause: error, what: `database ${name}` });
}

/** A driver's error may have no message of its own, only those of the addresses it tried. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  const text = error instanceof Error ? error.message || error.name : String(error);
  return (text.split('\n')[0] ?? '').replace(/\.$/, '');
}
