import type { EventType } from '../events/catalogue.ts';
import type { ReadEvent } from '../events/read-event.ts';

type EventOf<T extends EventType> = Extract<ReadEvent, { type: T }>;

/** The events of these types, in the order in which they came. */
export const ofTypes = <const T extends EventType>(events: readonly ReadEvent[], types: readonly T[]): EventOf<T>[] =>
  events.filter((event): event is EventOf<T> => (types as readonly EventType[]).includes(event.type));

/** Of the events with the same key the one with the highest version: what it says is true now, whatever came when. */
export function newestBy<E extends Pick<ReadEvent, 'aggregateVersion'>>(
  events: readonly E[],
  keyOf: (event: E) => string,
): E[] {
  const newest = new Map<string, E>();
  for (const event of events) {
    const key = keyOf(event);
    const known = newest.get(key);
    if (known === undefined || known.aggregateVersion < event.aggregateVersion) newest.set(key, event);
  }
  return [...newest.values()];
}

/** What a fact is, with the version that guards it and the database's instant at which it became true. */
export const factOf = <E extends ReadEvent>({ aggregateVersion, time, data }: E) => ({
  ...(data as E['data']),
  version: aggregateVersion,
  time,
});

export const distinct = (ids: readonly string[]): string[] => [...new Set(ids)];

/** The types of events about an order; each carries the whole order with its totals so far. */
export const ORDER_EVENTS = [
  'OrderCreated',
  'OrderPaid',
  'OrderFailed',
  'OrderCancelled',
  'OrderRefunded',
] as const satisfies readonly EventType[];

/** The types of events about a payment; each carries the whole payment with its totals so far. */
export const PAYMENT_EVENTS = [
  'PaymentPending',
  'PaymentCompleted',
  'PaymentFailed',
  'PaymentCancelled',
  'PaymentRefunded',
] as const satisfies readonly EventType[];
