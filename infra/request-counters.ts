import { type ClientRateLimitInfo, MemoryStore, type Options, type Store } from 'express-rate-limit';
import { Counter, type Registry } from 'prom-client';
import { RedisStore } from 'rate-limit-redis';

import type { Config } from './config.ts';
import type { Logger } from './log.ts';
import { openRedisLink, type RedisLink } from './redis-link.ts';

/** Where requests are counted: one store for everything that has a limit of its own. */
export type RequestCounters = Readonly<{
  /** @param name of what is counted: processes that count it share its counters */
  store: (name: string) => Store;
  close: () => void;
}>;

/** The number is that of the counters' form: two releases that run side by side must not read each other's. */
const PREFIX = 'commerce-saga:count:1:';

/**
 * Counts for all processes together, in Redis, where REDIS_URL is set. Every process keeps its own count besides: it is
 * what holds while Redis is away, slow or frozen, and it does not begin at nothing then.
 */
export function openCounters(
  { redisUrl: url }: Pick<Config, 'redisUrl'>,
  log: Logger,
  counted: CountedAlone = () => undefined,
): RequestCounters {
  if (url === undefined) return ownCounters();
  const link = openRedisLink({ url, log, meanwhile: 'counting requests for this process alone' });
  return { store: (name) => new SharedStore(link, `${PREFIX}${name}:`, counted), close: link.close };
}

/** Counts for this process alone. */
export const ownCounters = (): RequestCounters => ({ store: () => new MemoryStore(), close: () => undefined });

/** Told of every request that Redis was not there to count. */
export type CountedAlone = () => void;

/** A metric that stands still while processes count together. */
export function countedAlone(registry: Registry): CountedAlone {
  const counter = new Counter({
    name: 'rate_limit_fallback_total',
    help: 'Requests that this process counted alone, because Redis did not answer.',
    registers: [registry],
  });
  return () => counter.inc();
}

class SharedStore implements Store {
  readonly prefix: string;
  readonly localKeys = false;
  readonly #own = new MemoryStore();
  readonly #shared: RedisStore;
  readonly #counted: CountedAlone;
  #options: Options | undefined;
  /** Its scripts are in Redis. They are loaded when they are needed: Redis may come later than we do. */
  #loaded = false;

  constructor({ ask }: RedisLink, prefix: string, counted: CountedAlone) {
    this.prefix = prefix;
    this.#counted = counted;
    this.#shared = new RedisStore({
      prefix,
      sendCommand: (...command) => ask((client) => client.sendCommand(command)),
    });
  }

  init(options: Options): void {
    this.#options = options;
    this.#own.init(options);
  }

  async increment(key: string): Promise<ClientRateLimitInfo> {
    const own = await this.#own.increment(key);
    return (await this.#tried((shared) => shared.increment(key))) ?? own;
  }

  async decrement(key: string): Promise<void> {
    await this.#own.decrement(key);
    await this.#tried((shared) => shared.decrement(key));
  }

  async resetKey(key: string): Promise<void> {
    await this.#own.resetKey(key);
    await this.#tried((shared) => shared.resetKey(key));
  }

  shutdown(): void {
    this.#own.shutdown();
  }

  async #tried<T>(work: (shared: RedisStore) => Promise<T>): Promise<T | undefined> {
    try {
      if (!this.#loaded && this.#options !== undefined) await this.#shared.init(this.#options);
      this.#loaded = true;
      return await work(this.#shared);
    } catch {
      this.#loaded = false; // the store remembers a script that could not be loaded as one that never can
      this.#counted(); // why, the link logs once
      return undefined;
    }
  }
}
