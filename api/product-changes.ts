import { listen, type Listener } from '../events/wake-up.ts';
import { type Cache, EVERYTHING } from '../infra/cache/cache.ts';
import type { Logger } from '../infra/log.ts';
import { ALL_PRODUCTS, productTag } from './products.ts';

/** The trigger on the tables of the view notifies here, when the projection commits. */
const CHANNEL = 'products_changed';

/**
 * Keeps the cache of products true: forgets what the view says has changed, and uses no cache while nothing can be heard.
 *
 * @param viewsUrl `db_materialized_view`
 */
export function followProductChanges(viewsUrl: string, cache: Cache, log: Logger): Listener {
  let tags = new Set<string>();
  /** All that one commit tells comes at once, and is told to the cache at once. */
  const tell = (): void => {
    const changed = [...tags];
    tags = new Set();
    void cache.invalidate(changed); // it never rejects
  };
  const hear = (payload?: string): void => {
    if (payload === undefined) return void cache.resume();
    if (tags.size === 0) setImmediate(tell);
    for (const tag of tagsOf(payload)) tags.add(tag);
  };
  return listen(viewsUrl, CHANNEL, hear, log, () => cache.pause());
}

/** An id; with a star behind it when the product may belong into other lists; the star alone when all may have changed. */
function tagsOf(payload: string): readonly string[] {
  if (payload === '*') return [EVERYTHING];
  return payload.endsWith('*') ? [productTag(payload.slice(0, -1)), ALL_PRODUCTS] : [productTag(payload)];
}
