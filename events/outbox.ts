import type { SqlTransaction } from '../infra/databases.ts';
import { carriedNow } from '../infra/trace-context.ts';
import { EVENT_TYPES, type EventData, type EventType } from './catalogue.ts';
import { eventIdFor } from './ids.ts';

/**
 * A fact with CloudEvents 1.0 attribute names (source document 5.1). `time` is missing until the outbox stores it:
 * it is the database clock of the writing transaction, never a process clock.
 */
export type ShopEvent<T extends EventType = EventType> = Readonly<{
  specversion: '1.0';
  id: string;
  source: string;
  type: T;
  subject: string;
  dataschema: string;
  aggregateType: string;
  aggregateVersion: number;
  correlationId: string;
  data: EventData<T>;
}>;

/**
 * Makes an event and checks its data against the catalogue.
 *
 * @param subject the aggregate's id, unique within its type
 * @param correlationId what caused it: the order id, or the id of the administrative request
 * @throws ZodError when the data does not fit the schema: a mistake of ours, so the transaction must not commit
 */
export function shopEvent<T extends EventType>(
  type: T,
  subject: string,
  aggregateVersion: number,
  correlationId: string,
  data: EventData<T>,
): ShopEvent<T> {
  const { source, aggregate, version, data: schema } = EVENT_TYPES[type];
  schema.parse(data);
  return {
    specversion: '1.0',
    id: eventIdFor(aggregate, subject, aggregateVersion, type),
    source: `/commerce-saga/${source}`,
    type,
    subject,
    dataschema: `urn:commerce-saga:event:${type}:v${version}`,
    aggregateType: aggregate,
    aggregateVersion,
    correlationId,
    data,
  };
}

/**
 * Writes the events in the caller's transaction: state and events are stored together, or neither is. Each is stored with
 * the ids of the request that it comes from (CloudEvents' `traceparent`, and `requestid`), where there is one.
 */
export async function appendToOutbox(tx: SqlTransaction, events: readonly ShopEvent[]): Promise<void> {
  const carried = carriedNow();
  await tx.$executeRaw`
    insert into outbox (event_id, type, aggregate_type, aggregate_id, aggregate_version, envelope)
    select (e ->> 'id')::uuid, e ->> 'type', e ->> 'aggregateType', e ->> 'subject', (e ->> 'aggregateVersion')::bigint,
      e || jsonb_build_object('time', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    from jsonb_array_elements(${JSON.stringify(events.map((event) => ({ ...event, ...carried })))}::jsonb) with ordinality as a(e, position)
    order by position`;
}
