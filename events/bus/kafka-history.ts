import { compatibilityPartitioner, type Consumer, IS_CONTROL } from '@platformatic/kafka';

import type { EventTopics, KeptEvents, KeptRecord } from '../../infra/audit/events-on-kafka.ts';
import { CannotLook, EVENT_SERVICES, type EventService } from '../../infra/audit/snapshot.ts';
import { subjectOf } from '../stored-event.ts';
import { briefly, isKafkaError, type KafkaConnection, KafkaError, openReader } from './kafka-connection.ts';
import { deliveryOf } from './kafka-records.ts';
import { openTopics, type TopicOptions } from './kafka-topics.ts';

/** A partition, and how far it is read. */
type Reading = {
  readonly service: EventService;
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  /** Where it ended when the look began. */
  readonly end: bigint;
  begin: bigint;
  next: bigint;
  /** Of its first record, milliseconds since 1970; undefined where nothing is left. */
  oldestMs: number | undefined;
};

type FetchResponse = Awaited<ReturnType<Consumer['fetch']>>;
type Batch = NonNullable<FetchResponse['responses'][number]['partitions'][number]['records']>[number];

const EARLIEST = -2n;
const FETCH_WAIT_MS = 500;
const FETCH_BYTES = 4 * 1024 * 1024;
const PARTITION_BYTES = 512 * 1024;
/** Answers without a record of partitions that have some, before it is given up. */
const EMPTY_ANSWERS = 60;
/** A relay's mark comes after Kafka's answer, and clocks differ. Milliseconds. */
const GRACE_MS = 60_000;
/** From 2^3 in a batch's attributes: the broker gave all of its records one time. */
const LOG_APPEND_TIME = 8;

/** What Kafka still has of all events, read from its beginning beside all consumers: no group is joined, nothing stored. */
export const kafkaHistory = (connection: KafkaConnection, options: TopicOptions = {}): EventTopics => ({
  open: () => withReason(connection, () => openHistory(connection, options)),
});

async function openHistory(connection: KafkaConnection, options: TopicOptions): Promise<KeptEvents> {
  const topics = openTopics(connection, options);
  const reader = openReader(connection, topics.groupId('audit')); // the client wants a name; no group of it comes to be
  try {
    reader.topics.trackAll(...topics.names);
    const readings = await partitionsOf(reader, topics.topicOf);
    for (const reading of readings) await findOldest(reader, reading);
    return {
      records: readings.reduce((sum, { begin, end }) => sum + Number(end - begin), 0),
      read: () => readAll(connection, reader, readings),
      hasExpired: (service, subject, storedAtMs) =>
        placesOf(readings, service, subject).some((reading) => storedAtMs < expiredBefore(readings, reading)),
      isCut: (partition) => readings.some((one) => nameOf(one) === partition && one.begin > 0n),
      beginsAt: (service) => {
        const oldest = oldestOf(readings.filter((one) => one.service === service));
        return oldest === undefined ? null : new Date(oldest).toISOString();
      },
      close: () => reader.close(),
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function partitionsOf(reader: Consumer, topicOf: (service: string) => string | undefined): Promise<Reading[]> {
  const services = new Map(EVENT_SERVICES.map((service) => [topicOf(service) ?? service, service]));
  const names = [...services.keys()];
  const { topics } = await reader.metadata({ topics: names, forceUpdate: true });
  const ends = await reader.listOffsets({ topics: names });
  const begins = await reader.listOffsets({ topics: names, timestamp: EARLIEST });
  return [...services].flatMap(([topic, service]) =>
    (ends.get(topic) ?? []).map((end, partition) => {
      const begin = begins.get(topic)?.[partition] ?? 0n;
      const topicId = topics.get(topic)?.id ?? '';
      return { service, topic, topicId, partition, end, begin, next: begin, oldestMs: undefined };
    }),
  );
}

/** Without it nobody could say, while records are read, whether what is missed before them was thrown away. */
async function findOldest(reader: Consumer, reading: Reading): Promise<void> {
  if (reading.begin >= reading.end) return;
  const [{ batches = [] } = {}] = await fetchFrom(reader, [reading], 1);
  const [first] = batches;
  const record = first?.records.find(({ offsetDelta }) => first.firstOffset + BigInt(offsetDelta) >= reading.begin);
  if (first !== undefined && record !== undefined) reading.oldestMs = timeOf(first, record);
}

/**
 * What was stored before this may have been thrown away. Of a partition that is whole nothing was: but a topic of another
 * KAFKA_PREFIX had the events from before its first record.
 */
function expiredBefore(readings: readonly Reading[], { begin, oldestMs, topic }: Reading): number {
  if (begin > 0n) return oldestMs === undefined ? Infinity : oldestMs + GRACE_MS;
  return oldestOf(readings.filter((one) => one.topic === topic)) ?? -Infinity;
}

function oldestOf(readings: readonly Reading[]): number | undefined {
  const times = readings.flatMap(({ oldestMs }) => oldestMs ?? []);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Relays store by the subject, Debezium by the aggregate's id alone. */
function placesOf(readings: readonly Reading[], service: EventService, subject: string): Reading[] {
  const ofService = readings.filter((one) => one.service === service);
  const keys = [subject, subject.slice(subject.indexOf('/') + 1)];
  const places = keys.map((key) => compatibilityPartitioner({ topic: '' }, Buffer.from(key)) % ofService.length);
  return ofService.filter(({ partition }) => places.includes(partition));
}

async function* readAll(
  connection: KafkaConnection,
  reader: Consumer,
  readings: readonly Reading[],
): AsyncGenerator<readonly KeptRecord[]> {
  for (let empty = 0; ;) {
    const left = readings.filter(({ next, end }) => next < end);
    if (left.length === 0) return;
    const before = left.map(({ next }) => next);
    const records = await withReason(connection, () => readSome(reader, left));
    if (records.length > 0) yield records;
    empty = left.some(({ next }, index) => next !== before[index]) ? 0 : empty + 1;
    if (empty < EMPTY_ANSWERS) continue;
    throw new CannotLook(`Kafka at ${connection.brokers.join()} gives nothing more of ${left.map(nameOf).join(', ')}.`);
  }
}

async function readSome(reader: Consumer, left: readonly Reading[]): Promise<KeptRecord[]> {
  try {
    const answers = await fetchFrom(reader, left, FETCH_BYTES);
    return answers.flatMap(({ reading, batches }) => batches.flatMap((batch) => recordsOf(reading, batch)));
  } catch (error) {
    if (!isKafkaError(error, 'OFFSET_OUT_OF_RANGE') || !(await wasCut(reader, left))) throw error;
    return [];
  }
}

/** Kafka throws old records away while they are read. */
async function wasCut(reader: Consumer, left: readonly Reading[]): Promise<boolean> {
  const begins = await reader.listOffsets({
    topics: [...new Set(left.map(({ topic }) => topic))],
    timestamp: EARLIEST,
  });
  const cut = left.filter(({ topic, partition, next }) => (begins.get(topic)?.[partition] ?? 0n) > next);
  for (const reading of cut) {
    const begin = begins.get(reading.topic)?.[reading.partition] ?? reading.begin;
    Object.assign(reading, { begin, next: begin, oldestMs: undefined });
    await findOldest(reader, reading);
  }
  return cut.length > 0;
}

type Answer = Readonly<{ reading: Reading; batches: readonly Batch[] }>;

/** Each broker gives what it leads; together they give not much more than `bytes` each. */
async function fetchFrom(reader: Consumer, readings: readonly Reading[], bytes: number): Promise<Answer[]> {
  const { topics } = await reader.metadata({ topics: [...new Set(readings.map(({ topic }) => topic))] });
  const leaderOf = ({ topic, partition }: Reading) => topics.get(topic)?.partitions[partition]?.leader ?? -1;
  const leaders = [...new Set(readings.map(leaderOf))];
  const answers = await Promise.all(
    leaders.map(async (node) => {
      const asked = readings.filter((reading) => leaderOf(reading) === node);
      const { responses } = await reader.fetch({
        ...{ node, minBytes: 1, maxBytes: bytes, maxWaitTime: FETCH_WAIT_MS },
        topics: asked.map(({ topicId, partition, next }) => ({
          topicId,
          partitions: [
            {
              ...{ partition, fetchOffset: next, partitionMaxBytes: Math.min(bytes, PARTITION_BYTES) },
              ...{ currentLeaderEpoch: -1, lastFetchedEpoch: -1 },
            },
          ],
        })),
      });
      return asked.map((reading) => ({
        reading,
        batches: responses
          .filter(({ topicId }) => topicId === reading.topicId)
          .flatMap(({ partitions }) => partitions.filter((one) => one.partitionIndex === reading.partition))
          .flatMap(({ records = [] }) => records),
      }));
    }),
  );
  return answers.flat();
}

/** A batch is sent whole: its first records may have been read, and its last may be from after the look began. */
function recordsOf(reading: Reading, batch: Batch): KeptRecord[] {
  const { service, topic, partition, next, end } = reading;
  const after = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
  if (after > next) reading.next = after;
  if ((batch.attributes & IS_CONTROL) !== 0) return [];
  return batch.records.flatMap((record): KeptRecord[] => {
    const offset = batch.firstOffset + BigInt(record.offsetDelta);
    if (offset < next || offset >= end) return [];
    const { event, broken, place } = deliveryOf(topic, partition, offset, record);
    const { id, type, aggregateVersion: version, envelope } = event;
    return [
      {
        ...{ service, place, partition: nameOf(reading), time: timeOf(batch, record) },
        ...{ id, type, subject: subjectOf(event), version, envelope, ...(broken !== undefined && { broken }) },
      },
    ];
  });
}

const nameOf = ({ topic, partition }: Pick<Reading, 'topic' | 'partition'>): string => `${topic}/${partition}`;

const timeOf = (batch: Batch, { timestampDelta }: Batch['records'][number]): number =>
  Number((batch.attributes & LOG_APPEND_TIME) === 0 ? batch.firstTimestamp + timestampDelta : batch.maxTimestamp);

async function withReason<T>({ brokers }: KafkaConnection, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const said = briefly(error);
    if (!(said instanceof KafkaError)) throw error;
    const why = said.message.replace(/^Kafka: /, '');
    throw new CannotLook(
      `Kafka at ${brokers.join()} cannot be read: ${why}. Start it, or correct KAFKA_BROKERS and KAFKA_PREFIX, or leave out ` +
        'invariant 7 with --only.',
      { cause: error },
    );
  }
}
