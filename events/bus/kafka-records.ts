import type { KafkaRecord } from '@platformatic/kafka';
import { v5 } from 'uuid';

import { type StoredEvent, subjectOf } from '../stored-event.ts';
import type { Delivery } from './dead-letters.ts';

/** What is sent: the envelope as a CloudEvent in structured mode, and beside it what our own consumers go by. */
export type TextRecord = Readonly<{ topic: string; key: string; value: string; headers: Record<string, string> }>;

const CONTENT_TYPE = 'application/cloudevents+json; charset=UTF-8';
/** Names records that have no id of their own by their place. */
const NAMESPACE = '3f4a8c0e-0c41-5c43-8a55-5a0d5c1f7e02';

export const recordOf = (topic: string, event: StoredEvent): TextRecord => ({
  topic,
  key: subjectOf(event),
  value: JSON.stringify(event.envelope),
  headers: {
    'content-type': CONTENT_TYPE,
    id: event.id,
    type: event.type,
    source: event.source,
    aggregateType: event.aggregateType,
    aggregateId: event.aggregateId,
    aggregateVersion: String(event.aggregateVersion),
    ...(typeof event.envelope['traceparent'] === 'string' && { traceparent: event.envelope['traceparent'] }),
  },
});

/**
 * Reads a record of ours, or of Debezium's outbox router. Whatever else somebody wrote to the topic becomes a delivery
 * that no handler is asked for, under the subject that its key names.
 */
export function deliveryOf(topic: string, partition: number, offset: bigint, record: KafkaRecord): Delivery {
  const place = `${topic}/${partition}/${offset}`;
  const headers = new Map(record.headers.map(([name, value]) => [textOf(name), textOf(value)]));
  const key = textOf(record.key);
  const value = textOf(record.value);
  const parsed = record.value === null ? undefined : jsonObject(value);
  const envelope = parsed ?? { unreadable: value };
  const [keyType, keyId] = splitKey(key);
  const attribute = (name: string, inEnvelope: string): string =>
    headers.get(name) || (typeof envelope[inEnvelope] === 'string' ? envelope[inEnvelope] : '');

  const event: StoredEvent = {
    id: attribute('id', 'id') || v5(place, NAMESPACE),
    type: attribute('type', 'type') || 'unknown',
    source: attribute('source', 'source').replace(/^.*\//, '') || 'unknown',
    aggregateType: attribute('aggregateType', 'aggregateType') || keyType,
    aggregateId: attribute('aggregateId', 'subject') || keyId,
    aggregateVersion: versionOf(headers.get('aggregateVersion') ?? envelope['aggregateVersion']),
    envelope,
  };
  return parsed === undefined ? { place, event, broken: brokenBecause(record) } : { place, event };
}

const brokenBecause = ({ value }: KafkaRecord): string =>
  value === null ? 'the record has no value' : "the record's value is no JSON object";

const textOf = (bytes: Buffer | null): string => bytes?.toString() ?? '';

function splitKey(key: string): [string, string] {
  const slash = key.indexOf('/');
  return slash < 0 ? ['unknown', key] : [key.slice(0, slash), key.slice(slash + 1)];
}

/** Headers carry text, envelopes numbers. 0 is none: real versions begin with 1. */
function versionOf(value: unknown): number {
  const version = typeof value === 'string' ? Number(value) : value;
  return typeof version === 'number' && Number.isSafeInteger(version) ? version : 0;
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // that it is none is the answer
  }
}
