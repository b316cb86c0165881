import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import { Cache, type CacheMetrics } from './cache.ts';
import { openMemory } from './memory.ts';
import { openRedis } from './redis.ts';

/** What is lost with a notification of a change is shown no longer than this. */
const TTL_MS = 5_000;

/** In Redis where REDIS_URL is set, else in this process. It begins paused: see `Cache.resume`. */
export function openCache({ redisUrl: url }: Pick<Config, 'redisUrl'>, log: Logger, metrics?: CacheMetrics): Cache {
  const store = url === undefined ? openMemory({ ttlMs: TTL_MS }) : openRedis({ url, ttlMs: TTL_MS, log });
  return new Cache(store, metrics);
}
