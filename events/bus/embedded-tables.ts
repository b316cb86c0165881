import type { Databases } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';
import { type StoredEvent, subjectOf } from '../stored-event.ts';

/** An event with its place in the log. */
export type LogEntry = Readonly<{ position: bigint; event: StoredEvent }>;

/** Who reads for a group: while the lease lasts, nobody else does. */
export type Holder = Readonly<{ group: string; holder: string; leaseMs: number }>;

type Db = Databases['bus'];

/** Appends events in their order: all of them, or none. One append at a time gets positions, in the order of commits. */
export async function appendToLog(bus: Db, events: readonly StoredEvent[]): Promise<void> {
  const rows = events.map((event) => ({ ...event, subject: subjectOf(event) }));
  await bus.$executeRaw`
    insert into event_log (source, event_id, type, subject, aggregate_version, envelope)
    select e ->> 'source', (e ->> 'id')::uuid, e ->> 'type', e ->> 'subject', (e ->> 'aggregateVersion')::bigint,
      e -> 'envelope'
    from jsonb_array_elements(${JSON.stringify(rows)}::jsonb) with ordinality as a(e, n)
    order by n`;
}

/** Makes the partitions of this month and the next, where they are missing. Repeat-safe. */
export async function prepareMonths(bus: Db): Promise<void> {
  await bus.$queryRaw`
    select create_event_log_month(day::date)::text
    from (values (now() at time zone 'utc'), (now() at time zone 'utc' + interval '1 month')) as months(day)`;
}

/** The events after a position, at most `limit`, oldest first. None is skipped: commits are in order of positions. */
export async function readLog(bus: Db, after: bigint, limit: number): Promise<LogEntry[]> {
  const rows = await bus.$queryRaw<LogRow[]>`
    select position, event_id::text as id, type, source, subject, aggregate_version as version, envelope
    from event_log
    where position > ${after}
    order by position
    limit ${limit}`;
  return rows.map(entryOf);
}

type LogRow = Readonly<{
  position: bigint;
  id: string;
  type: string;
  source: string;
  subject: string;
  version: bigint;
  /** Nothing holds an envelope to its form before it is read. */
  envelope: StoredEvent['envelope'];
}>;

function entryOf({ position, id, type, source, subject, version, envelope }: LogRow): LogEntry {
  const slash = subject.indexOf('/');
  const aggregate = { aggregateType: subject.slice(0, slash), aggregateId: subject.slice(slash + 1) };
  return { position, event: { id, type, source, ...aggregate, aggregateVersion: safeNumber(version), envelope } };
}

/** Makes a group that is new. One that has been here goes on where it was. */
export async function ensureGroup(bus: Db, group: string, from: 'earliest' | 'latest'): Promise<void> {
  await bus.$executeRaw`
    insert into group_offsets (group_name, position)
    select ${group}, case when ${from === 'latest'} then coalesce(max(position), 0) else 0 end from event_log
    on conflict (group_name) do nothing`;
}

/** @returns where the group goes on, or undefined while another consumer reads for it */
export async function takeLease(bus: Db, { group, holder, leaseMs }: Holder): Promise<bigint | undefined> {
  const [row] = await bus.$queryRaw<{ position: bigint }[]>`
    update group_offsets
    set holder = ${holder}, until = now() + ${leaseMs} * interval '1 millisecond', updated_at = now()
    where group_name = ${group} and (holder is null or holder = ${holder} or until < now())
    returning position`;
  return row?.position;
}

/** @returns false when another consumer has taken over */
export async function renewLease(bus: Db, { group, holder, leaseMs }: Holder): Promise<boolean> {
  const renewed = await bus.$executeRaw`
    update group_offsets set until = now() + ${leaseMs} * interval '1 millisecond'
    where group_name = ${group} and holder = ${holder}`;
  return renewed === 1;
}

/** Stores how far the group is. @returns false when another consumer has taken over, and nothing is stored */
export async function advance(bus: Db, { group, holder, leaseMs }: Holder, position: bigint): Promise<boolean> {
  const stored = await bus.$executeRaw`
    update group_offsets
    set position = ${position}, until = now() + ${leaseMs} * interval '1 millisecond', updated_at = now()
    where group_name = ${group} and holder = ${holder}`;
  return stored === 1;
}

/** Lets the next consumer begin at once. Repeat-safe. */
export async function releaseLease(bus: Db, { group, holder }: Holder): Promise<void> {
  await bus.$executeRaw`
    update group_offsets set holder = null, until = null where group_name = ${group} and holder = ${holder}`;
  await bus.$queryRaw`select pg_notify('event_log', '')::text`;
}

/**
 * How many positions a group is behind the last event. An append that failed leaves an empty one that counts too; what was
 * taken off the beginning of the log does not.
 */
export async function positionsBehind(bus: Db, group: string): Promise<number> {
  const [row] = await bus.$queryRaw<{ behind: bigint }[]>`
    select greatest(0, coalesce((select max(position) from event_log), 0) - greatest(
      coalesce((select position from group_offsets where group_name = ${group}), 0),
      coalesce((select min(position) from event_log), 1) - 1)) as behind`;
  return safeNumber(row?.behind ?? 0n);
}
