import type { HandleEvents } from '../events/bus/bus.ts';
import { subjectOf } from '../events/stored-event.ts';

/** A consumer that does nothing but look whether its events come, and in order. */
export class Arrivals {
  readonly #versions = new Map<string, number>();
  readonly #mark: string;
  #overtaken = 0;
  /** Different events so far. One that comes again is not counted. */
  count = 0;
  #tell: (at: number) => void = () => undefined;

  /** @param name what the locations of its events begin with: the rest is left alone */
  constructor(name: string) {
    this.#mark = `inventory/10-0-${name}`;
  }

  /** When the next event arrives, by `performance.now`. */
  next(): Promise<number> {
    return new Promise((resolve) => {
      this.#tell = resolve;
    });
  }

  readonly handle: HandleEvents = (batch) => {
    for (const event of batch) {
      const subject = subjectOf(event);
      if (!subject.startsWith(this.#mark)) continue;
      const last = this.#versions.get(subject) ?? 0;
      if (event.aggregateVersion <= last) continue;
      if (event.aggregateVersion > last + 1) this.#overtaken += 1;
      this.#versions.set(subject, event.aggregateVersion);
      this.count += 1;
    }
    this.#tell(performance.now());
    return Promise.resolve();
  };

  /** How many of so many events are missing, or came before an earlier one. */
  wrong = (events: number): number => events - this.count + this.#overtaken;
}
