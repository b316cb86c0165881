import { type Config, databaseUrl } from '../../infra/config.ts';
import { openViews } from '../../infra/databases.ts';
import { viewNamed } from '../../projections/all.ts';
import { newHolder, openPlaces } from '../../projections/places.ts';
import { type RebuildOptions, type RebuildReport, rebuildView } from '../../projections/rebuild.ts';
import type { ViewName } from '../../projections/view.ts';

export type RebuildCommand = Pick<RebuildOptions, 'from' | 'dryRun' | 'restart' | 'signal' | 'onStep'> &
  Readonly<{ names: readonly ViewName[]; files: readonly string[] }>;

/** A piece of the past, the lease beside it, and one to look. */
const POOL_SIZE = 3;

/**
 * Rebuilds views one after the other, with what databases the settings name.
 *
 * @throws as `rebuildView`; ConfigError without the views' own database
 */
export async function* rebuildViews(
  config: Config,
  { names, files, ...how }: RebuildCommand,
): AsyncGenerator<RebuildReport> {
  const views = openViews(databaseUrl(config, 'views'), { poolSize: POOL_SIZE, answerLimitMs: 0 });
  const { close, ...places } = openPlaces(config);
  const holder = newHolder();
  try {
    for (const name of names) {
      yield await rebuildView(viewNamed(name), {
        ...{ ...how, views, places: { ...places, files }, holder },
        options: { timeZone: config.shopTimeZone },
      });
    }
  } finally {
    await views.$disconnect();
    await close();
  }
}
