import { setTimeout as sleep } from 'node:timers/promises';

import { type StoredEvent, subjectOf } from '../stored-event.ts';
import { briefly, isKafkaError, type KafkaConnection, openProducer, type TextProducer } from './kafka-connection.ts';
import { recordOf, type TextRecord } from './kafka-records.ts';
import type { Topics } from './kafka-topics.ts';

export type Publisher = Readonly<{
  /** @see EventBus.publish */
  publish: (events: readonly StoredEvent[]) => Promise<ReadonlySet<string>>;
  close: () => Promise<void>;
}>;

type Sending = Readonly<{ event: StoredEvent; record: TextRecord; bytes: number }>;

/**
 * Bytes sent in one request. A broker measures what goes to one partition as one message, by default 1 MiB at most: a
 * request of small events must not be refused for their sum.
 */
const REQUEST_BYTES = 512 * 1024;
/** What a record needs beside its value. */
const RECORD_OVERHEAD_BYTES = 512;
const END_LIMIT_MS = 1_000;
/** What Kafka says of a record that it will never take. Everything else may pass. */
const REFUSALS = [
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'CORRUPT_MESSAGE',
  'POLICY_VIOLATION',
];

/**
 * @param onRefused told why a subject's event was refused; its later events are held back
 */
export function openPublisher(
  connection: KafkaConnection,
  topics: Topics,
  onRefused: (error: unknown, subject: string) => void,
): Publisher {
  let producer: TextProducer | undefined;
  let last: Promise<unknown> = Promise.resolve();

  /**
   * After any failure the producer is given up. It counts its batches, and counts one that failed for some partitions
   * as not sent at all; the broker would take the next batch there for a repetition, and drop it without a word.
   */
  async function send(messages: TextRecord[]): Promise<void> {
    producer ??= openProducer(connection);
    try {
      await producer.send({ messages });
    } catch (error) {
      const failed = producer;
      producer = undefined;
      await ended(failed).catch(() => undefined); // the error that matters is being thrown
      throw error;
    }
  }

  /** Halves what Kafka refuses until it is one event. What was stored already is stored again: at least once. */
  async function store(batch: readonly Sending[], failed: Set<string>): Promise<void> {
    const allowed = batch.filter(({ event }) => !failed.has(subjectOf(event)));
    const [first] = allowed;
    if (first === undefined) return;
    try {
      await send(allowed.map(({ record }) => record));
    } catch (error) {
      if (!isKafkaError(error, ...REFUSALS)) throw briefly(error);
      if (allowed.length === 1) {
        failed.add(subjectOf(first.event));
        onRefused(briefly(error), subjectOf(first.event));
        return;
      }
      const half = Math.ceil(allowed.length / 2);
      await store(allowed.slice(0, half), failed);
      await store(allowed.slice(half), failed);
    }
  }

  async function publish(events: readonly StoredEvent[]): Promise<ReadonlySet<string>> {
    await topics.ensure();
    const failed = new Set<string>();
    const sendings = events.flatMap((event): Sending[] => {
      const topic = topics.topicOf(event.source);
      if (topic !== undefined) return [sendingOf(topic, event)];
      if (!failed.has(subjectOf(event)))
        onRefused(new Error(`no topic for events from ${event.source}`), subjectOf(event));
      failed.add(subjectOf(event));
      return [];
    });
    for (const batch of batches(sendings)) await store(batch, failed);
    return failed;
  }

  return {
    /** One at a time: two requests under way would carry the same count, and one of them would be dropped. */
    publish(events) {
      const turn = last.then(() => publish(events));
      last = turn.catch(() => undefined);
      return turn;
    },
    async close() {
      await last;
      if (producer !== undefined) await ended(producer);
      producer = undefined;
    },
  };
}

/** A connection ends when everything is sent, and a broker that is gone or stands still reads no more: nobody waits. */
async function ended(producer: TextProducer): Promise<void> {
  await Promise.race([producer.close(), sleep(END_LIMIT_MS, undefined, { ref: false })]);
}

function sendingOf(topic: string, event: StoredEvent): Sending {
  const record = recordOf(topic, event);
  return { event, record, bytes: Buffer.byteLength(record.value) + RECORD_OVERHEAD_BYTES };
}

function* batches(sendings: readonly Sending[]): Generator<Sending[]> {
  let batch: Sending[] = [];
  let bytes = 0;
  for (const sending of sendings) {
    if (batch.length > 0 && bytes + sending.bytes > REQUEST_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(sending);
    bytes += sending.bytes;
  }
  if (batch.length > 0) yield batch;
}
