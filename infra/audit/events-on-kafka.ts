import { isDeepStrictEqual } from 'node:util';

import type { LogScope } from './event-log.ts';
import { EventMarks } from './events-marks.ts';
import type { Look } from './finding.ts';
import type { EventService, Snapshots } from './snapshot.ts';

/** A record of a topic, read as an event. Nothing in it is believed. */
export type KeptRecord = Readonly<{
  /** Whose topic it is in. */
  service: EventService;
  /** `order.events/3/17`: topic, partition and offset. */
  place: string;
  /** `order.events/3`: within it order is promised. */
  partition: string;
  /** Milliseconds since 1970, by the clock of whoever stored it. */
  time: number;
  id: string;
  type: string;
  /** `aggregateType/aggregateId` */
  subject: string;
  version: number;
  envelope: unknown;
  /** Why it is no event at all. */
  broken?: string;
}>;

/** What the topics held at the moment when it was opened. Close it. */
export type KeptEvents = Readonly<{
  /** Offsets that are to be read: a topic may have fewer records. */
  records: number;
  /** Each record once, in order within each partition, in batches of bounded size. @throws CannotLook */
  read: () => AsyncIterable<readonly KeptRecord[]>;
  /** True when what was stored in this subject's partition then may have been thrown away since. */
  hasExpired: (service: EventService, subject: string, storedAtMs: number) => boolean;
  /** True when the beginning of a partition was thrown away, so that what is left may begin with a repeat. */
  isCut: (partition: string) => boolean;
  /** The oldest record of the service's topic, ISO 8601; null for a topic that has none. */
  beginsAt: (service: EventService) => string | null;
  close: () => Promise<void>;
}>;

/** Where Kafka is. */
export type EventTopics = Readonly<{
  /** Notes where the topics end now. @throws CannotLook when Kafka does not answer, or has no such topics */
  open: () => Promise<KeptEvents>;
}>;

/** What an outbox knows of an event, and of the one before it in its aggregate. */
type Known = Readonly<{
  id: string;
  place: string;
  type: string;
  subject: string;
  version: string;
  envelope: unknown;
  publishedMs: number | null;
  beforePlace: string | null;
  beforeId: string | null;
  beforeMs: number | null;
  /** The one before went by the log, before the switch. */
  beforeInLog: boolean;
}>;

/** The first time that a version was seen, before the version before it was. */
type Early = Readonly<{ record: KeptRecord; beforeId: string }>;

/** Longer than a relay takes from Kafka's answer to its mark, and than clocks differ. Milliseconds. */
const GRACE_MS = 60_000;
/** Records looked up in one statement. */
const LOOKED_UP = 2_000;
/** Early versions that are kept until the one before them is met. */
const MOST_EARLY = 100_000;

/**
 * Invariant 7, on Kafka: every record is an event that its service has stored, with the same content, and leaving out
 * repeats each aggregate's versions come in their order. Memory grows by a bit for each stored event.
 *
 * @returns which events Kafka holds, by service and place in its outbox
 */
export async function lookAtKafka(
  from: Snapshots,
  look: Look,
  { kept, scope, say }: Readonly<{ kept: KeptEvents; scope: LogScope; say: (what: string) => void }>,
): Promise<EventMarks> {
  const seen = new EventMarks();
  const early = new Map<string, Early>();
  let count = 0;
  for await (const batch of kept.read()) {
    for (let i = 0; i < batch.length; i += LOOKED_UP) {
      const records = batch.slice(i, i + LOOKED_UP);
      const known = await knownAmong(from, records, scope.kafkaSince);
      for (const record of records) lookAtRecord({ look, kept, seen, early }, record, known.get(keyOf(record)));
    }
    count += batch.length;
    say(`${count} of ${kept.records} records on Kafka`);
  }
  await withoutTheirPredecessor(from, look, early);
  return seen;
}

type State = Readonly<{ look: Look; kept: KeptEvents; seen: EventMarks; early: Map<string, Early> }>;

function lookAtRecord({ look, kept, seen, early }: State, record: KeptRecord, known: Known | undefined): void {
  const { service, place, subject, version } = record;
  const is = `on Kafka at ${place}: ${textOf(record)}`;
  if (record.broken !== undefined) {
    find(look, `record ${place}`, `on Kafka: ${record.broken}`, `an event of ${service}`);
    return;
  }
  if (known === undefined) {
    find(look, `event ${record.id}`, is, `stored by ${service}`);
    return;
  }
  if (textOf(known) !== textOf(record) || !isDeepStrictEqual(known.envelope, record.envelope)) {
    find(look, `event ${record.id}`, `with other content ${is}`, `as stored: ${textOf(known)}`);
  }
  if (!seen.add(service, Number(known.place))) return; // it came again: at least once

  const waited = early.get(`${service} ${known.place}`);
  early.delete(`${service} ${known.place}`);
  // Subjects may move to another partition by a change that waits until everything was read, as that to Debezium.
  if (waited !== undefined && waited.record.partition === record.partition) {
    const wanted = `comes after version ${version}`;
    find(
      look,
      rowOf(waited.record),
      `on Kafka at ${waited.record.place}, before version ${version} at ${place}`,
      wanted,
    );
  }

  const { beforePlace, beforeId } = known;
  if (beforePlace === null || beforeId === null || seen.has(service, Number(beforePlace)) || known.beforeInLog) return;
  if (known.beforeMs !== null && kept.hasExpired(service, subject, known.beforeMs)) return;
  if (kept.isCut(record.partition) && mayComeAgain(record, known)) return;
  if (early.size < MOST_EARLY) early.set(`${service} ${beforePlace}`, { record, beforeId });
  else find(look, rowOf(record), `on Kafka at ${place}, without what comes before`, `after version ${version - 1}`);
}

/** A relay that was stopped before its mark publishes again: this may be the end of a first time that was thrown away. */
const mayComeAgain = ({ time }: KeptRecord, { publishedMs }: Known): boolean =>
  publishedMs === null || publishedMs > time + GRACE_MS;

/** What was never met may have gone by the log, marked by a slower clock. */
async function withoutTheirPredecessor(from: Snapshots, look: Look, early: Map<string, Early>): Promise<void> {
  const left = [...early.values()];
  for (let i = 0; i < left.length; i += LOOKED_UP) {
    const some = left.slice(i, i + LOOKED_UP);
    const rows = await from.bus.query<{ id: string }>(
      'select distinct event_id::text as id from event_log where event_id = any($1::uuid[])',
      [some.map(({ beforeId }) => beforeId)],
    );
    const inLog = new Set(rows.map(({ id }) => id));
    for (const { record, beforeId } of some) {
      if (inLog.has(beforeId)) continue;
      const before = record.version - 1;
      const is = `on Kafka at ${record.place}, and version ${before} is not there`;
      find(look, rowOf(record), is, `comes after version ${before}`);
    }
  }
}

async function knownAmong(
  from: Snapshots,
  records: readonly KeptRecord[],
  kafkaSince: string | null,
): Promise<ReadonlyMap<string, Known>> {
  const ids = new Map<EventService, string[]>();
  for (const { service, id, broken } of records) {
    if (broken !== undefined || !UUID.test(id)) continue;
    const known = ids.get(service) ?? [];
    known.push(id);
    ids.set(service, known);
  }
  const found = new Map<string, Known>();
  for (const [service, asked] of ids) {
    const rows = await from[service].query<Known>(
      `select o.event_id::text as id, o.id::text as place, o.type, o.aggregate_type || '/' || o.aggregate_id as subject,
         o.aggregate_version::text as version, o.envelope,
         (extract(epoch from o.published_at) * 1000)::float8 as "publishedMs",
         p.id::text as "beforePlace", p.event_id::text as "beforeId",
         (extract(epoch from p.published_at) * 1000)::float8 as "beforeMs",
         coalesce(p.published_at < $2::timestamptz, false) as "beforeInLog"
       from outbox o
       left join outbox p on p.aggregate_type = o.aggregate_type and p.aggregate_id = o.aggregate_id
         and p.aggregate_version = o.aggregate_version - 1
       where o.event_id = any($1::uuid[])`,
      [asked, kafkaSince],
    );
    for (const row of rows) found.set(keyOf({ service, id: row.id }), row);
  }
  return found;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const keyOf = ({ service, id }: Pick<KeptRecord, 'service' | 'id'>): string => `${service} ${id}`;

const textOf = ({ type, version, subject }: Readonly<{ type: string; version: string | number; subject: string }>) =>
  `${type} ${version} of ${subject}`;

const rowOf = ({ version, subject }: KeptRecord): string => `version ${version} of ${subject} on the bus`;

const find = (look: Look, row: string, is: string, shouldBe: string): void =>
  look.add({ invariant: 7, row, orderId: null, is, shouldBe });
