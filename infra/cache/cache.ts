/** In place of tags: every entry. */
export const EVERYTHING = '*';

export type Stored = Readonly<{
  /** What the entry was made of: it is stale as soon as one of these is told to have changed. */
  tags: readonly string[];
  /** As `read` gave it before the value was loaded. */
  since: number;
}>;

/**
 * Where entries are kept. `read` gives a value, or the instant of the store's own clock at which there was none: `write`
 * takes it, so that a value that was loaded before a change is never shown after it, in whatever order the calls arrive.
 * A store may throw, or forget whatever it likes; it must not show a value for longer than its time to live.
 */
export type CacheStore = Readonly<{
  read: (key: string) => Promise<Readonly<{ value: unknown }> | Readonly<{ since: number }>>;
  /** The value must be what JSON can say. */
  write: (key: string, value: unknown, stored: Stored) => Promise<void>;
  /** Tags, or EVERYTHING. Whoever is told of a change tells every store that they use: repeat-safe. */
  invalidate: (tags: readonly string[]) => Promise<void>;
  close: () => Promise<void>;
}>;

/** A value with what it was made of; undefined is given to whoever asked, and not kept. */
export type Loaded = Readonly<{ value: unknown; tags: readonly string[] }> | undefined;
type ValueOf<L extends Loaded> = L extends Readonly<{ value: infer T }> ? T : undefined;

export type CacheMetrics = Readonly<{
  /** `joined`: somebody else was loading it already; `bypass`: no cache could be asked. */
  asked: (outcome: 'hit' | 'miss' | 'joined' | 'bypass') => void;
  /** The store did not do what it was asked to. */
  failed: () => void;
}>;

type Flight = Readonly<{ age: number; value: Promise<unknown> }>;

/**
 * Values that are dear to make, kept for a short time or until one of their tags is told to have changed. Never an error of
 * the cache: when the store fails, everything is loaded. A key is loaded once at a time in this process, however many ask.
 */
export class Cache {
  readonly #store: CacheStore;
  readonly #metrics: CacheMetrics | undefined;
  readonly #flights = new Map<string, Flight>();
  /** Counts what was told to have changed. */
  #age = 0;
  #paused = true;

  /** Begins paused: see `resume`. Closing it closes the store. */
  constructor(store: CacheStore, metrics?: CacheMetrics) {
    this.#store = store;
    this.#metrics = metrics;
  }

  /**
   * The value under the key, or what `load` makes of it.
   *
   * @throws what `load` throws, to everyone who waited for it; nothing is kept then
   */
  async get<L extends Loaded>(key: string, load: () => Promise<L>): Promise<ValueOf<L>> {
    for (;;) {
      const flight = this.#flights.get(key);
      if (flight === undefined) return (await this.#take(key, load)) as ValueOf<L>;
      if (flight.age === this.#age) {
        this.#metrics?.asked('joined');
        return (await flight.value) as ValueOf<L>;
      }
      // It began before the last change, so its value may be from before that: look again when it is through.
      await flight.value.catch(() => undefined); // told to those who asked for it
    }
  }

  /** Nothing that was loaded before this is given to anyone who asks after it. */
  async invalidate(tags: readonly string[]): Promise<void> {
    this.#age += 1;
    await this.#tried(this.#store.invalidate(tags));
  }

  /** Nobody tells us what changes: everything is loaded until `resume`. */
  pause(): void {
    this.#age += 1;
    this.#paused = true;
  }

  /** Changes are told again, from before this call on. What was kept until then may be stale, so it is forgotten. */
  async resume(): Promise<void> {
    await this.invalidate([EVERYTHING]);
    this.#paused = false;
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #take(key: string, load: () => Promise<Loaded>): Promise<unknown> {
    const value = this.#look(key, load);
    const flight = { age: this.#age, value };
    this.#flights.set(key, flight);
    return value.finally(() => this.#flights.delete(key));
  }

  async #look(key: string, load: () => Promise<Loaded>): Promise<unknown> {
    const found = this.#paused ? undefined : await this.#tried(this.#store.read(key));
    if (found !== undefined && 'value' in found) {
      this.#metrics?.asked('hit');
      return found.value;
    }
    this.#metrics?.asked(found === undefined ? 'bypass' : 'miss');
    const loaded = await load();
    if (found !== undefined && loaded !== undefined) {
      // Not awaited: whoever asked has waited long enough.
      void this.#tried(this.#store.write(key, loaded.value, { tags: loaded.tags, since: found.since }));
    }
    return loaded?.value;
  }

  async #tried<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch {
      this.#metrics?.failed(); // the store itself logs why, once
      return undefined;
    }
  }
}
