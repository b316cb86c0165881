import { setTimeout as sleep } from 'node:timers/promises';

import { type Databases, TRANSACTION } from '../infra/databases.ts';
import { expectRow } from '../infra/rows.ts';
import { lockView } from './apply.ts';
import { compareView, inboxDifference, takeTime, type ViewComparison } from './compare.ts';
import { type History, historyOf, type HistoryPlaces, type HistorySource } from './history.ts';
import { NoHistory } from './history-stream.ts';
import { fillPast, patiently } from './rebuild-past.ts';
import * as row from './rebuild-row.ts';
import type { View, ViewName, ViewSettings } from './view.ts';

/** What a rebuild is at. */
export type RebuildStep = Readonly<{
  view: ViewName;
  /** Waiting: for who may work on it already, or for the live view to come to what the rebuilt one has. */
  step: 'events' | 'waiting' | 'comparing' | 'swapping';
  /** Of the past, from 0 to 1. */
  done: number;
  /** Events of the past that were applied. */
  applied: number;
  /** Compared so far. */
  rows: number;
}>;

export type RebuildOptions = Readonly<{
  /** `db_materialized_view`, with three connections or more. */
  views: Databases['views'];
  places: HistoryPlaces;
  options: ViewSettings;
  /** Who does it, unlike anybody else; at most 100 characters. */
  holder: string;
  /** Where the past comes from; where it can be had best when absent. */
  from?: HistorySource | undefined;
  /** Compare alone: the live view stays as it is. */
  dryRun?: boolean;
  /** Forget how far an earlier run was. */
  restart?: boolean;
  /** Aborted: what it has is kept, and whoever runs it again goes on. */
  signal: AbortSignal;
  onStep: (step: RebuildStep) => void;
}>;

export type RebuildReport = Readonly<{
  view: ViewName;
  /**
   * `REFUSED`: the past that was read lacks events that the live view has applied, so this was left in its place. The same
   * of `COMPARED` says what a rebuild would find.
   */
  result: 'SWAPPED' | 'COMPARED' | 'REFUSED';
  source: HistorySource;
  /** Whether it went on with an earlier run. */
  resumed: boolean;
  /** Events of the past that were applied to the rebuilt view. */
  applied: number;
  leftOut: readonly row.LeftOut[];
}> &
  ViewComparison;

/** Thrown when somebody else rebuilds the view at this moment. Its message says who. */
export class AlreadyRebuilding extends Error {
  override readonly name = 'AlreadyRebuilding';
}

/** How often who holds a rebuild says that he lives, milliseconds. */
const RENEW_MS = row.LEASE_MS / 4;
/** The live view may need so long for what is on its way, milliseconds; then it is compared as it is. */
const CATCH_UP_MS = 15_000;
const LOOK_MS = 250;
/** Looks without a change: what is not there by now is not on its way. */
const LOOKS = 8;
/** Long readers, such as an audit, hold a view's tables; each attempt to exchange them waits for seconds. */
const SWAP_ATTEMPTS = 12;

/**
 * Builds a view anew from its past while it serves, compares the two, and puts the new one in its place: readers see the
 * one or the other, and never neither. Any number of kills and repeats lead to the same end; two at once cannot be.
 *
 * @throws NoHistory, AlreadyRebuilding, RebuildLost, TooManyLeftOut, and what a database throws for too long; the live
 *   view is then as it was, and the next run goes on
 */
export async function rebuildView(view: View, options: RebuildOptions): Promise<RebuildReport> {
  const { views, places, holder, from, dryRun = false } = options;
  const known = (await row.readRebuilds(views))[view.name].rebuild;
  const goesOn = known !== null && options.restart !== true;
  const history = await historyOf(view, places, from ?? (goesOn ? known.source : undefined));
  const begun = await registered(view, options, history);
  const lease = keepLease(views, { view: view.name, holder });
  try {
    const signal = AbortSignal.any([options.signal, lease.lost]);
    return await rebuilt(view, { ...options, signal, dryRun }, history, begun);
  } finally {
    await lease.stop();
  }
}

async function registered(view: View, options: RebuildOptions, { source }: History): Promise<row.Registered> {
  const { views, holder, signal, restart = false } = options;
  const me = { view: view.name, holder };
  const attempt = () => patiently(signal, () => row.register(views, me, source, restart));
  let begun = await attempt();
  // Whoever was killed renews his lease no more: it is waited for, not longer.
  for (let until: Date | undefined; 'takenBy' in begun; begun = await attempt()) {
    const renewed = until !== undefined && begun.until.getTime() !== until.getTime();
    if (renewed) throw new AlreadyRebuilding(`${view.name} is being rebuilt by ${begun.takenBy}`);
    until = begun.until;
    options.onStep({ view: view.name, step: 'waiting', done: 0, applied: 0, rows: 0 });
    await sleep(LOOK_MS, undefined, { signal });
  }
  if (begun.source === source) return begun;
  await row.release(views, me);
  throw new AlreadyRebuilding(`${view.name} was begun from its ${begun.source}: go on so, or begin anew by --restart`);
}

async function rebuilt(
  view: View,
  options: RebuildOptions,
  { source, streams }: History,
  begun: row.Registered,
): Promise<RebuildReport> {
  const { views, holder, dryRun = false, signal, onStep } = options;
  const me = { view: view.name, holder };
  const { leftOut, applied } = await fillPast(
    {
      ...{ views, view, streams, options: options.options, holder, signal },
      onPiece: (cursor, count) =>
        onStep({ view: view.name, step: 'events', done: row.shareOf(cursor), applied: count, rows: 0 }),
    },
    begun,
  );
  const at = (step: RebuildStep['step'], rows = 0) => onStep({ view: view.name, step, done: 1, applied, rows });

  at('waiting');
  await untilCaughtUp(views, view.name, signal);
  if ((await hidesWhatIsLacking(views, view.name)) && source === 'files') throw behind(view.name);
  const found = await patiently(signal, () =>
    compareView(views, view.name, (rows) => {
      signal.throwIfAborted();
      at('comparing', rows);
    }),
  );
  const comparison = { ...found, lacking: found.lacking + lackingAmongForgotten(source, found) };
  const report = { view: view.name, source, resumed: begun.resumed, applied, leftOut, ...comparison };
  if (dryRun || comparison.lacking > 0) {
    await patiently(signal, () => row.abandon(views, me));
    return { ...report, result: dryRun ? 'COMPARED' : 'REFUSED' };
  }
  at('swapping');
  await swap(views, me, signal);
  return { ...report, result: 'SWAPPED' };
}

/**
 * Outboxes keep every event, and the log is believed only when it is whole. Files may end before the log begins: events in
 * between, so old that the live view has forgotten them, are known by their number alone.
 */
const lackingAmongForgotten = (source: HistorySource, { forgotten, ahead }: ViewComparison): number =>
  source === 'files' ? Math.max(0, forgotten - ahead) : 0;

/** Waits for events that the rebuilt view has and the live one not yet: they would be told as differences. */
async function untilCaughtUp(views: Databases['views'], view: ViewName, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + CATCH_UP_MS;
  for (let last = -1, same = 0; ;) {
    const { ahead } = await patiently(signal, () =>
      views.$transaction(async (tx) => {
        await takeTime(tx);
        return inboxDifference(tx, view);
      }, LONG),
    );
    same = ahead === last ? same + 1 : 0;
    last = ahead;
    if (ahead === 0 || same >= LOOKS || Date.now() > deadline) return;
    await sleep(LOOK_MS, undefined, { signal });
  }
}

/**
 * Events that the live view has not come to look like those that it has forgotten, and would make up for as many that the
 * files lack.
 */
async function hidesWhatIsLacking(views: Databases['views'], view: ViewName): Promise<boolean> {
  const rows = await views.$queryRaw<{ hides: boolean }[]>`
    select p.forgotten > 0 and coalesce(p.caught_up_at < r.started_at, true) as hides
    from projection_progress p join projection_rebuilds r using (view) where view = ${view}`;
  return expectRow(rows).hides;
}

const behind = (view: ViewName): NoHistory =>
  new NoHistory(
    `${view} has forgotten old events, and is behind: only when it has caught up can be seen whether the files have them all. Start \`npm run events\`, and go on when it has.`,
  );

const LONG = { ...TRANSACTION, timeout: 10 * 60_000 } as const;

/** In one transaction: whoever reads meets the old tables until it commits, and the new ones from then on. */
async function swap(views: Databases['views'], me: row.Holder, signal: AbortSignal): Promise<void> {
  const before = await rebuiltAt(views, me.view);
  const attempt = () =>
    views.$transaction(async (tx) => {
      await takeTime(tx);
      await lockView(tx, me.view, 'alone');
      await row.mustHold(tx, me);
      await tx.$queryRaw`select swap_shadow(${me.view})::text`;
      await tx.$executeRaw`delete from projection_rebuilds where view = ${me.view}`;
      await tx.$executeRaw`update projection_progress set rebuilt_at = clock_timestamp(), forgotten = 0 where view = ${me.view}`;
    }, LONG);
  try {
    await patiently(signal, attempt, SWAP_ATTEMPTS);
  } catch (error) {
    // The connection was lost after the commit: then it is done.
    if (!(error instanceof row.RebuildLost) || (await rebuiltAt(views, me.view)) === before) throw error;
  }
}

async function rebuiltAt(views: Databases['views'], view: ViewName): Promise<string | null> {
  const rows = await views.$queryRaw<{ at: string | null }[]>`
    select rebuilt_at::text as at from projection_progress where view = ${view}`;
  return expectRow(rows).at;
}

/** Says that we live until it is stopped; then lets the next go on at once. */
function keepLease(views: Databases['views'], me: row.Holder) {
  const lost = new AbortController();
  const stopping = new AbortController();
  const renewing = (async () => {
    while (!stopping.signal.aborted) {
      await sleep(RENEW_MS, undefined, { signal: stopping.signal }).catch(() => undefined); // only `stop` rejects it
      if (stopping.signal.aborted) return;
      // A database that is away renews nothing; whether we still hold the rebuild the next transaction finds out.
      const held = await row.renew(views, me).catch(() => true);
      if (!held) lost.abort(new row.RebuildLost(`somebody else goes on with the rebuild of ${me.view}`));
    }
  })();
  return {
    lost: lost.signal,
    async stop() {
      stopping.abort();
      await renewing;
      await row.release(views, me).catch(() => undefined); // it expires by itself
    },
  };
}
