import { type Admin, GenericError } from '@platformatic/kafka';

import { briefly, isKafkaError, type KafkaConnection, openAdmin } from './kafka-connection.ts';

/** One topic per service (data model, Events). */
const TOPIC_OF: ReadonlyMap<string, string> = new Map([
  ['platform', 'platform.events'],
  ['order', 'order.events'],
  ['payment', 'payment.events'],
]);

export type TopicOptions = Readonly<{
  /** Before every name of a topic or group, for a cluster that others use too. */
  prefix?: string;
  /** Of a topic that is made. More later would move subjects to other partitions, past their earlier events. */
  partitions?: number;
  /** Copies of a topic that is made; -1 leaves it to the cluster. */
  replicas?: number;
  /** How long a topic that is made keeps events, milliseconds; -1 for ever. */
  retentionMs?: number;
}>;

export type Topics = Readonly<{
  names: readonly string[];
  /** The group's name on Kafka, whose client takes no blanks. */
  groupId: (group: string) => string;
  /** undefined for a source that has no topic. */
  topicOf: (source: string) => string | undefined;
  /** Makes the topics that are missing. Repeat-safe, costs nothing after the first time. */
  ensure: () => Promise<void>;
}>;

const PARTITIONS = 12;
const CLUSTERS_CHOICE = -1;
/** Longer than a consumer should ever be away, shorter than for ever: the outboxes keep everything. */
const RETENTION_MS = 30 * 24 * 3_600_000;
/** With three copies one broker may be away, and what is stored is still on two. */
const ENOUGH_REPLICAS = 3;
const MADE_LIMIT_MS = 10_000;
const POLL_MS = 100;

export function openTopics(connection: KafkaConnection, options: TopicOptions = {}): Topics {
  const { prefix = '' } = options;
  const names = [...TOPIC_OF.values()].map((name) => prefix + name);
  let ensured: Promise<void> | undefined;
  return {
    names,
    groupId: (group) => `${prefix}commerce-saga.${encodeURIComponent(group)}`,
    topicOf: (source) => {
      const topic = TOPIC_OF.get(source);
      return topic && prefix + topic;
    },
    ensure() {
      ensured ??= ensureTopics(connection, names, options).catch((error: unknown) => {
        ensured = undefined; // the next one asks again
        throw briefly(error);
      });
      return ensured;
    },
  };
}

async function ensureTopics(
  connection: KafkaConnection,
  names: readonly string[],
  options: TopicOptions,
): Promise<void> {
  const admin = openAdmin(connection);
  try {
    for (const name of names) {
      if (!(await exists(admin, name))) await make(admin, name, options);
    }
  } finally {
    await admin.close();
  }
}

async function make(admin: Admin, name: string, options: TopicOptions): Promise<void> {
  const { partitions = PARTITIONS, replicas = CLUSTERS_CHOICE, retentionMs = RETENTION_MS } = options;
  const configs = [{ name: 'retention.ms', value: String(retentionMs) }];
  if (replicas >= ENOUGH_REPLICAS) configs.push({ name: 'min.insync.replicas', value: '2' });
  try {
    await admin.createTopics({ topics: [name], partitions, replicas, configs });
  } catch (error) {
    if (!isKafkaError(error, 'TOPIC_ALREADY_EXISTS')) throw error; // another process was faster
  }
  for (const deadline = Date.now() + MADE_LIMIT_MS; !(await exists(admin, name));) {
    if (Date.now() > deadline) throw new Error(`Kafka made topic ${name}, but does not show it`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** @returns false while there is none, or not every partition has a leader */
async function exists(admin: Admin, name: string): Promise<boolean> {
  try {
    const { topics } = await admin.metadata({ topics: [name], forceUpdate: true });
    return topics.get(name)?.partitions.every(({ leader }) => leader >= 0) ?? false;
  } catch (error) {
    if (isUnknown(error)) return false;
    throw error;
  }
}

/** The client has no error of its own for this. */
const isUnknown = (error: unknown): boolean =>
  isKafkaError(error, 'UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE') ||
  (error instanceof GenericError && error.message.startsWith('Unknown topic '));
