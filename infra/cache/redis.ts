import type { Logger } from '../log.ts';
import { openRedisLink } from '../redis-link.ts';
import { type CacheStore, EVERYTHING } from './cache.ts';

export type RedisOptions = Readonly<{
  url: string;
  ttlMs: number;
  log: Logger;
  /** Before every key. Processes with the same one share their entries. */
  prefix?: string;
}>;

/** The number is that of the entries' form: two releases that run side by side must not read each other's. */
const PREFIX = 'commerce-saga:cache:1:';
/** A tag is remembered longer than any entry that was loaded before it changed can be shown. */
const TAG_LIVES = 4;

/**
 * A cache that several processes share, on one Redis server (not a cluster: an entry and its tags are looked at together).
 * Instants are those of Redis' own clock, so that the order of its commands decides whether an entry is older than a change.
 * It throws at once while Redis is away, and soon when it is slow. A change that Redis could not be told of is made up for
 * before anything is read from it again.
 */
export function openRedis({ url, ttlMs, log, prefix = PREFIX }: RedisOptions): CacheStore {
  const { ask, close } = openRedisLink({ url, log, meanwhile: 'reading without it' });
  const tagPrefix = `${prefix}tag:`;
  /** The entry, and the instant since when Redis has lost nothing. */
  const keysOf = (key: string): string[] => [`${prefix}entry:${key}`, `${prefix}begun`];
  /** Counts the changes that Redis may not know of, and up to which count it has been told "everything". */
  let missed = 0;
  let madeUpFor = 0;

  const invalidate = async (tags: readonly string[]): Promise<void> => {
    const args = [tagPrefix, String(TAG_LIVES * ttlMs), ...tags];
    await ask((client) => client.eval(INVALIDATE, { arguments: args }));
  };
  const makeUp = async (): Promise<void> => {
    const count = missed;
    if (madeUpFor === count) return;
    await invalidate([EVERYTHING]);
    madeUpFor = Math.max(madeUpFor, count);
  };

  return {
    async read(key) {
      await makeUp();
      const answer = await ask((client) => client.eval(READ, { keys: keysOf(key), arguments: [tagPrefix] }));
      const [since, value] = answer as unknown as [string | null, string | null];
      return value === null ? { since: Number(since) } : { value: JSON.parse(value) as unknown };
    },
    async write(key, value, { tags, since }) {
      const args = [String(since), [EVERYTHING, ...tags].join(' '), JSON.stringify(value), String(ttlMs)];
      await ask((client) => client.eval(WRITE, { keys: keysOf(key), arguments: args }));
    },
    async invalidate(tags) {
      try {
        await invalidate(tags);
      } catch (error) {
        missed += 1;
        throw error;
      }
    },
    close() {
      close();
      return Promise.resolve();
    },
  };
}

/** Microseconds since 1970 of Redis' clock, within the whole numbers that Lua knows exactly. */
const NOW = `
local time = redis.call('time')
local now = time[1] * 1000000 + time[2]`;

/** The value unless one of its tags changed since it was loaded; else the instant from which a new one may be loaded. */
const READ = `
local entry = redis.call('hmget', KEYS[1], 'since', 'tags', 'value')
local fresh = entry[1]
if fresh then
  for tag in string.gmatch(entry[2], '%S+') do
    local changed = redis.call('get', ARGV[1] .. tag)
    if changed and tonumber(changed) >= tonumber(entry[1]) then
      fresh = false
      break
    end
  end
end
if fresh then return { false, entry[3] } end
${NOW}
redis.call('set', KEYS[2], string.format('%.0f', now), 'nx')
return { string.format('%.0f', now), false }`;

/** What took so long that its tags may be forgotten is not kept, nor what began before Redis lost its data, tags among them. */
const WRITE = `${NOW}
local begun = redis.call('get', KEYS[2])
if not begun or tonumber(ARGV[1]) < tonumber(begun) then return 0 end
if now - tonumber(ARGV[1]) > tonumber(ARGV[4]) * 1000 then return 0 end
redis.call('hset', KEYS[1], 'since', ARGV[1], 'tags', ARGV[2], 'value', ARGV[3])
redis.call('pexpire', KEYS[1], ARGV[4])
return 1`;

const INVALIDATE = `${NOW}
for i = 3, #ARGV do
  redis.call('set', ARGV[1] .. ARGV[i], string.format('%.0f', now), 'px', ARGV[2])
end
return 1`;
