import assert from 'node:assert/strict';

import { EVENT_TYPES, type EventType } from '../../events/catalogue.ts';
import { eventIdFor } from '../../events/ids.ts';
import { query } from './databases.ts';

export type StoredEvent = Readonly<{
  type: EventType;
  subject: string;
  aggregateVersion: number;
  correlationId: string;
  data: Readonly<Record<string, unknown>>;
}>;

type Row = Readonly<{
  event_id: string;
  type: string;
  aggregate_type: string;
  aggregate_id: string;
  aggregate_version: string;
  envelope: StoredEvent & Readonly<Record<string, unknown>>;
  on_time: boolean;
}>;

/** Every event of one order or request, oldest first, each held to the catalogue. */
export async function eventsOf(adminUrl: string, correlationId: string): Promise<StoredEvent[]> {
  const rows = await readOutbox(adminUrl);
  return rows.filter(({ envelope }) => envelope.correlationId === correlationId).map(({ envelope }) => envelope);
}

/**
 * Holds the whole outbox to its promises: envelope and columns agree, data fit their schema, ids are those of what
 * happened, time is that of the database's transaction, and no aggregate has a gap.
 *
 * @returns how many events there are, so that a test can tell that it looked at some
 */
export async function assertOutboxIsSound(adminUrl: string): Promise<number> {
  const rows = await readOutbox(adminUrl);
  const last = new Map<string, number>();
  for (const row of rows) {
    const aggregate = `${row.aggregate_type}/${row.aggregate_id}`;
    const version = Number(row.aggregate_version);
    assert.equal(version, (last.get(aggregate) ?? 0) + 1, `${aggregate} has a gap or a step back`);
    last.set(aggregate, version);
  }
  return rows.length;
}

async function readOutbox(adminUrl: string): Promise<Row[]> {
  const rows = await query<Row>(
    adminUrl,
    `select *, (envelope ->> 'time')::timestamptz = created_at as on_time from outbox order by id`,
  );
  rows.forEach(assertSound);
  return rows;
}

function assertSound(row: Row): void {
  const { envelope } = row;
  const type = row.type as EventType;
  const { source, aggregate, version, data } = EVENT_TYPES[type];
  const aggregateVersion = Number(row.aggregate_version);
  const { time, correlationId, ...rest } = envelope;
  assert.deepEqual(rest, {
    specversion: '1.0',
    id: row.event_id,
    source: `/commerce-saga/${source}`,
    type,
    subject: row.aggregate_id,
    dataschema: `urn:commerce-saga:event:${type}:v${version}`,
    aggregateType: aggregate,
    aggregateVersion,
    data: data.parse(envelope.data),
  });
  assert.equal(row.aggregate_type, aggregate);
  assert.equal(row.event_id, eventIdFor(aggregate, row.aggregate_id, aggregateVersion, type));
  assert.match(correlationId, /^([0-9a-f-]{36}|seed)$/);
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.equal(row.on_time, true, `${type} carries another time than its transaction's`);
}
