import type { WaitingEvent } from './relay-tables.ts';
import { subjectOf } from './stored-event.ts';

/** What is known of a subject whose last event the bus did not store. */
type Refused = Readonly<{ pauseMs: number; retryAt: number; oneByOne: number }>;

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Beyond this the oldest is forgotten, which costs an attempt too early and nothing else. */
const MOST_REMEMBERED = 1_000;

/** Paces the subjects that the bus refuses: only they wait, and longer each time. Times are those of `performance.now`. */
export class RefusedSubjects {
  readonly #refused = new Map<string, Refused>();

  get size(): number {
    return this.#refused.size;
  }

  /** @param count of its events were in the batch: which of them was refused, the bus does not say */
  refuse(subject: string, count: number, now: number): void {
    const known = this.#refused.get(subject);
    const pauseMs = Math.min(2 * (known?.pauseMs ?? FIRST_PAUSE_MS / 2), LONGEST_PAUSE_MS);
    this.#refused.delete(subject); // so that it becomes the youngest
    this.#refused.set(subject, { pauseMs, retryAt: now + pauseMs, oneByOne: Math.max(count, known?.oneByOne ?? 0) });
    for (const oldest of this.#refused.keys()) {
      if (this.#refused.size <= MOST_REMEMBERED) return;
      this.#refused.delete(oldest);
    }
  }

  /** One event was stored. Those that were refused together go one by one, so that none is repeated with each of them. */
  accept(subject: string): void {
    const known = this.#refused.get(subject);
    if (known === undefined) return;
    const { oneByOne, ...rest } = known;
    if (oneByOne > 1) this.#refused.set(subject, { ...rest, oneByOne: oneByOne - 1, retryAt: 0 });
    else this.#refused.delete(subject);
  }

  /** Most of its events that may be published now. */
  allowance(subject: string, now: number): number {
    const refused = this.#refused.get(subject);
    if (refused === undefined) return Infinity;
    return now < refused.retryAt ? 0 : 1;
  }
}

/**
 * The events of a page that may be published now. Each subject begins with its first version that is not marked and has
 * no gap, whatever was read and in whatever order it became visible. From this follows the order on the bus: whoever
 * publishes, an event comes for the first time only after those before it, also when a relay wakes that was believed dead.
 */
export function readyToPublish(page: readonly WaitingEvent[], refused: RefusedSubjects, now: number): WaitingEvent[] {
  const taken = new Map<string, { version: number; left: number }>();
  return page.filter(({ follows, event }) => {
    const subject = subjectOf(event);
    const before = taken.get(subject);
    const isNext = before === undefined ? follows : event.aggregateVersion === before.version + 1;
    const left = before?.left ?? refused.allowance(subject, now);
    if (!isNext || left <= 0) return false;
    taken.set(subject, { version: event.aggregateVersion, left: left - 1 });
    return true;
  });
}
