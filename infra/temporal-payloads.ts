import type { Payload } from '@temporalio/common';

/** Where a payload is in a message of Temporal's, such as `events.0.workflowExecutionStartedEventAttributes.input.payloads.0`. */
export type PlacedPayload = Readonly<{ path: string; payload: Payload }>;

/** Every payload in a history or another message, in its order. */
export function payloadsIn(message: unknown, path: readonly string[] = []): PlacedPayload[] {
  if (typeof message !== 'object' || message === null || message instanceof Uint8Array) return [];
  if (isPayload(message)) return [{ path: path.join('.'), payload: message }];
  return Object.entries(message).flatMap(([name, value]) => payloadsIn(value, [...path, name]));
}

/** By its metadata: in every other message they are no map of bytes. */
const isPayload = (message: object): message is Payload =>
  'metadata' in message &&
  typeof message.metadata === 'object' &&
  message.metadata !== null &&
  Object.values(message.metadata).some((value) => value instanceof Uint8Array);
