import type { Finding } from './finding.ts';
import type { EventService, Snapshot } from './snapshot.ts';

/** An event may wait for so long without anybody being to blame, milliseconds. */
const PATIENCE_MS = 10_000;
/** Longer than any pause of a relay whose bus is away or refuses its events, milliseconds. */
const LONGEST_SILENCE_MS = 60_000;

/**
 * Invariant 7, in a service's own database: events that are not on the bus yet, in one finding. A relay that works takes
 * its leases again and again while something waits; they tell when it was last at it.
 */
export async function waitingEvents(service: EventService, from: Snapshot): Promise<Finding[]> {
  const [row] = await from.query<{ waiting: string; waitedMs: string; idleMs: string; holder: string | null }>(
    `select count(*)::text as waiting,
       coalesce(floor(extract(epoch from clock_timestamp() - min(created_at)) * 1000), 0)::text as "waitedMs",
       (select floor(extract(epoch from clock_timestamp() - max(until)) * 1000) from outbox_leases)::text as "idleMs",
       (select holder from outbox_leases order by until desc limit 1) as holder
     from outbox where published_at is null`,
  );
  const [waiting, waitedMs, idleMs] = [row?.waiting, row?.waitedMs, row?.idleMs].map(Number);
  if (waiting === undefined || waiting === 0 || waitedMs === undefined || idleMs === undefined) return [];
  const seconds = Math.round(waitedMs / 1_000);
  const isAtWork = idleMs < LONGEST_SILENCE_MS;
  const atWork = isAtWork
    ? `relay ${row?.holder}`
    : waitedMs < PATIENCE_MS
      ? `events of the last ${seconds} s`
      : undefined;
  return [
    {
      ...{ invariant: 7, row: `outbox of ${service}`, orderId: null, shouldBe: 'every event on the bus' },
      is: `${waiting} events are not on the bus, the oldest for ${seconds} s${isAtWork ? '' : '; no relay is at work'}`,
      ...(atWork !== undefined && { atWork }),
    },
  ];
}

/** Invariant 7, in a service's own database: every aggregate has all of its versions, stored in their order. */
export async function gapsInOutbox(service: EventService, from: Snapshot): Promise<Finding[]> {
  const rows = await from.query<{ aggregate: string; version: string; before: string; late: boolean }>(
    `select aggregate_type || '/' || aggregate_id as aggregate, version::text, before::text, id < id_before as late
     from (
       select aggregate_type, aggregate_id, aggregate_version as version, id,
         coalesce(lag(aggregate_version) over w, 0) as before, coalesce(lag(id) over w, 0) as id_before
       from outbox window w as (partition by aggregate_type, aggregate_id order by aggregate_version)
     ) as o
     where version <> before + 1 or id < id_before
     order by 1, o.version limit ${MOST}`,
  );
  return rows.map(({ aggregate, version, before, late }) => ({
    ...{ invariant: 7, row: `version ${version} of ${aggregate}`, orderId: null },
    is: `stored by ${service} ${late ? 'before' : 'after'} version ${before}`,
    shouldBe: `stored after version ${Number(version) - 1}`,
  }));
}

/** How many events a service has stored. */
export async function countEvents(from: Snapshot): Promise<number> {
  const [row] = await from.query<{ count: string }>('select count(*)::text as count from outbox');
  return Number(row?.count);
}

/** One more than a look keeps, so that it notices. */
const MOST = 10_001;
