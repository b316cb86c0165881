import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Consumer as KafkaConsumer, IS_CONTROL } from '@platformatic/kafka';

import type { Databases } from '../../infra/databases.ts';
import type { HandleEvents, SubscribeOptions, Subscription } from './bus.ts';
import { ATTEMPTS, type Consumer, openConsumer } from './consume.ts';
import type { Delivery } from './dead-letters.ts';
import { briefly, isKafkaError, type KafkaConnection } from './kafka-connection.ts';
import { joinGroup, type Member, type MemberOptions, type Owned } from './kafka-member.ts';
import { deliveryOf } from './kafka-records.ts';

export type KafkaSubscriber = Readonly<{
  bus: Databases['bus'];
  connection: KafkaConnection;
  group: string;
  member: Omit<MemberOptions, 'from'>;
  handle: HandleEvents;
  options: SubscribeOptions & Required<Pick<SubscribeOptions, 'onError'>>;
}>;

/** A record, or what stands in its place in the log and is none. */
type Entry = Readonly<{ owned: Owned; next: bigint; delivery?: Delivery }>;

type FetchResponse = Awaited<ReturnType<KafkaConsumer['fetch']>>;

const BATCH_SIZE = 500;
/** How long a broker waits for the first record, milliseconds: also how long `stop` and `redrive` may have to wait. */
const FETCH_WAIT_MS = 500;
/** With several brokers each is asked, and none may hold up what another has. */
const FETCH_WAIT_OF_MANY_MS = 50;
const PARTITION_BYTES = 256 * 1024;
const FETCH_BYTES = 4 * 1024 * 1024;
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;
const FIRST_JOIN_LIMIT_MS = 30_000;

/**
 * Takes part in a group until it is stopped. What was handled is committed afterwards, so that a crash delivers again.
 *
 * @throws when Kafka cannot be reached for 30 s at the beginning. Later the group is joined again until it can
 */
export async function subscribeKafka(subscriber: KafkaSubscriber): Promise<Subscription> {
  const { bus, group, handle, options } = subscriber;
  const { attempts = ATTEMPTS, slowMs, onError } = options;
  const stop = new AbortController();
  const holder = randomUUID();
  const consumer = openConsumer({
    ...{ bus, group, holder, handle, stopping: stop.signal, attempts, onError },
    ...(slowMs !== undefined && { slowMs }),
  });

  const first = await firstStay(subscriber);
  const ended = run(subscriber, consumer, first, stop.signal);
  return {
    ended,
    async stop() {
      stop.abort();
      await ended.catch(() => undefined); // that it had ended before is told by `ended`
    },
  };
}

/**
 * Subscribed means: its partitions are shared out, so that `latest` is now and not some time later. A cluster that has
 * just started needs a while to find out who coordinates the group.
 */
async function firstStay(subscriber: KafkaSubscriber): Promise<Member> {
  for (const deadline = Date.now() + FIRST_JOIN_LIMIT_MS; ; await sleep(PAUSE_MS)) {
    let member: Member | undefined;
    try {
      member = await join(subscriber);
      await member.partitions();
      return member;
    } catch (error) {
      await member?.leave();
      if (Date.now() > deadline) throw briefly(error);
      subscriber.options.onError(briefly(error));
    }
  }
}

const join = ({ connection, member, options: { from = 'earliest' } }: KafkaSubscriber) =>
  joinGroup(connection, { ...member, from });

async function run(subscriber: KafkaSubscriber, consumer: Consumer, first: Member, stopping: AbortSignal) {
  const { onError } = subscriber.options;
  let member: Member | undefined = first;
  let pauseMs = PAUSE_MS;
  while (!stopping.aborted) {
    try {
      if (member === undefined) {
        member = await join(subscriber);
        pauseMs = PAUSE_MS;
      }
      await handOn(subscriber, consumer, member, stopping);
    } catch (error) {
      if (isKafkaError(error, 'OFFSET_OUT_OF_RANGE')) {
        await member?.leave();
        throw new Error(lostEvents(subscriber.group), { cause: error });
      }
      onError(briefly(error));
      await member?.leave();
      member = undefined;
      await pause(pauseMs, stopping);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }
  await member?.leave();
}

const lostEvents = (group: string): string =>
  `Kafka no longer has the events that group ${group} comes to next. They were kept for too short a time, or the topic ` +
  'was made anew. Rebuild what the group makes from the outboxes, and reset its offsets with kafka-consumer-groups.';

async function handOn(subscriber: KafkaSubscriber, consumer: Consumer, member: Member, stopping: AbortSignal) {
  const { batchSize = BATCH_SIZE, onError } = subscriber.options;
  for (let turn = 0; !stopping.aborted; turn++) {
    await redriven(consumer, onError);
    let rest = await fetchEntries(member, beginningAt(turn, await member.partitions()));
    while (rest.length > 0 && !stopping.aborted) {
      await member.partitions(); // while it is being shared out, nobody knows what is ours
      rest = rest.filter(({ owned }) => member.owns(owned));
      try {
        await handle(consumer, member, rest.slice(0, batchSize));
      } catch (error) {
        if (error instanceof StayOver) throw error.cause;
        onError(error);
        await pause(PAUSE_MS, stopping);
        break; // no offset has moved, so the rest of what was fetched is fetched again, in order
      }
      rest = rest.slice(batchSize);
    }
  }
}

/**
 * Each partition comes first in its turn: a broker fills its answer in the order asked, and a batch that is larger than we
 * allow it gives only of the first partition that has something. The last one would wait until all others ran dry.
 */
function beginningAt(turn: number, partitions: readonly Owned[]): readonly Owned[] {
  const first = partitions.length === 0 ? 0 : turn % partitions.length;
  return [...partitions.slice(first), ...partitions.slice(0, first)];
}

/** The dead letters are in a database that may be away: that is no reason to leave the group. */
async function redriven(consumer: Consumer, onError: (error: unknown) => void): Promise<void> {
  try {
    await consumer.redrive();
  } catch (error) {
    onError(error); // it is tried again after the next fetch
  }
}

/** Told apart from a database that is away: that is no reason to leave the group. */
class StayOver extends Error {}

async function handle(consumer: Consumer, member: Member, batch: readonly Entry[]): Promise<void> {
  const deliveries = batch.flatMap(({ delivery }) => delivery ?? []);
  const count = deliveries.length === 0 ? 0 : await consumer.consume(deliveries);
  const open = deliveries[count];
  const end = open === undefined ? batch.length : batch.findIndex(({ delivery }) => delivery === open);
  const done = batch.slice(0, end);
  for (const { owned, next } of done) owned.next = next;
  try {
    await member.partitions(); // a sharing-out that is going on decides first whose they are
    await member.commit([...new Set(done.map(({ owned }) => owned))]);
  } catch (error) {
    throw new StayOver('the group is lost', { cause: error });
  }
}

async function fetchEntries(member: Member, partitions: readonly Owned[]): Promise<Entry[]> {
  const { reader } = member;
  if (partitions.length === 0) {
    await sleep(FETCH_WAIT_MS); // a member more than there are partitions
    return [];
  }
  const { topics } = await reader.metadata({ topics: [...new Set(partitions.map(({ topic }) => topic))] });
  const leaderOf = ({ topic, partition }: Owned) => topics.get(topic)?.partitions[partition]?.leader ?? -1;
  const leaders = [...new Set(partitions.map(leaderOf))];
  const answers = await Promise.all(
    leaders.map(async (node) => {
      const asked = partitions
        .filter((owned) => leaderOf(owned) === node)
        .map((owned) => ({ owned, topicId: topics.get(owned.topic)?.id ?? '' }));
      const answer = await reader.fetch({
        node,
        minBytes: 1,
        maxBytes: FETCH_BYTES,
        maxWaitTime: leaders.length === 1 ? FETCH_WAIT_MS : FETCH_WAIT_OF_MANY_MS,
        topics: asked.map(({ owned: { partition, next }, topicId }) => ({
          topicId,
          partitions: [
            {
              ...{ partition, fetchOffset: next, partitionMaxBytes: PARTITION_BYTES },
              ...{ currentLeaderEpoch: -1, lastFetchedEpoch: -1 },
            },
          ],
        })),
      });
      return asked.flatMap(({ owned, topicId }) => entriesOf(answer, owned, topicId));
    }),
  );
  return answers.flat();
}

/** A batch is sent whole, so its first records may have been handled before. */
function entriesOf(answer: FetchResponse, owned: Owned, topicId: string): Entry[] {
  const { topic, partition, next } = owned;
  const batches = answer.responses
    .filter((ofTopic) => ofTopic.topicId === topicId)
    .flatMap(({ partitions }) => partitions.filter(({ partitionIndex }) => partitionIndex === partition))
    .flatMap(({ records = [] }) => records);
  return batches.flatMap((batch) => {
    const end: Entry = { owned, next: batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n };
    if ((batch.attributes & IS_CONTROL) !== 0) return [end];
    const records = batch.records
      .map((record) => ({ record, offset: batch.firstOffset + BigInt(record.offsetDelta) }))
      .filter(({ offset }) => offset >= next)
      .map(({ record, offset }): Entry => {
        return { owned, next: offset + 1n, delivery: deliveryOf(topic, partition, offset, record) };
      });
    return [...records, end];
  });
}

async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: stopping });
  } catch (error) {
    if (!stopping.aborted) throw error;
  }
}
