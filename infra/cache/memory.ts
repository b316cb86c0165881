import { LRUCache } from 'lru-cache';

import { type CacheStore, EVERYTHING, type Stored } from './cache.ts';

export type MemoryOptions = Readonly<{
  ttlMs: number;
  /** Most entries; of the largest ones fewer fit, see `maxCharacters`. */
  maxEntries?: number;
  /** Of all keys and values together, as JSON. */
  maxCharacters?: number;
  /** Most tags whose last change is remembered one by one. */
  maxTags?: number;
}>;

type Entry = Stored & Readonly<{ value: unknown }>;

/** A cache of this process alone, bounded in number and size: what was used least lately goes first. */
export function openMemory({
  ttlMs,
  maxEntries = 1_000,
  maxCharacters = 16_000_000,
  maxTags = 10_000,
}: MemoryOptions): CacheStore {
  /** Counts changes. What was loaded `since` the count of a change, or later, knows of it. */
  let clock = 0;
  /** Everything from before this count is stale. */
  let floor = 0;
  const entries = new LRUCache<string, Entry>({ max: maxEntries, maxSize: maxCharacters, ttl: ttlMs });
  const changes = new LRUCache<string, number>({
    max: maxTags,
    dispose: (at, _tag, reason) => {
      if (reason === 'evict') floor = Math.max(floor, at); // forgotten one by one, so remembered for all
    },
  });
  const isFresh = ({ since, tags }: Stored): boolean =>
    since >= floor && tags.every((tag) => (changes.get(tag) ?? 0) <= since);

  return {
    read(key) {
      const entry = entries.get(key);
      if (entry !== undefined && isFresh(entry)) return Promise.resolve({ value: entry.value });
      entries.delete(key);
      return Promise.resolve({ since: clock });
    },
    write(key, value, { tags, since }) {
      const entry = { value, tags, since };
      const size = key.length + JSON.stringify(value).length;
      if (isFresh(entry)) entries.set(key, entry, { size });
      return Promise.resolve();
    },
    invalidate(tags) {
      clock += 1;
      if (tags.includes(EVERYTHING)) {
        floor = clock;
        entries.clear();
      } else {
        for (const tag of tags) changes.set(tag, clock);
      }
      return Promise.resolve();
    },
    close() {
      entries.clear();
      return Promise.resolve();
    },
  };
}
