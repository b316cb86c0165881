import { openBus } from '../../infra/databases.ts';
import type { Logger } from '../../infra/log.ts';
import type { EventBus, GroupLag, Subscription } from './bus.ts';
import { type KafkaConnection, openReader, SESSION_TIMEOUT_MS } from './kafka-connection.ts';
import { openPublisher } from './kafka-publisher.ts';
import { subscribeKafka } from './kafka-subscription.ts';
import { openTopics, type TopicOptions, type Topics } from './kafka-topics.ts';

export type KafkaBusOptions = KafkaConnection &
  TopicOptions &
  Readonly<{
    /** Of `db_event_bus`, for the dead letters. */
    url: string;
    /** Most connections to it. */
    poolSize: number;
    /** Told what is tried again, where a subscriber does not want to know, and which events Kafka refuses for good. */
    log: Logger;
    /** How long a consumer may be silent before its partitions go to others, milliseconds. */
    sessionTimeoutMs?: number;
  }>;

/**
 * A bus on Kafka: a topic per service, made when it is missing, a key per subject. Opens nothing yet.
 * Load it only where Kafka is configured.
 */
export function openKafkaBus(options: KafkaBusOptions): EventBus {
  const { url, poolSize, log, sessionTimeoutMs = SESSION_TIMEOUT_MS } = options;
  const bus = openBus(url, { poolSize });
  const topics = openTopics(options, options);
  const publisher = openPublisher(options, topics, (error, subject) =>
    log.error({ err: error, subject }, 'Kafka refuses an event: its subject waits in the outbox'),
  );
  const subscriptions = new Set<Subscription>();
  return {
    publish: (events) => publisher.publish(events),
    async subscribe(group, handle, { onError, ...subscribeOptions } = {}) {
      await topics.ensure();
      const tell = (error: unknown) => log.warn({ err: error, group }, 'events wait: trying again until it works');
      const subscription = await subscribeKafka({
        ...{ bus, group, handle, connection: options },
        member: { groupId: topics.groupId(group), topics: topics.names, sessionTimeoutMs },
        options: { ...subscribeOptions, onError: onError ?? tell },
      });
      subscriptions.add(subscription);
      return subscription;
    },
    lag: (group) => lagOf(options, topics, group),
    async close() {
      await Promise.all([...subscriptions].map((subscription) => subscription.stop()));
      await publisher.close();
      await bus.$disconnect();
    },
  };
}

/** Of all partitions, whoever has them. A group that has not begun is behind by everything that is still there. */
async function lagOf(connection: KafkaConnection, topics: Topics, group: string): Promise<GroupLag> {
  await topics.ensure();
  const reader = openReader(connection, topics.groupId(group));
  try {
    reader.topics.trackAll(...topics.names);
    const ends = await reader.listOffsets({ topics: [...topics.names] });
    const begins = await reader.listOffsets({ topics: [...topics.names], timestamp: EARLIEST });
    const places = [...ends].map(([topic, offsets]) => ({ topic, partitions: [...offsets.keys()] }));
    const stored = await reader.listCommittedOffsets({ topics: places });
    let behind = 0;
    for (const [topic, offsets] of ends) {
      offsets.forEach((end, partition) => {
        const at = stored.get(topic)?.[partition] ?? NONE;
        const begin = begins.get(topic)?.[partition] ?? 0n;
        behind += Number(end - (at === NONE ? begin : at));
      });
    }
    return { group, behind };
  } finally {
    await reader.close();
  }
}

const EARLIEST = -2n;
/** Stored where a group has not begun. */
const NONE = -1n;
