import { literal, rowsOf } from './cursor.ts';
import type { Finding } from './finding.ts';
import type { EventService, Snapshot } from './snapshot.ts';

/** What the log of the embedded bus answers for. */
export type LogScope = Readonly<{
  /** Since when events go by Kafka instead, ISO 8601; null while they go by the log. */
  kafkaSince: string | null;
  /** Events that were published before this are not looked for: the log was shortened. Null where it is whole. */
  beginsAt: string | null;
}>;

export async function scopeOfLog(bus: Snapshot): Promise<LogScope> {
  const [row] = await bus.query<LogScope>(
    `select (select changed_at::text from bus_carrier where carrier = 'kafka') as "kafkaSince",
       (select case when position > 1 then appended_at::text end from event_log order by position limit 1) as "beginsAt"`,
  );
  return row ?? { kafkaSince: null, beginsAt: null };
}

/**
 * Invariant 7, on the bus: each subject's versions come in their order, leaving out what came again. A log whose beginning
 * was taken off may begin with a relay's repeat of what went with it.
 */
export async function disorderInLog(bus: Snapshot): Promise<Finding[]> {
  const rows = await bus.query<{ subject: string; version: string; before: string }>(
    `select subject, version::text, before::text from (
       select subject, version, lag(version) over (partition by subject order by position) as before
       from (
         select *, first_value(version) over (partition by subject order by position) as opening
         from (select subject, aggregate_version as version, min(position) as position, min(appended_at) as at
               from event_log group by 1, 2) as f
       ) as g
       where version >= opening or not exists (
         select from (select position, appended_at from event_log order by position limit 1) as first
         where first.position > 1 and g.at < first.appended_at + interval '1 day')
     ) as o
     where version <> before + 1
     order by 1, o.version limit ${MOST}`,
  );
  return rows.map(({ subject, version, before }) => ({
    ...{ invariant: 7, row: `version ${version} of ${subject} on the bus`, orderId: null },
    is: `comes after version ${before}`,
    shouldBe: `comes after version ${Number(version) - 1}`,
  }));
}

type Stored = Readonly<{
  id: string;
  event: string;
  content: string;
  place: string;
  subject: string;
  /** Milliseconds since 1970; null while it waits. */
  publishedMs: number | null;
  /** `KAFKA`: published since the switch. `NOWHERE`: not published, or from before the log begins. */
  required: 'LOG' | 'KAFKA' | 'NOWHERE';
}>;
type Logged = Readonly<{ id: string; event: string; content: string; other: string }>;

/** What Kafka says of the events of one service. */
export type OnKafka = Readonly<{
  /** @param place in the outbox */
  has: (place: number) => boolean;
  /** True when it may have been there, and was thrown away since. Asked once for each event that is missed. */
  hasExpired: (subject: string, publishedMs: number) => boolean;
}>;

/**
 * Invariant 7, between a service and the log: what is marked as published is there or, since the switch, on Kafka; and what
 * is there was stored, with the same content. Two sorted streams, read page by page, so that memory does not grow with the
 * number of events.
 *
 * @param kafka undefined while events go by the log
 */
export async function* differencesWithLog(
  service: EventService,
  outbox: Snapshot,
  bus: Snapshot,
  { kafkaSince, beginsAt }: LogScope,
  kafka?: OnKafka,
): AsyncGenerator<Finding> {
  const stored = rowsOf<Stored>(
    outbox,
    `audited_${service}`,
    `select event_id::text as id, format('%s %s of %s/%s', type, aggregate_version, aggregate_type, aggregate_id) as event,
       ${CONTENT} as content, id::text as place, aggregate_type || '/' || aggregate_id as subject,
       (extract(epoch from published_at) * 1000)::float8 as "publishedMs",
       case when published_at is null then 'NOWHERE'
         when published_at >= ${literal(kafkaSince)}::timestamptz then 'KAFKA'
         when published_at < ${literal(beginsAt)}::timestamptz + ${MARKED_WITHIN} then 'NOWHERE' else 'LOG' end as required
     from outbox order by event_id`,
  );
  const logged = rowsOf<Logged>(
    bus,
    `audited_${service}`,
    `select event_id::text as id, min(format('%s %s of %s', type, aggregate_version, subject)) as event,
       min(content) as content, max(content) as other
     from (select event_id, type, aggregate_version, subject, ${CONTENT} as content from event_log
           where source = ${literal(service)}) as l
     group by event_id order by event_id`,
  );
  let [left, right] = [await stored.next(), await logged.next()];
  while (left.value !== undefined || right.value !== undefined) {
    // Lower-case UUIDs sort as text as they sort as UUIDs.
    const isLeft = right.value === undefined || (left.value !== undefined && left.value.id <= right.value.id);
    const isRight = left.value === undefined || (right.value !== undefined && right.value.id <= left.value.id);
    const finding = differenceOf(service, isLeft ? left.value : undefined, isRight ? right.value : undefined, kafka);
    if (finding !== undefined) yield finding;
    if (isLeft) left = await stored.next();
    if (isRight) right = await logged.next();
  }
}

function differenceOf(
  service: string,
  stored: Stored | undefined,
  logged: Logged | undefined,
  kafka: OnKafka | undefined,
): Finding | undefined {
  const found = (id: string, is: string, shouldBe: string) => ({
    ...{ invariant: 7 as const, row: `event ${id}`, orderId: null, is, shouldBe },
  });
  if (stored === undefined) {
    return logged && found(logged.id, `on the bus: ${logged.event}`, `stored by ${service}`);
  }
  if (logged === undefined) {
    return isMissed(stored, kafka)
      ? found(stored.id, `marked as published by ${service}: ${stored.event}`, 'on the bus')
      : undefined;
  }
  const isSame = stored.event === logged.event && stored.content === logged.content && logged.content === logged.other;
  return isSame
    ? undefined
    : found(stored.id, `on the bus with other content: ${logged.event}`, `as stored: ${stored.event}`);
}

/** On Kafka also what the mark's clock takes for older than the switch. */
function isMissed({ required, place, subject, publishedMs }: Stored, kafka: OnKafka | undefined): boolean {
  if (required === 'NOWHERE' || publishedMs === null || kafka?.has(Number(place))) return false;
  return required === 'LOG' || !kafka?.hasExpired(subject, publishedMs);
}

/** A relay's mark comes after the append, by another clock: the event itself may have gone with the beginning of the log. */
const MARKED_WITHIN = `interval '1 minute'`;

/** The text of `jsonb` has one form, so that equal envelopes have equal hashes in both databases. */
const CONTENT = `encode(sha256(convert_to(envelope::text, 'UTF8')), 'hex')`;

/** One more than a look keeps, so that it notices. */
const MOST = 10_001;
