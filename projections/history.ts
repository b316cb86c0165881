import { carrierOf } from '../events/bus/carrier.ts';
import { EVENT_SOURCES, EVENT_TYPES, type EventSource } from '../events/catalogue.ts';
import type { StoredEvent } from '../events/stored-event.ts';
import type { Databases, SqlTransaction } from '../infra/databases.ts';
import { expectRow, safeNumber } from '../infra/rows.ts';
import { Prisma } from '../prisma/views/generated/client.ts';
import { fileStream } from './history-files.ts';
import { NoHistory, type Stream, type StreamPage } from './history-stream.ts';
import type { View } from './view.ts';

export const HISTORY_SOURCES = ['log', 'outboxes', 'files'] as const;
export type HistorySource = (typeof HISTORY_SOURCES)[number];

/** Every event that a view was ever given, whatever the order. */
export type History = Readonly<{ source: HistorySource; streams: readonly Stream[] }>;

/** Where the past may be. What is absent cannot be asked. */
export type HistoryPlaces = Readonly<{
  bus?: Databases['bus'] | undefined;
  outboxes?: Readonly<Partial<Pick<Databases, EventSource>>>;
  /** Made by `npm run events:export`. */
  files?: readonly string[];
}>;

/** Rows looked at in one statement, whatever of them the view takes: memory does not grow with the past. */
const PAGE = 500;

/**
 * Finds the past of a view: in the bus's log where that is whole, else in the outboxes, unless it is said where.
 *
 * @throws NoHistory
 */
export async function historyOf(view: View, places: HistoryPlaces, from?: HistorySource): Promise<History> {
  if (from === 'files') return { source: from, streams: await fromFiles(places, view) };
  if (from === 'outboxes') return { source: from, streams: fromOutboxes(places, view) };
  const why = await whyNotTheLog(places);
  if (why === undefined && places.bus !== undefined) return { source: 'log', streams: [wholeLog(places.bus, view)] };
  if (from === 'log') throw notWhole(view, why);
  if (missingOutboxes(places, view).length === 0) {
    return { source: 'outboxes', streams: fromOutboxes(places, view) };
  }
  const missing = missingOutboxes(places, view).map(variableOf).join(', ');
  throw new NoHistory(
    `No past of ${view.name}: ${why}, and ${missing} is not set. Or export it, and use --from files.`,
  );
}

/** @returns undefined when every event that ever was on the bus is still in its log */
async function whyNotTheLog({ bus }: HistoryPlaces): Promise<string | undefined> {
  if (bus === undefined) return 'BUS_DATABASE_URL is not set';
  if ((await carrierOf(bus)) === 'kafka') return 'events go by Kafka';
  return whyNotWhole(bus);
}

async function whyNotWhole(bus: Databases['bus']): Promise<string | undefined> {
  const rows = await bus.$queryRaw<{ first: bigint | null }[]>`select min(position) as first from event_log`;
  const { first } = expectRow(rows);
  if (first === null) return 'the log is empty';
  return first === 1n ? undefined : `the log begins at position ${first}`;
}

const notWhole = ({ name }: View, why: string | undefined): NoHistory =>
  new NoHistory(
    `The log does not have the whole past of ${name}: ${why}. A rebuild that was begun from it is begun anew by --restart.`,
  );

/** Upkeep takes events off the beginning alone: as long as that is there, so is what was read before it was looked at. */
function wholeLog(bus: Databases['bus'], view: View): Stream {
  const log = logStream(bus, view);
  return {
    ...log,
    async read(after, end) {
      const page = await log.read(after, end);
      const why = await whyNotWhole(bus);
      if (why !== undefined) throw notWhole(view, why);
      return page;
    },
  };
}

const logStream = (bus: Databases['bus'], { takes }: View): Stream => ({
  name: 'log',
  end: () => highest(bus.$queryRaw`select coalesce(max(position), 0) as highest from event_log`),
  read(after, end) {
    const page = Prisma.sql`
      select position as place, event_id, type, source, split_part(subject, '/', 1) as "aggregateType",
        substr(subject, strpos(subject, '/') + 1) as "aggregateId", aggregate_version as version, envelope
      from event_log where position > ${after} and position <= ${end} order by position limit ${PAGE}`;
    return readPage(bus, takes, page, end);
  },
});

const outboxStream = (db: SqlTransaction, source: EventSource, { takes }: View): Stream => ({
  name: source,
  end: () => highest(db.$queryRaw`select coalesce(max(id), 0) as highest from outbox`),
  read(after, end) {
    const page = Prisma.sql`
      select id as place, event_id, type, ${source}::text as source, aggregate_type as "aggregateType",
        aggregate_id as "aggregateId", aggregate_version as version, envelope
      from outbox where id > ${after} and id <= ${end} order by id limit ${PAGE}`;
    return readPage(db, takes, page, end);
  },
});

/** Of the rows of a page those of the wanted types, and how far the page goes whatever they are. */
async function readPage(
  db: SqlTransaction,
  types: readonly string[],
  page: Prisma.Sql,
  end: bigint,
): Promise<StreamPage> {
  const rows = await db.$queryRaw<Row[]>`
    with page as materialized (${page})
    select (select max(place) from page) as "upTo", p.event_id::text as id, p.type, p.source,
      p."aggregateType", p."aggregateId", p.version, p.envelope
    from (select) as one left join page p on p.type = any(${types}::text[])
    order by p.place`;
  return pageOf(rows, end);
}

/** Files, and what came after they were made as far as the log has it. What is in both counts once. */
async function fromFiles({ files = [], bus }: HistoryPlaces, view: View): Promise<Stream[]> {
  if (files.length === 0) throw new NoHistory('No file is named: add --file.');
  const streams = files.map((path) => fileStream(path, view));
  for (const stream of streams) await stream.end(); // a file that cannot be read is told before anything is begun
  const withLog = bus !== undefined && (await carrierOf(bus)) !== 'kafka';
  return withLog ? [...streams, logStream(bus, view)] : streams;
}

function fromOutboxes({ outboxes = {} }: HistoryPlaces, view: View): Stream[] {
  return sourcesOf(view).map((source) => {
    const db = outboxes[source];
    if (db === undefined)
      throw new NoHistory(`${variableOf(source)} is not set: its outbox has events of ${view.name}.`);
    return outboxStream(db, source, view);
  });
}

/** The services whose events a view takes. */
function sourcesOf({ takes }: View): EventSource[] {
  const sources = new Set<EventSource>(takes.map((type) => EVENT_TYPES[type].source));
  return EVENT_SOURCES.filter((source) => sources.has(source));
}

const missingOutboxes = ({ outboxes = {} }: HistoryPlaces, view: View): EventSource[] =>
  sourcesOf(view).filter((source) => outboxes[source] === undefined);

const variableOf = (source: EventSource): string => `${source.toUpperCase()}_DATABASE_URL`;

async function highest(rows: Promise<unknown>): Promise<bigint> {
  return expectRow((await rows) as { highest: bigint }[]).highest;
}

/** `id` is null in the one row of a page of which the view takes nothing, `upTo` where nothing is left. */
type Row = Readonly<{
  upTo: bigint | null;
  id: string | null;
  type: string;
  source: string;
  aggregateType: string;
  aggregateId: string;
  version: bigint;
  envelope: StoredEvent['envelope'];
}>;

function pageOf(rows: readonly Row[], end: bigint): StreamPage {
  const events = rows.flatMap(({ id, type, source, aggregateType, aggregateId, version, envelope }): StoredEvent[] =>
    id === null
      ? []
      : [{ id, type, source, aggregateType, aggregateId, aggregateVersion: safeNumber(version), envelope }],
  );
  return { events, upTo: rows[0]?.upTo ?? end };
}
