import { setTimeout as sleep } from 'node:timers/promises';

import { Base, type Consumer, ListOffsetTimestamps } from '@platformatic/kafka';

import { type KafkaConnection, mustRejoin, openMember, openReader } from './kafka-connection.ts';

/** A partition that is ours. A new object each time that it becomes ours, so that it names the time as well. */
export type Owned = { readonly topic: string; readonly partition: number; /** Next offset to handle. */ next: bigint };

export type MemberOptions = Readonly<{
  groupId: string;
  topics: readonly string[];
  sessionTimeoutMs: number;
  /** Where a partition begins that the group has no offset of. */
  from: 'earliest' | 'latest';
}>;

/** One stay in a consumer group: from joining it until it is left, or is lost and has to be joined anew. */
export type Member = Readonly<{
  reader: Consumer;
  /** Waits while the group shares out. @throws when the stay is over: leave, and join anew */
  partitions: () => Promise<readonly Owned[]>;
  /** Whether it has been ours without a break. */
  owns: (partition: Owned) => boolean;
  /**
   * Stores how far the group is, for those of the partitions that are still ours.
   *
   * @throws when the stay is over
   */
  commit: (partitions: readonly Owned[]) => Promise<void>;
  leave: () => Promise<void>;
}>;

const SHARED_OUT_LIMIT_MS = 30_000;
const LEAVE_LIMIT_MS = 5_000;
const POLL_MS = 20;

type Stay = { member: string | null; generation: number; owned: Owned[] | undefined; lost: Error | undefined };

/**
 * Joins a group and knows which partitions are its own.
 *
 * @throws when Kafka cannot be reached
 */
export async function joinGroup(connection: KafkaConnection, options: MemberOptions): Promise<Member> {
  const consumer = openMember(connection, options.groupId, options.sessionTimeoutMs);
  const reader = openReader(connection, options.groupId);
  for (const client of [consumer, reader]) client.topics.trackAll(...options.topics);
  const stay: Stay = { member: null, generation: 0, owned: undefined, lost: undefined };
  watch(consumer, stay);
  const leave = () => end(consumer, reader);
  try {
    await consumer.joinGroup({});
    return {
      reader,
      partitions: () => settled(consumer, reader, stay, options),
      owns: (partition) => stay.owned?.includes(partition) ?? false,
      commit: (partitions) => commit(consumer, stay, partitions),
      leave,
    };
  } catch (error) {
    await leave();
    throw error;
  }
}

/**
 * Partitions that stay ours through a sharing-out keep their object, and with it what is in hand. They stay ours only
 * when we took part in every generation; a member that was thrown out does not know who had them meanwhile.
 */
function watch(consumer: Consumer, stay: Stay): void {
  let before: readonly Owned[] = [];
  consumer.on('consumer:group:rebalance', () => {
    before = stay.owned ?? before;
    stay.owned = undefined;
  });
  consumer.on('consumer:group:join', ({ memberId, generationId = 0, assignments }) => {
    const kept = stay.member === memberId && stay.generation + 1 === generationId ? (stay.owned ?? before) : [];
    const ours = (assignments ?? []).flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    stay.owned = ours.map((place) => kept.find((old) => sameAs(old, place)) ?? { ...place, next: UNKNOWN });
    Object.assign(stay, { member: memberId, generation: generationId });
  });
  // The client stops its heartbeats after these, so that the group forgets us without our noticing.
  consumer.on('consumer:heartbeat:error', ({ error }) => (stay.lost = error));
  consumer.on('error', (error: Error) => (stay.lost = error));
}

/** The offset of a partition that the group has not been asked about yet. */
const UNKNOWN = -1n;

const sameAs = (a: Place, b: Place): boolean => a.topic === b.topic && a.partition === b.partition;
type Place = Readonly<{ topic: string; partition: number }>;

async function settled(consumer: Consumer, reader: Consumer, stay: Stay, options: MemberOptions): Promise<Owned[]> {
  for (const deadline = Date.now() + SHARED_OUT_LIMIT_MS; stay.owned === undefined; await sleep(POLL_MS)) {
    if (stay.lost !== undefined) break;
    if (Date.now() > deadline) throw new Error(`group ${options.groupId} shared out for too long`);
  }
  if (stay.lost !== undefined) throw stay.lost;
  const { owned = [] } = stay;
  const fresh = owned.filter(({ next }) => next === UNKNOWN);
  if (fresh.length === 0) return owned;

  await findOffsets(reader, fresh, options.from);
  if (stay.owned !== owned) return settled(consumer, reader, stay, options); // shared out again meanwhile
  await commit(consumer, stay, fresh); // where it began is kept, whatever is published before its next start
  return stay.owned === owned ? owned : settled(consumer, reader, stay, options);
}

async function findOffsets(reader: Consumer, fresh: readonly Owned[], from: 'earliest' | 'latest'): Promise<void> {
  const topics = [...new Set(fresh.map(({ topic }) => topic))].map((topic) => ({
    topic,
    partitions: fresh.filter((owned) => owned.topic === topic).map(({ partition }) => partition),
  }));
  const stored = await reader.listCommittedOffsets({ topics });
  const timestamp = from === 'earliest' ? ListOffsetTimestamps.EARLIEST : ListOffsetTimestamps.LATEST;
  const first = await reader.listOffsets({ topics: topics.map(({ topic }) => topic), timestamp });
  for (const owned of fresh) {
    const known = stored.get(owned.topic)?.[owned.partition] ?? UNKNOWN;
    const begin = known === UNKNOWN ? first.get(owned.topic)?.[owned.partition] : known;
    if (begin === undefined) throw new Error(`Kafka does not know where ${owned.topic}/${owned.partition} begins`);
    owned.next = begin;
  }
}

async function commit(consumer: Consumer, stay: Stay, partitions: readonly Owned[]): Promise<void> {
  const offsets = partitions
    .filter((partition) => stay.owned?.includes(partition))
    .map(({ topic, partition, next }) => ({ topic, partition, offset: next, leaderEpoch: -1 }));
  if (offsets.length === 0) return;
  try {
    await consumer.commit({ offsets });
  } catch (error) {
    if (!mustRejoin(error)) throw error;
    // The group is sharing out and did not take it. What is ours afterwards is committed with the next batch; what
    // is not comes again to whoever has it.
  }
}

/** Whatever is still open when a broker does not answer is cut: the group forgets a silent member by itself. */
async function end(consumer: Consumer, reader: Consumer): Promise<void> {
  const left = new Promise<void>((resolve, reject) => {
    consumer.leaveGroup(false, (error) => (error ? reject(error) : resolve()));
  }).then(() => consumer.close());
  const gone = await Promise.race([
    left.then(
      () => true,
      () => false,
    ),
    sleep(LEAVE_LIMIT_MS, false, { ref: false }),
  ]);
  if (!gone) await Base.prototype.close.call(consumer);
  await reader.close();
}
