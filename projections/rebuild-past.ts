import { setTimeout as sleep } from 'node:timers/promises';

import { UnreadableEvent } from '../events/bus/bus.ts';
import type { StoredEvent } from '../events/stored-event.ts';
import { isDatabaseOutage, sqlStateOf } from '../infra/database-outage.ts';
import { type Databases, TRANSACTION } from '../infra/databases.ts';
import { applyFresh, eventsFor, inShadow } from './apply.ts';
import { NoHistory, type Stream } from './history-stream.ts';
import * as row from './rebuild-row.ts';
import type { View, ViewSettings } from './view.ts';

export type PastDeps = Readonly<{
  views: Databases['views'];
  view: View;
  streams: readonly Stream[];
  options: ViewSettings;
  holder: string;
  signal: AbortSignal;
  /** Told after each piece how far it is, and how many events of the past were applied since the rebuild began. */
  onPiece: (cursor: row.RebuildCursor, applied: number) => void;
}>;

/** More than this many events that cannot be applied are no exception: then something is wrong with all of them. */
const MOST_LEFT_OUT = 100;
/** The database may be away, or busy with somebody else's rows, for half a minute. */
const ATTEMPTS = 8;
const FIRST_PAUSE_MS = 250;

/** Thrown when so many events cannot be applied that leaving them out would make no view. */
export class TooManyLeftOut extends Error {
  override readonly name = 'TooManyLeftOut';
}

/**
 * Applies the past to the twin of a view, beside the projection, from where an earlier run was. How far it is is stored
 * with the rows, so that a kill loses nothing and nothing counts twice. An event that cannot be applied is left out and
 * named, and the rest goes on.
 *
 * @returns the events left out, and how many were applied since the rebuild began
 * @throws RebuildLost, NoHistory, TooManyLeftOut, what the signal says, and what a database throws for too long
 */
export async function fillPast(
  deps: PastDeps,
  begun: row.Registered,
): Promise<Readonly<{ leftOut: readonly row.LeftOut[]; applied: number }>> {
  const { streams, signal, onPiece } = deps;
  let cursor: row.RebuildCursor = { ...begun.cursor, streams: begun.cursor.streams ?? (await endsOf(streams)) };
  let { applied } = begun;
  mustBeTheSame(streams, cursor);
  for (const { name, read } of streams) {
    for (let place = cursor.streams?.[name]; place !== undefined && BigInt(place.after) < BigInt(place.end);) {
      const { after, end } = place;
      const { events, upTo } = await patiently(signal, () => read(BigInt(after), BigInt(end)));
      place = { after: upTo.toString(), end };
      const next = { ...cursor, streams: { ...cursor.streams, [name]: place } };
      const piece = await applyPiece(deps, events, next);
      cursor = piece.cursor;
      applied += piece.fresh;
      onPiece(cursor, applied);
    }
  }
  return { leftOut: cursor.leftOut ?? [], applied };
}

async function endsOf(streams: readonly Stream[]): Promise<NonNullable<row.RebuildCursor['streams']>> {
  const ends = streams.map(async ({ name, end }) => [name, { after: '0', end: (await end()).toString() }] as const);
  return Object.fromEntries(await Promise.all(ends));
}

/** Whoever goes on must have the same parts of the past: nobody else reads what is left of one. */
function mustBeTheSame(streams: readonly Stream[], cursor: row.RebuildCursor): void {
  const [now, then] = [streams.map(({ name }) => name), Object.keys(cursor.streams ?? {})];
  if (now.length === then.length && now.every((name) => then.includes(name))) return;
  throw new NoHistory(`It was begun with ${then.join(', ')}: go on with the same, or begin anew by --restart.`);
}

type Piece = Readonly<{ fresh: number; cursor: row.RebuildCursor }>;

/** Together with the cursor; where that cannot be, whatever of it can be applied first. */
async function applyPiece(deps: PastDeps, events: readonly StoredEvent[], cursor: row.RebuildCursor): Promise<Piece> {
  try {
    return { fresh: await inOneGo(deps, events, cursor), cursor };
  } catch (error) {
    if (!saysOfTheEvents(error, deps.signal)) throw error;
    const leftOut = [...(cursor.leftOut ?? [])];
    const fresh = await sift(deps, events, leftOut);
    const told = { ...cursor, leftOut };
    await inOneGo(deps, [], told);
    return { fresh, cursor: told };
  }
}

/** In halves, down to the ones that cannot be applied. @returns how many of the others were new */
async function sift(deps: PastDeps, events: readonly StoredEvent[], leftOut: row.LeftOut[]): Promise<number> {
  try {
    return await inOneGo(deps, events, undefined);
  } catch (error) {
    if (!saysOfTheEvents(error, deps.signal)) throw error;
    const [first] = events;
    if (events.length === 1 && first !== undefined) {
      leftOut.push({ id: first.id, type: first.type, reason: reasonOf(error) });
      if (leftOut.length > MOST_LEFT_OUT) throw tooMany(deps, leftOut, error);
      return 0;
    }
    const half = Math.ceil(events.length / 2);
    return (await sift(deps, events.slice(0, half), leftOut)) + (await sift(deps, events.slice(half), leftOut));
  }
}

async function inOneGo(
  { views, view, options, holder, signal }: PastDeps,
  stored: readonly StoredEvent[],
  cursor: row.RebuildCursor | undefined,
): Promise<number> {
  const events = eventsFor(view, stored);
  return patiently(signal, () =>
    views.$transaction(async (tx) => {
      await row.mustHold(tx, { view: view.name, holder });
      const fresh = events.length === 0 ? 0 : await inShadow(tx, () => applyFresh(tx, view, events, options));
      await row.storeProgress(tx, view.name, cursor, fresh);
      return fresh;
    }, TRANSACTION),
  );
}

/** Repeats what met a database that says "not now", for a while. */
export async function patiently<T>(signal: AbortSignal, work: () => Promise<T>, attempts = ATTEMPTS): Promise<T> {
  for (let attempt = 1, pauseMs = FIRST_PAUSE_MS; ; attempt++, pauseMs *= 2) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (attempt >= attempts || !isDatabaseOutage(error)) throw error;
    }
    await sleep(pauseMs, undefined, { signal });
  }
}

/** Whether an error is about what was applied, and not about who applies it, or where. */
const saysOfTheEvents = (error: unknown, signal: AbortSignal): boolean =>
  !signal.aborted &&
  !isDatabaseOutage(error) &&
  !(error instanceof row.RebuildLost) &&
  !(error instanceof TooManyLeftOut);

/** Never a driver's own words: they may hold what the event says. */
function reasonOf(error: unknown): string {
  if (error instanceof UnreadableEvent) return error.message;
  const sqlState = sqlStateOf(error);
  if (sqlState !== undefined) return `PostgreSQL ${sqlState}`;
  return error instanceof Error ? error.name : 'unknown';
}

function tooMany({ view }: PastDeps, leftOut: readonly row.LeftOut[], cause: unknown): TooManyLeftOut {
  const [first] = leftOut;
  const line = `More than ${MOST_LEFT_OUT} events cannot be applied to ${view.name}; the first is ${first?.id}: ${first?.reason}`;
  return new TooManyLeftOut(line, { cause });
}
