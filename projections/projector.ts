import { setTimeout as sleep } from 'node:timers/promises';

import type { EventBus } from '../events/bus/bus.ts';
import { Alarm } from '../events/wake-up.ts';
import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { Feed, type ProjectionMetrics } from './feed.ts';
import { databaseNow, noteCaughtUp } from './progress.ts';
import { groupOf, type View, type ViewSettings } from './view.ts';

export type ProjectionDeps = Readonly<{
  /** `db_materialized_view`. */
  db: Databases['views'];
  bus: Pick<EventBus, 'subscribe' | 'lag'>;
  /** Each is fed by a group of its own: one that fails holds up no other. */
  views: readonly View[];
  options: ViewSettings;
  log: Logger;
  metrics?: ProjectionMetrics;
}>;

export type Projection = Readonly<{
  /** Resolves when the batches in hand are applied, and their positions stored. Repeat-safe. */
  stop: () => Promise<void>;
  /** Milliseconds since it last did or tried anything: it hangs when they are many more than its pauses. */
  silentMs: () => number;
}>;

/** Between two looks at how far the views are, when nothing happens. Milliseconds. */
const IDLE_MS = 250;
/** A group's position is stored just after its batch was applied. Milliseconds. */
const AFTER_BATCH_MS = 50;
/** A look may take a tenth of the time and no more, whatever the bus needs to answer. */
const REST_FACTOR = 9;
const LONGEST_REST_MS = 1_000;
const LONGEST_BACK_OFF_MS = 5_000;

/**
 * Keeps views up to date with the events on the bus, and notes how far they are. Nothing has to be there yet: what is away
 * is waited for. Several of them, in any processes, share the work.
 */
export function startProjection(deps: ProjectionDeps): Projection {
  const { db, bus, options, log, metrics } = deps;
  const alarm = new Alarm();
  const stopping = new AbortController();
  const onBatch = (): void => alarm.ring();
  const feeds = deps.views.map(
    (view) => new Feed(view, { db, bus, options, log, onBatch, ...(metrics && { metrics }) }),
  );
  let activeAt = performance.now();
  const watching = watch(deps, feeds, alarm, stopping.signal, () => (activeAt = performance.now()));

  return {
    async stop() {
      stopping.abort();
      alarm.ring();
      await Promise.all([watching, ...feeds.map((feed) => feed.stop())]);
    },
    silentMs: () => Math.max(performance.now() - activeAt, ...feeds.map(({ inHandMs }) => inHandMs)),
  };
}

/** After batches, and again and again while there are none: readers are told how old what they read may be. */
async function watch(
  deps: ProjectionDeps,
  feeds: readonly Feed[],
  alarm: Alarm,
  stopping: AbortSignal,
  active: () => void,
): Promise<void> {
  for (let failures = 0; !stopping.aborted;) {
    const begun = performance.now();
    active();
    try {
      await noteProgress(deps, feeds);
      if (failures > 0) deps.log.info('it is known again how far the views are');
      failures = 0;
    } catch (error) {
      if (failures === 0) deps.log.warn({ err: error }, 'it is not known how far the views are: looking again');
      failures += 1;
    }
    active();
    const restMs = Math.min(REST_FACTOR * (performance.now() - begun), LONGEST_REST_MS);
    await pause(failures === 0 ? restMs : Math.min(IDLE_MS * 2 ** failures, LONGEST_BACK_OFF_MS), stopping);
    if (await alarm.sleep(IDLE_MS)) await pause(AFTER_BATCH_MS, stopping);
  }
}

/** The clock first: whatever came before that instant was on the bus when it was asked. */
async function noteProgress({ db, bus }: ProjectionDeps, feeds: readonly Feed[]): Promise<void> {
  // Of a bus that has not let us in we know nothing.
  const names = feeds.filter(({ subscribed }) => subscribed).map(({ view }) => view.name);
  if (names.length === 0) return;
  const at = await databaseNow(db);
  const lags = await Promise.all(names.map((name) => bus.lag(groupOf(name))));
  const caughtUp = names.filter((_name, index) => lags[index]?.behind === 0);
  if (caughtUp.length > 0) await noteCaughtUp(db, caughtUp, at);
}

/** Ended by `stop` alone. */
const pause = (ms: number, stopping: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal: stopping }).catch(() => undefined);
