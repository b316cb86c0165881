import type { Databases, SqlTransaction } from '../infra/databases.ts';
import { lockView } from './apply.ts';
import type { HistorySource } from './history.ts';
import { VIEW_NAMES, type ViewName } from './view.ts';

type Views = Databases['views'];

/** An event that could not be applied to the rebuilt view. */
export type LeftOut = Readonly<{ id: string; type: string; reason: string }>;

/** How far a rebuild is: kept in its row, so that whoever goes on after a crash begins there. */
export type RebuildCursor = Readonly<{
  /** Per part of the past where it is and where it ends; decimal numbers. Absent until that is known. */
  streams?: Readonly<Record<string, Readonly<{ after: string; end: string }>>>;
  leftOut?: readonly LeftOut[];
}>;

/** Who works on a rebuild, unlike anybody else. */
export type Holder = Readonly<{ view: ViewName; holder: string }>;

/** A rebuild that has begun: from now on the projection writes every batch to the view's twin as well. */
export type Registered = Readonly<{ source: HistorySource; cursor: RebuildCursor; applied: number; resumed: boolean }>;

/** Somebody works on it. `until`: his lease ends then, unless he renews it. */
export type Taken = Readonly<{ takenBy: string; until: Date; source: HistorySource }>;

/** Thrown to whoever is no longer the one who works on a rebuild: somebody else goes on, or has ended it. */
export class RebuildLost extends Error {
  override readonly name = 'RebuildLost';
}

/** Somebody who died holds up others for so long, milliseconds. */
export const LEASE_MS = 10_000;

/**
 * Begins a rebuild of a view, or takes up one that nobody works on. Only the first takes the view's lock: no batch is
 * then half-way between writing one set of tables and writing two.
 *
 * @param source where its past comes from, if it is new
 * @param restart forget how far it was
 */
export async function register(
  views: Views,
  { view, holder }: Holder,
  source: HistorySource,
  restart: boolean,
): Promise<Registered | Taken> {
  const taken = await take(views, { view, holder }, restart);
  if (taken !== undefined) return taken;
  return views.$transaction(async (tx) => {
    await lockView(tx, view, 'alone');
    const made = await tx.$executeRaw`
      insert into projection_rebuilds (view, source, holder, until)
      values (${view}, ${source}, ${holder}, clock_timestamp() + ${LEASE_MS} * interval '1 millisecond')
      on conflict do nothing`;
    if (made === 0) throw new RebuildLost(`somebody else began to rebuild ${view} at the same moment`);
    await tx.$queryRaw`select open_shadow(${view})::text`;
    return { source, cursor: {}, applied: 0, resumed: false };
  });
}

/** @returns undefined where the view is not being rebuilt, or is begun anew */
async function take(views: Views, { view, holder }: Holder, restart: boolean): Promise<Registered | Taken | undefined> {
  const [mine] = await views.$queryRaw<(Omit<Registered, 'resumed' | 'applied'> & { applied: bigint })[]>`
    update projection_rebuilds
    set holder = ${holder}, until = clock_timestamp() + ${LEASE_MS} * interval '1 millisecond'
    where view = ${view} and (holder is null or holder = ${holder} or until < clock_timestamp())
    returning source, cursor, applied`;
  if (mine !== undefined) {
    if (!restart) return { ...mine, applied: Number(mine.applied), resumed: true };
    await abandon(views, { view, holder });
    return undefined;
  }
  const [other] = await views.$queryRaw<Taken[]>`
    select holder as "takenBy", until, source from projection_rebuilds where view = ${view}`;
  return other;
}

/**
 * The first statement of a transaction of a rebuild: keeps everybody else out until it ends.
 *
 * @throws RebuildLost
 */
export async function mustHold(tx: SqlTransaction, { view, holder }: Holder): Promise<void> {
  if (!(await renew(tx, { view, holder }))) throw new RebuildLost(`somebody else goes on with the rebuild of ${view}`);
}

/** @returns false when somebody else has taken over, or the rebuild has ended */
export async function renew(db: SqlTransaction, { view, holder }: Holder): Promise<boolean> {
  const renewed = await db.$executeRaw`
    update projection_rebuilds set until = clock_timestamp() + ${LEASE_MS} * interval '1 millisecond'
    where view = ${view} and holder = ${holder}`;
  return renewed === 1;
}

/** Lets the next go on at once. Repeat-safe. */
export async function release(db: SqlTransaction, { view, holder }: Holder): Promise<void> {
  await db.$executeRaw`
    update projection_rebuilds set holder = null, until = null where view = ${view} and holder = ${holder}`;
}

/**
 * Stores how far it is, in the transaction that applied the events.
 *
 * @param cursor undefined leaves it as it is
 */
export async function storeProgress(
  tx: SqlTransaction,
  view: ViewName,
  cursor: RebuildCursor | undefined,
  applied: number,
): Promise<void> {
  const stored = cursor === undefined ? null : JSON.stringify(cursor);
  await tx.$executeRaw`
    update projection_rebuilds
    set cursor = coalesce(${stored}::jsonb, cursor), applied = applied + ${applied}
    where view = ${view}`;
}

/** Drops the twin: the live view stays as it is, and the projection writes it alone again. @throws RebuildLost */
export async function abandon(views: Views, { view, holder }: Holder): Promise<void> {
  await views.$transaction(async (tx) => {
    await lockView(tx, view, 'alone');
    await mustHold(tx, { view, holder });
    await tx.$queryRaw`select drop_shadow(${view})::text`;
    await tx.$executeRaw`delete from projection_rebuilds where view = ${view}`;
  });
}

/** How far a rebuild is, for people. */
export type RebuildProgress = Readonly<{
  startedAt: Date;
  source: HistorySource;
  /** Events of the past that were applied. */
  applied: number;
  /** From 0 to 1, of the past. */
  done: number;
  /** False for one that was cut off: run it again, and it goes on. */
  running: boolean;
}>;

/** Every view: when it was last rebuilt, and how far a rebuild of it is. */
export type ViewStatus = Readonly<{ rebuiltAt: Date | null; rebuild: RebuildProgress | null }>;

export async function readRebuilds(db: SqlTransaction): Promise<Readonly<Record<ViewName, ViewStatus>>> {
  const rows = await db.$queryRaw<StatusRow[]>`
    select p.view, p.rebuilt_at as "rebuiltAt", r.started_at as "startedAt", r.source, r.cursor, r.applied,
      coalesce(r.until > clock_timestamp(), false) as running
    from projection_progress p left join projection_rebuilds r using (view)`;
  const known = new Map(rows.map((row) => [row.view, row]));
  const entries = VIEW_NAMES.map((view) => [view, statusOf(known.get(view))] as const);
  return Object.fromEntries(entries) as Record<ViewName, ViewStatus>;
}

type StatusRow = Readonly<{
  view: ViewName;
  rebuiltAt: Date | null;
  startedAt: Date | null;
  source: HistorySource;
  cursor: RebuildCursor;
  applied: bigint;
  running: boolean;
}>;

function statusOf(row: StatusRow | undefined): ViewStatus {
  if (row === undefined) return { rebuiltAt: null, rebuild: null };
  const { rebuiltAt, startedAt, source, cursor, applied, running } = row;
  if (startedAt === null) return { rebuiltAt, rebuild: null };
  return { rebuiltAt, rebuild: { startedAt, source, applied: Number(applied), done: shareOf(cursor), running } };
}

/** How much of the past is read, from 0 to 1. */
export function shareOf({ streams = {} }: RebuildCursor): number {
  const all = Object.values(streams);
  const total = all.reduce((sum, { end }) => sum + Number(end), 0);
  if (total === 0) return all.length === 0 ? 0 : 1;
  return all.reduce((sum, { after }) => sum + Number(after), 0) / total;
}
