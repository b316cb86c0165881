import {
  Admin,
  type BaseOptions,
  compatibilityPartitioner,
  Consumer,
  GenericError,
  MultipleErrors,
  Producer,
  stringSerializers,
} from '@platformatic/kafka';

/** Where Kafka is, and who we are to it. */
export type KafkaConnection = Readonly<{
  /** `host:port` of brokers to ask first. */
  brokers: readonly string[];
  /** In the broker's logs and quotas. */
  clientId?: string;
  /** TLS as Node's `tls.connect` takes it; without it nothing is encrypted. */
  tls?: BaseOptions['tls'];
  sasl?: BaseOptions['sasl'];
}>;

/** How long a member may be silent before its partitions go to others, milliseconds. */
export const SESSION_TIMEOUT_MS = 10_000;
/** How long the others of a group are waited for when it shares its partitions out again, milliseconds. */
const REBALANCE_TIMEOUT_MS = 20_000;

const CONNECT_LIMIT_MS = 3_000;
const REQUEST_LIMIT_MS = 10_000;
/** A broker answers a join only when the whole group has joined. */
const MEMBER_REQUEST_LIMIT_MS = REBALANCE_TIMEOUT_MS + 5_000;
const STORE_LIMIT_MS = 5_000;
const RETRY_PAUSE_MS = 250;
/** A cluster that has just started takes a second or two to find out who coordinates a group. */
const READER_RETRIES = 8;

/** For topics and offsets. */
export const openAdmin = (connection: KafkaConnection): Admin => guarded(new Admin(baseOptions(connection)));

export type TextProducer = Producer<string, string, string, string>;

/** Stores on all replicas in sync, and the same batch once however often it has to be sent. */
export const openProducer = (connection: KafkaConnection): TextProducer =>
  guarded(
    new Producer({
      ...baseOptions(connection),
      idempotent: true,
      acks: -1,
      timeout: STORE_LIMIT_MS,
      retries: 2, // fewer than two would mean for ever
      serializers: stringSerializers,
      // As Kafka's own clients choose: whatever else writes a subject, such as Debezium, puts it in the same partition.
      partitioner: compatibilityPartitioner,
    }),
  );

/** Reads records and offsets for a group without being one of its members. */
export const openReader = (connection: KafkaConnection, groupId: string): Consumer =>
  guarded(new Consumer({ ...baseOptions(connection), groupId, retries: READER_RETRIES }));

/**
 * Takes part in a group. It never tries again by itself: this client would repeat a commit that the group refused, in
 * its next generation and for partitions that belong to others by then.
 */
export const openMember = (connection: KafkaConnection, groupId: string, sessionTimeoutMs: number): Consumer =>
  guarded(
    new Consumer({
      ...baseOptions(connection),
      groupId,
      retries: 0,
      requestTimeout: MEMBER_REQUEST_LIMIT_MS,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      heartbeatInterval: Math.floor(sessionTimeoutMs / 10),
    }),
  );

/** True when this, or something it was caused by, is one of these errors of Kafka's protocol. */
export const isKafkaError = (error: unknown, ...ids: readonly string[]): boolean =>
  ids.some((id) => says(error, 'apiId', id));

/** True when the group goes on without this member, or is sharing out again. */
export const mustRejoin = (error: unknown): boolean => says(error, 'needsRejoin', true);

/**
 * What went wrong, in one line. The client's own errors hold every attempt with its stack and the broker's whole answer:
 * in an outage that is a page of log every second.
 */
export function briefly(error: unknown): unknown {
  const lines = new Set(leaves(error).map(({ message }) => message));
  return error instanceof GenericError || error instanceof MultipleErrors
    ? new KafkaError(`Kafka: ${[...lines].join(' · ')}`)
    : error;
}

export class KafkaError extends Error {
  override readonly name = 'KafkaError';
}

const leaves = (error: unknown): Error[] =>
  error instanceof AggregateError && error.errors.length > 0
    ? error.errors.flatMap(leaves)
    : error instanceof Error
      ? [error]
      : [];

function says(error: unknown, property: string, value: unknown): boolean {
  if (error instanceof GenericError) return error.findBy(property, value) !== null;
  if (error instanceof MultipleErrors) return error.findBy(property, value) !== null;
  return false;
}

const baseOptions = ({ brokers, clientId = 'commerce-saga', tls, sasl }: KafkaConnection) => ({
  clientId,
  bootstrapBrokers: [...brokers],
  connectTimeout: CONNECT_LIMIT_MS,
  requestTimeout: REQUEST_LIMIT_MS,
  retryDelay: RETRY_PAUSE_MS,
  autocreateTopics: false,
  ...(tls && { tls }),
  ...(sasl && { sasl }),
});

/** What goes wrong is told to whoever asked; as an event that nobody listens to it would end the process. */
function guarded<Client extends { on: (event: 'error', listener: () => void) => unknown }>(client: Client): Client {
  client.on('error', () => undefined);
  return client;
}
