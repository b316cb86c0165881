import pg from 'pg';

import { settledId } from './settled.ts';

export type ExportFilter = Readonly<{
  /** Only what comes after this cursor; from the first event on when null. */
  after: string | null;
  /** Only events made at this instant or later, ISO 8601. */
  from: string | null;
  /** Only these types; all when null. */
  types: readonly string[] | null;
}>;

/** One line of an export. `cursor`: the place to go on after. */
export type ExportedEvent = Readonly<{ cursor: string; event: Readonly<Record<string, unknown>> }>;

/** A page of rows; `upTo` is the cursor behind all that was looked at, with events or without. */
export type ExportPage = Readonly<{ events: readonly ExportedEvent[]; upTo: string }>;

/** Ids looked at in one statement, whatever the filter lets through: memory does not grow with the outbox. */
const PAGE = 1_000;
const CONNECTION_LIMIT_MS = 5_000;
const STATEMENT_LIMIT_MS = 60_000;
/** Longer than any transaction of a service may be open. */
const SETTLE_LIMIT_MS = 60_000;

/**
 * Every event that was stored when it began, in the order of their ids, which within an aggregate is that of the versions.
 * No transaction is kept open meanwhile: a long one would keep the database from cleaning up.
 *
 * @throws StillOpen, and what the driver throws
 */
export async function* exportPages(url: string, { after, from, types }: ExportFilter): AsyncGenerator<ExportPage> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECTION_LIMIT_MS,
    statement_timeout: STATEMENT_LIMIT_MS,
    application_name: 'commerce-saga events:export',
    keepAlive: true,
  });
  client.on('error', () => undefined); // the statement that meets the lost connection says so
  try {
    await client.connect();
    await client.query('set default_transaction_read_only = on');
    const last = await settledId(client, SETTLE_LIMIT_MS);
    for (let cursor = BigInt(after ?? 0); cursor < last;) {
      const { rows } = await client.query<Row>(PAGE_SQL, [cursor.toString(), last.toString(), from, types, PAGE]);
      const [first] = rows;
      if (first?.upTo == null) return; // the rest was rolled back
      cursor = BigInt(first.upTo);
      const events = rows.flatMap(({ id, envelope }) => (id === null ? [] : [{ cursor: id, event: envelope }]));
      yield { events, upTo: first.upTo };
    }
  } finally {
    await client.end();
  }
}

/** `id` is null in the one row of a page in which the filter finds nothing. */
type Row = Readonly<{ upTo: string | null; id: string | null; envelope: Readonly<Record<string, unknown>> }>;

const PAGE_SQL = `
  with page as materialized (
    select id, type, created_at, envelope from outbox where id > $1::bigint and id <= $2::bigint order by id limit $5
  )
  select (select max(id) from page)::text as "upTo", p.id::text, p.envelope
  from (select) as one
  left join page p on ($3::timestamptz is null or p.created_at >= $3) and ($4::text[] is null or p.type = any($4))
  order by p.id`;
