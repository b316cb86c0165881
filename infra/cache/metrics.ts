import { Counter, type Registry } from 'prom-client';

import type { CacheMetrics } from './cache.ts';

/** The hit rate is `hit` among all outcomes. */
export function cacheMetrics(registry: Registry): CacheMetrics {
  const asked = new Counter({
    name: 'cache_requests_total',
    help: 'Values that were asked for: found (hit), loaded (miss), loaded for somebody else (joined), or uncached (bypass).',
    labelNames: ['outcome'] as const,
    registers: [registry],
  });
  const failures = new Counter({
    name: 'cache_failures_total',
    help: 'Times that the cache could not be read, written or told of a change.',
    registers: [registry],
  });
  for (const outcome of ['hit', 'miss', 'joined', 'bypass'] as const) asked.inc({ outcome }, 0); // there from the start
  return { asked: (outcome) => asked.inc({ outcome }), failed: () => failures.inc() };
}
