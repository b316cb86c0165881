import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

import type { Logger } from '../infra/log.ts';
import type { ProjectionMetrics } from '../projections/feed.ts';
import type { ViewName } from '../projections/view.ts';
import { readInTime } from './read-in-time.ts';

/** Milliseconds; null where a view has never been up to date. */
type Lags = Readonly<Record<ViewName, number | null>>;

/** Of one batch, seconds. The database cuts a statement off after five. */
const BATCH_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * The metrics of the projection of one process. How far the views are is read from their database whenever somebody asks,
 * so that it is true also while nobody applies anything; it is NaN while the database does not answer.
 */
export function projectionMetrics(
  registry: Registry,
  views: readonly ViewName[],
  readLags: () => Promise<Lags>,
  log: Logger,
): ProjectionMetrics {
  const registers = [registry];
  const labelNames = ['view'] as const;
  const applied = new Counter({
    ...{ name: 'projection_applied_events_total', registers, labelNames },
    help: 'Events that were new to the view and are committed in it.',
  });
  const failures = new Counter({
    ...{ name: 'projection_failures_total', registers, labelNames },
    help: 'Times that a batch could not be applied, or the bus did not answer: it is tried again.',
  });
  const seconds = new Histogram({
    ...{ name: 'projection_batch_seconds', registers, labelNames, buckets: BATCH_BUCKETS },
    help: 'How long it took to apply a batch.',
  });
  const lagSeconds: Gauge = new Gauge({
    ...{ name: 'projection_lag_seconds', registers, labelNames, collect: () => measure() },
    help: 'Since when the view has not been known to have all that was on the bus; infinite when it never was.',
  });
  const measure = async (): Promise<void> => {
    const lags = await readInTime(readLags).catch((error: unknown) => {
      log.warn({ err: error }, 'how far the views are could not be measured');
      return undefined;
    });
    for (const view of views) lagSeconds.set({ view }, lags === undefined ? NaN : (lags[view] ?? Infinity) / 1_000);
  };
  for (const view of views) {
    for (const counter of [applied, failures]) counter.inc({ view }, 0); // there from the start
    seconds.zero({ view });
  }
  return {
    applied(view, events, ms) {
      applied.inc({ view }, events);
      seconds.observe({ view }, ms / 1_000);
    },
    failed: (view) => failures.inc({ view }),
  };
}
