import type { Databases, SqlTransaction } from '../infra/databases.ts';
import { VIEW_NAMES, type ViewName } from './view.ts';

type Db = Databases['views'];

/** An instant of the clock of `db_materialized_view`, as PostgreSQL writes it: to the microsecond. */
export type DatabaseInstant = string;

export async function databaseNow(db: SqlTransaction): Promise<DatabaseInstant> {
  const [row] = await db.$queryRaw<{ at: DatabaseInstant }[]>`select clock_timestamp()::text as at`;
  if (row === undefined) throw new Error('the database has no clock');
  return row.at;
}

/**
 * Notes that views had applied all that was on the bus at an instant. It never goes back: of several projections the one
 * that looked last is right. Repeat-safe.
 */
export async function noteCaughtUp(db: Db, views: readonly ViewName[], at: DatabaseInstant): Promise<void> {
  await db.$executeRaw`
    with mine as (
      select view from projection_progress
      where view = any(${views}::text[]) and (caught_up_at is null or caught_up_at < ${at}::timestamptz)
      order by view
      for no key update
    )
    update projection_progress p set caught_up_at = greatest(p.caught_up_at, ${at}::timestamptz)
    from mine where p.view = mine.view`;
}

/**
 * For each view an upper bound, in milliseconds, of the age of the oldest event on the bus that it has not applied; null
 * where it has never been up to date. Events that were set aside as dead letters do not count: they are told apart.
 */
export async function readViewLags(db: SqlTransaction): Promise<Readonly<Record<ViewName, number | null>>> {
  const rows = await db.$queryRaw<{ view: ViewName; lagMs: number | null }[]>`
    select view, (extract(epoch from clock_timestamp() - caught_up_at) * 1000)::float8 as "lagMs"
    from projection_progress`;
  // Not in SQL: its `greatest` takes nothing for less than everything. A clock that was set back makes no negative lag.
  const known = new Map(rows.map(({ view, lagMs }) => [view, lagMs === null ? null : Math.max(0, lagMs)]));
  return Object.fromEntries(VIEW_NAMES.map((view) => [view, known.get(view) ?? null])) as Record<
    ViewName,
    number | null
  >;
}
