import type { SqlTransaction } from '../infra/databases.ts';
import { safeNumber } from '../infra/rows.ts';

/** An event as its outbox tells of it, without what it says. Instants are ISO 8601, of the service's database. */
export type OutboxEntry = Readonly<{
  eventId: string;
  type: string;
  aggregate: string;
  version: number;
  at: string;
  /** Null while it waits for its relay. */
  publishedAt: string | null;
}>;

/** An aggregate by its id, or one version of it alone. */
export type AggregateKey = Readonly<{ id: string; version?: number }>;

type Row = Readonly<{ eventId: string; type: string; version: bigint; at: Date; publishedAt: Date | null }>;

/** The events of aggregates of one type, by aggregate in the order of its versions, at most `limit`. */
export async function readAggregateEvents(
  service: SqlTransaction,
  aggregate: string,
  keys: readonly AggregateKey[],
  limit: number,
): Promise<OutboxEntry[]> {
  const rows = await service.$queryRaw<Row[]>`
    select o.event_id::text as "eventId", o.type, o.aggregate_version as version, o.created_at as at,
      o.published_at as "publishedAt"
    from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) as k(id text, version bigint)
    join outbox o on o.aggregate_type = ${aggregate} and o.aggregate_id = k.id
      and o.aggregate_version between coalesce(k.version, 0) and coalesce(k.version, 9223372036854775807)
    order by o.aggregate_id, o.aggregate_version
    limit ${limit}`;
  return rows.map(({ version, at, publishedAt, ...event }) => ({
    ...event,
    aggregate,
    version: safeNumber(version),
    at: at.toISOString(),
    publishedAt: publishedAt?.toISOString() ?? null,
  }));
}
