import type { StoredEvent } from '../stored-event.ts';

/** What a group does with a batch: events of one subject come in order, and may come again. */
export type HandleEvents = (batch: readonly StoredEvent[]) => Promise<void>;

/**
 * Thrown by a handler for an event that no repeat can help, such as one of a type or version it does not know: it
 * becomes a dead letter at once.
 */
export class UnreadableEvent extends Error {
  override readonly name: string = 'UnreadableEvent';
}

/**
 * Told of a handler that has not ended yet. Nobody can take its events from it: whether they had their effect only it
 * knows. Its group waits, and needs a person when this comes again and again.
 */
export class SlowHandler extends Error {
  override readonly name = 'SlowHandler';
}

export type SubscribeOptions = Readonly<{
  /** Most events in one batch. */
  batchSize?: number;
  /** How often one event is tried by itself before it becomes a dead letter. */
  attempts?: number;
  /** Where a group that is new begins; the default is the first event that is still there. */
  from?: 'earliest' | 'latest';
  /** A handler that takes longer is told of by `onError`, and again each time, milliseconds. It is not cut short. */
  slowMs?: number;
  /** Told what went wrong and is tried again; nothing is lost. */
  onError?: (error: unknown) => void;
}>;

export interface Subscription {
  /** Resolves when the batch in hand is handled and its position stored. Repeat-safe. */
  stop(): Promise<void>;
  /** Rejects when the subscription ended by itself; resolves after `stop`. */
  readonly ended: Promise<void>;
}

/** How far a group is. */
export type GroupLag = Readonly<{
  group: string;
  /** Events on the bus that the group has not handled. */
  behind: number;
}>;

/**
 * Hands events to every group that subscribed: at least once, in order within one subject (source document 5.2).
 * Several consumers of one group share its events. An event that cannot be handled goes to the dead letters and holds
 * up its own subject only.
 */
export interface EventBus {
  /**
   * Stores the events, in the order given within each subject.
   *
   * @returns subjects with an event that was not stored; their later events were not stored either
   * @throws when nothing can be known to be stored: publish all of them again
   */
  publish(events: readonly StoredEvent[]): Promise<ReadonlySet<string>>;
  subscribe(group: string, handle: HandleEvents, options?: SubscribeOptions): Promise<Subscription>;
  /** @throws NotTheCarrier when the events go by another bus, of which this one knows nothing */
  lag(group: string): Promise<GroupLag>;
  /** Ends subscriptions and connections. */
  close(): Promise<void>;
}
