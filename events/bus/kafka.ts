import { type Databases, openBus } from '../../infra/databases.ts';
import type { KafkaSettings } from '../../infra/kafka-settings.ts';
import type { Logger } from '../../infra/log.ts';
import type { EventBus, GroupLag, SubscribeOptions, Subscription } from './bus.ts';
import { mustBeKafka } from './carrier.ts';
import { ensureGroup } from './embedded-tables.ts';
import { briefly, type KafkaConnection, openReader, SESSION_TIMEOUT_MS } from './kafka-connection.ts';
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
 * A bus on Kafka: a topic per service, made when it is missing, a key per subject. Opens nothing yet. While events still
 * go by the embedded log it refuses to carry any (`npm run events:switch`).
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
    async publish(events) {
      await mustBeKafka({ bus });
      return publisher.publish(events);
    },
    async subscribe(group, handle, { onError, ...subscribeOptions } = {}) {
      await mustBeKafka({ bus });
      await topics.ensure();
      const tell = (error: unknown) => log.warn({ err: error, group }, 'events wait: trying again until it works');
      const subscription = await subscribeKafka({
        ...{ bus, group, handle, connection: options },
        member: { groupId: topics.groupId(group), topics: topics.names, sessionTimeoutMs },
        options: { ...subscribeOptions, from: await beginOf(bus, group, subscribeOptions), onError: onError ?? tell },
      });
      subscriptions.add(subscription);
      subscription.ended
        .catch((error: unknown) => log.error({ err: error, group }, 'a subscription has ended by itself'))
        .finally(() => subscriptions.delete(subscription));
      try {
        await ensureGroup(bus, group, 'latest'); // of the log: it has nothing for a group that begins on Kafka
      } catch (error) {
        await subscription.stop();
        throw error;
      }
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

/**
 * A group that read the embedded log is not new: since the switch it waits for the first event, whatever a new one would
 * begin at. Nor is one that Kafka has forgotten, because nobody ran it for some days: to begin at the latest event would be
 * to lose those from before without a word.
 */
async function beginOf(bus: Databases['bus'], group: string, { from }: SubscribeOptions) {
  const before = await bus.groupOffset.findUnique({ where: { groupName: group } });
  return before === null && from === 'latest' ? 'latest' : 'earliest';
}

/** Of the settings, what this driver takes. */
export const kafkaOptions = ({ tls, sasl, partitions, replicas, ...settings }: KafkaSettings) => ({
  ...settings,
  ...(tls && { tls: {} }),
  ...(sasl && { sasl }),
  ...(partitions !== undefined && { partitions }),
  ...(replicas !== undefined && { replicas }),
});

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
  } catch (error) {
    throw briefly(error);
  } finally {
    await reader.close();
  }
}

const EARLIEST = -2n;
/** Stored where a group has not begun. */
const NONE = -1n;
