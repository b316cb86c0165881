import { VIEWS } from '../projections/all.ts';
import type { ViewName } from '../projections/view.ts';
import { query, type TestDatabases } from '../test/support/databases.ts';
import { type Spread, spreadOf } from './numbers.ts';

/** How old events were, milliseconds, by the one clock of the one server that holds all databases. */
export type LagTimes = Readonly<{
  events: number;
  /** From the event's `time`, when the transaction that made it began, until it was committed in the log. */
  bus: Spread;
  /** From the event's `time` until the transaction was committed that wrote it into the view. */
  views: Readonly<Record<ViewName, Spread>>;
  /** Of all views together. */
  all: Spread;
  /** Events that a view takes and has not applied. */
  missing: number;
}>;

type Databases = Pick<TestDatabases, 'adminUrl'>;

export async function serverClock(databases: Databases): Promise<string> {
  const [row] = await query<{ at: string }>(databases.adminUrl('views'), 'select clock_timestamp()::text as at');
  if (row === undefined) throw new Error('the database has no clock');
  return row.at;
}

/** Of the events that were made between two instants of the server's clock. The server notes when what was committed. */
export async function lagTimes(databases: Databases, since: string, until: string): Promise<LagTimes> {
  const events = await query<EventRow>(databases.adminUrl('bus'), EVENTS, [since, until]);
  const applied = await query<AppliedRow>(databases.adminUrl('views'), APPLIED, [since]);
  const shownAt = new Map(applied.map(({ view, id, at }) => [`${view} ${id}`, at]));

  let missing = 0;
  const lags = VIEWS.map(({ name, takes }) => {
    const taken = events.filter(({ type }) => takes.some((one) => one === type));
    const found = taken.flatMap(({ id, time }) => {
      const at = shownAt.get(`${name} ${id}`);
      return at === undefined ? [] : [at - time];
    });
    missing += taken.length - found.length;
    return [name, found] as const;
  });
  return {
    events: events.length,
    bus: spreadOf(events.map(({ time, at }) => at - time)),
    views: Object.fromEntries(lags.map(([name, found]) => [name, spreadOf(found)])) as LagTimes['views'],
    all: spreadOf(lags.flatMap(([, found]) => found)),
    missing,
  };
}

/** Milliseconds since 1970, with fractions. */
type EventRow = Readonly<{ id: string; type: string; time: number; at: number }>;
type AppliedRow = Readonly<{ view: ViewName; id: string; at: number }>;

/** The first time that it was appended: a relay may do so twice. */
const EVENTS = `
  select event_id::text as id, type, min(extract(epoch from (envelope ->> 'time')::timestamptz) * 1000)::float8 as time,
    min(extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8 as at
  from event_log
  where (envelope ->> 'time')::timestamptz between $1::timestamptz and $2::timestamptz
  group by event_id, type`;

/** Nothing changes a row of an inbox, so its `xmin` is the transaction that applied the event. */
const APPLIED = `
  select view, event_id::text as id, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8 as at
  from projection_inbox
  where applied_at >= $1::timestamptz`;
