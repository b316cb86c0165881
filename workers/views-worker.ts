import { cancellationSignal, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

import { rebuildActivities, type RebuildDeps } from '../activities/views/rebuild.ts';
import { type Config, databaseUrl } from '../infra/config.ts';
import { type Databases, openBus, openViews } from '../infra/databases.ts';
import { viewNamed } from '../projections/all.ts';
import { differencesOf } from '../projections/compare.ts';
import type { HistoryPlaces } from '../projections/history.ts';
import { NoHistory } from '../projections/history-stream.ts';
import { newHolder, openPlaces } from '../projections/places.ts';
import { AlreadyRebuilding, rebuildView } from '../projections/rebuild.ts';
import { TooManyLeftOut } from '../projections/rebuild-past.ts';
import { VIEW_NAMES } from '../projections/view.ts';
import { QUEUES } from '../workflows/contract.ts';
import { openStatistics } from './statistics.ts';
import { createWorker, type OpenWorker, type WorkerContext } from './temporal-worker.ts';
import { viewsUpkeep } from './upkeep.ts';

/** One look after the other. */
const UPKEEP_POOL_SIZE = 1;

/**
 * Rebuilds views, recomputes the sums of their days and does the upkeep of their database and of the bus's, with the
 * credentials of the two, and of the outboxes where they are given.
 */
export async function openViewsWorker(context: WorkerContext): Promise<OpenWorker> {
  const { config } = context;
  const views = openViews(databaseUrl(config, 'views'), {
    poolSize: config.databasePoolSize,
    answerLimitMs: 0,
  });
  const bus = openBus(databaseUrl(config, 'bus'), { poolSize: UPKEEP_POOL_SIZE }); // the outboxes need not be there
  const { close, ...places } = openPlaces(config);
  const rebuild = rebuilder(config, views, places);
  const activities = {
    ...rebuildActivities({ rebuild, signal: cancellationSignal, beat: (step) => heartbeat(step) }),
    ...openStatistics(config, views, context.log),
    ...viewsUpkeep(config, { views, bus }, context.log),
  };
  const worker = await createWorker(context, { taskQueue: QUEUES.views, activities });
  return {
    worker,
    async close() {
      await Promise.all([views.$disconnect(), bus.$disconnect()]);
      await close();
    },
  };
}

const rebuilder =
  (config: Config, views: Databases['views'], places: HistoryPlaces): RebuildDeps['rebuild'] =>
  async (name, signal, onStep) => {
    const known = VIEW_NAMES.find((one) => one === name);
    if (known === undefined) throw ApplicationFailure.nonRetryable(`there is no view ${name}`, 'UnknownView');
    try {
      const report = await rebuildView(viewNamed(known), {
        ...{ views, places, signal, holder: newHolder() },
        options: { timeZone: config.shopTimeZone },
        onStep: ({ step, done }) => onStep(`${step} ${Math.floor(100 * done)} %`),
      });
      const { view, source, applied, leftOut, lacking } = report;
      const result = report.result === 'SWAPPED' ? 'SWAPPED' : 'REFUSED';
      const differences = differencesOf(report);
      return { view, result, source, applied, leftOut: leftOut.length, differences, lacking };
    } catch (error) {
      // A person must do something first.
      const final = [NoHistory, AlreadyRebuilding, TooManyLeftOut].some((kind) => error instanceof kind);
      if (!final || !(error instanceof Error)) throw error;
      throw ApplicationFailure.nonRetryable(error.message, error.name);
    }
  };
