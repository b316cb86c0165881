import { randomUUID } from 'node:crypto';

import type { EventBus } from '../../events/bus/bus.ts';
import { appendToOutbox, type ShopEvent, shopEvent } from '../../events/outbox.ts';
import { type StoredEvent, subjectOf } from '../../events/stored-event.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { query } from './databases.ts';

/** An event of a row of stock; the location makes the aggregate. */
export function stockEvent(location: string, version: number, more: Readonly<{ note?: string }> = {}): ShopEvent {
  return shopEvent('InventoryReserved', `10-0-${location}`, version, randomUUID(), {
    ...{ productId: '10', variantId: null, locationCode: location, quantityChange: -1, reservedChange: 1 },
    ...{ available: 1_000, reserved: version, lowStockThreshold: 10, reason: more.note ?? 'CHECKOUT', orderId: null },
  });
}

/** The subject on the bus of `stockEvent(location, …)`. */
export const stockSubject = (location: string): string => `inventory/10-0-${location}`;

/** Versions `first` to `last` of one aggregate. */
export const stockEvents = (location: string, first: number, last: number): ShopEvent[] =>
  Array.from({ length: last - first + 1 }, (_, index) => stockEvent(location, first + index));

/** In one transaction each call, as a service does it. */
export const append = (platform: Databases['platform'], ...events: readonly ShopEvent[]): Promise<void> =>
  platform.$transaction((tx) => appendToOutbox(tx, events));

export async function unpublished(db: SqlTransaction): Promise<number> {
  const [row] = await db.$queryRaw<{ n: number }[]>`select count(*)::int as n from outbox where published_at is null`;
  return row?.n ?? 0;
}

/** A bus that keeps what it is given, and refuses or fails as a test asks. It hands nothing on. */
export class RecordingBus implements Pick<EventBus, 'publish'> {
  readonly batches: (readonly StoredEvent[])[] = [];
  refuses: (event: StoredEvent) => boolean = () => false;
  /** Called before anything is stored. */
  before: () => Promise<void> = () => Promise.resolve();

  async publish(events: readonly StoredEvent[]): Promise<ReadonlySet<string>> {
    await this.before();
    const refused = new Set<string>();
    const stored = events.filter((event) => {
      if (this.refuses(event)) refused.add(subjectOf(event));
      return !refused.has(subjectOf(event));
    });
    if (stored.length > 0) this.batches.push(stored);
    return refused;
  }

  /** The versions of each subject, in the order in which they were stored. */
  versions(): Record<string, number[]> {
    return versionsBySubject(this.batches.flat());
  }
}

export const versionsBySubject = (events: readonly StoredEvent[]): Record<string, number[]> =>
  versionsOf(events.map((event) => ({ subject: subjectOf(event), version: event.aggregateVersion })));

/** What a consumer sees that drops what it has seen: the first of each. */
export const firstOnly = (versions: readonly number[]): number[] => [...new Set(versions)];

export const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

/** An event's place in the order of its aggregate. */
export type Versioned = Readonly<{ subject: string; version: number }>;

/** The log of the embedded bus, in the order in which it is read. */
export const LOG_BY_POSITION = 'select subject, aggregate_version::int as version from event_log order by position';

/** What is in the log of the embedded bus: the versions of each subject, by position. */
export const onEmbeddedBus = async (adminUrl: string): Promise<Record<string, number[]>> =>
  versionsOf(await query<Versioned>(adminUrl, LOG_BY_POSITION));

export function versionsOf(rows: readonly Versioned[]): Record<string, number[]> {
  const versions: Record<string, number[]> = {};
  for (const { subject, version } of rows) (versions[subject] ??= []).push(version);
  return versions;
}
