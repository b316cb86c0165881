import type { StoredEvent } from '../events/stored-event.ts';

/** A part of the past, read from its beginning to where it ended when a rebuild began. Places are whole numbers. */
export type Stream = Readonly<{
  /** The same in every run. */
  name: string;
  /** The place of what came last until now; 0 where there is nothing. */
  end: () => Promise<bigint>;
  /** What comes after a place, in pieces of bounded size: at least one step further, and never beyond `end`. */
  read: (after: bigint, end: bigint) => Promise<StreamPage>;
}>;

/** `upTo`: go on after it. */
export type StreamPage = Readonly<{ events: readonly StoredEvent[]; upTo: bigint }>;

/** Thrown when the past of a view cannot be had from where it was asked for. Its message says what to do. */
export class NoHistory extends Error {
  override readonly name = 'NoHistory';
}
