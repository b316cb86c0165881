import type { SqlTransaction } from '../infra/databases.ts';
import type { StoredEvent } from './stored-event.ts';

/** What a relay needs of a service's database: one statement at a time, no transaction. */
export type OutboxDatabase = SqlTransaction;

/** A row of the outbox that is not marked as published. */
export type WaitingEvent = Readonly<{
  id: bigint;
  partition: number;
  /** The version before it is marked as published, or there is none. */
  follows: boolean;
  event: StoredEvent;
}>;

/** How far a relay has read in a partition: it goes on after this id, and begins again at 0. */
export type Cursor = Readonly<{ partition: number; after: bigint }>;

/**
 * Takes free partitions in which something waits, those that were served longest ago first. Nobody waits for anybody: a
 * lease that another relay is taking at this moment is passed over.
 *
 * @param limit most that are taken, so that several relays share the work
 * @param ttlMs how long they are ours without being renewed, milliseconds
 */
export async function takeLeases(db: OutboxDatabase, holder: string, limit: number, ttlMs: number): Promise<number[]> {
  const rows = await db.$queryRaw<{ partition: number }[]>`
    with free as materialized (
      select partition from outbox_leases l
      where until <= clock_timestamp()
        and exists (select from outbox o where o.partition = l.partition and o.published_at is null)
      order by until, partition
      limit ${limit}
      for update skip locked
    )
    update outbox_leases
    set holder = ${holder}, until = clock_timestamp() + ${ttlMs} * interval '1 millisecond'
    where partition in (select partition from free)
    returning partition`;
  return rows.map(({ partition }) => partition);
}

/**
 * Prolongs those that are still ours. It runs beside `markPublished` and takes the rows in the same order, so that the two
 * cannot wait for each other.
 *
 * @returns them: the others belong to somebody else by now
 */
export async function renewLeases(
  db: OutboxDatabase,
  holder: string,
  partitions: readonly number[],
  ttlMs: number,
): Promise<number[]> {
  const rows = await db.$queryRaw<{ partition: number }[]>`
    with ours as materialized (
      select partition from outbox_leases
      where partition = any(${partitions}::integer[]) and holder = ${holder} and until > clock_timestamp()
      order by partition
      for no key update
    )
    update outbox_leases set until = clock_timestamp() + ${ttlMs} * interval '1 millisecond'
    where partition in (select partition from ours)
    returning partition`;
  return rows.map(({ partition }) => partition);
}

/** Gives back what is still ours. */
export const releaseLeases = (db: OutboxDatabase, holder: string, partitions: readonly number[]): Promise<number> =>
  db.$executeRaw`
    update outbox_leases set until = clock_timestamp()
    where partition = any(${partitions}::integer[]) and holder = ${holder} and until > clock_timestamp()`;

/** What waits behind the cursors, at most `perPartition` rows of each, in the order of their ids. */
export async function readWaiting(
  db: OutboxDatabase,
  source: string,
  cursors: readonly Cursor[],
  perPartition: number,
): Promise<WaitingEvent[]> {
  const partitions = cursors.map(({ partition }) => partition);
  const afters = cursors.map(({ after }) => after.toString());
  const rows = await db.$queryRaw<OutboxRow[]>`
    select o.id, o.partition, o.event_id as "eventId", o.type, o.aggregate_type as "aggregateType",
      o.aggregate_id as "aggregateId", o.aggregate_version as "aggregateVersion", o.envelope,
      o.aggregate_version = 1 or exists (
        select from outbox before
        where before.aggregate_type = o.aggregate_type and before.aggregate_id = o.aggregate_id
          and before.aggregate_version = o.aggregate_version - 1 and before.published_at is not null) as follows
    from unnest(${partitions}::integer[], ${afters}::bigint[]) as c (partition, after)
    cross join lateral (
      select * from outbox w
      where w.partition = c.partition and w.published_at is null and w.id > c.after
      order by w.id
      limit ${perPartition}
    ) as o
    order by o.id`;
  return rows.map(({ id, partition, follows, eventId, aggregateVersion, ...rest }) => ({
    id,
    partition,
    follows,
    event: { id: eventId, source, aggregateVersion: Number(aggregateVersion), ...rest },
  }));
}

type OutboxRow = Omit<StoredEvent, 'id' | 'source' | 'aggregateVersion'> &
  Readonly<{ id: bigint; partition: number; follows: boolean; eventId: string; aggregateVersion: bigint }>;

/**
 * Marks what the bus has stored. Fenced: rows of a partition whose lease is no longer ours stay as they are, and its new
 * holder decides about them. Repeat-safe.
 *
 * @returns how many rows were marked
 */
export const markPublished = (db: OutboxDatabase, holder: string, ids: readonly bigint[]): Promise<number> =>
  db.$executeRaw`
    with ours as materialized (
      select partition from outbox_leases where holder = ${holder} and until > clock_timestamp()
      order by partition
      for share
    )
    update outbox set published_at = clock_timestamp()
    where id = any(${ids.map(String)}::bigint[]) and published_at is null
      and partition in (select partition from ours)`;

/** What waits in an outbox, and for how long the oldest of it has, seconds. */
export type OutboxLag = Readonly<{ unpublished: number; lagSeconds: number }>;

export async function readOutboxLag(db: OutboxDatabase): Promise<OutboxLag> {
  const [row] = await db.$queryRaw<OutboxLag[]>`
    select count(*)::float8 as unpublished,
      coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as "lagSeconds"
    from outbox where published_at is null`;
  return row ?? { unpublished: 0, lagSeconds: 0 };
}
