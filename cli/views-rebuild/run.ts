import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import type { EventSource } from '../../events/catalogue.ts';
import { type Config, databaseUrl } from '../../infra/config.ts';
import { type Databases, openBus, openOrder, openPayment, openPlatform, openViews } from '../../infra/databases.ts';
import { viewNamed } from '../../projections/all.ts';
import { type RebuildOptions, type RebuildReport, rebuildView } from '../../projections/rebuild.ts';
import type { ViewName } from '../../projections/view.ts';

export type RebuildCommand = Pick<RebuildOptions, 'from' | 'dryRun' | 'restart' | 'signal' | 'onStep'> &
  Readonly<{ names: readonly ViewName[]; files: readonly string[] }>;

/** A piece of the past, the lease beside it, and one to look. */
const POOL_SIZE = 3;
const READ_POOL_SIZE = 1;

/**
 * Rebuilds views one after the other, with what databases the settings name.
 *
 * @throws as `rebuildView`; ConfigError without the views' own database
 */
export async function* rebuildViews(
  config: Config,
  { names, files, ...how }: RebuildCommand,
): AsyncGenerator<RebuildReport> {
  const views = openViews(databaseUrl(config, 'views'), { poolSize: POOL_SIZE });
  const bus = opened(config.databaseUrls.bus, openBus);
  const outboxes = outboxesOf(config);
  const holder = `${hostname().slice(0, 40)} ${process.pid} ${randomUUID()}`;
  try {
    for (const name of names) {
      yield await rebuildView(viewNamed(name), {
        ...{ ...how, views, places: { bus, outboxes, files }, holder },
        options: { timeZone: config.shopTimeZone },
      });
    }
  } finally {
    for (const database of [views, bus, ...Object.values(outboxes)]) await database?.$disconnect();
  }
}

function outboxesOf({ databaseUrls }: Config): Partial<Pick<Databases, EventSource>> {
  const platform = opened(databaseUrls.platform, openPlatform);
  const order = opened(databaseUrls.order, openOrder);
  const payment = opened(databaseUrls.payment, openPayment);
  return { ...(platform && { platform }), ...(order && { order }), ...(payment && { payment }) };
}

/** Opens nothing yet. */
function opened<T>(url: string | undefined, open: (url: string, options: { poolSize: number }) => T): T | undefined {
  return url === undefined ? undefined : open(url, { poolSize: READ_POOL_SIZE });
}
