import type { SqlTransaction } from '../infra/databases.ts';
import { VIEWS } from './all.ts';
import { VIEW_NAMES, type ViewName } from './view.ts';

/** When a view has applied an event: an ISO instant, or null where it has not, or does not remember. */
export type Applied = Readonly<{ view: ViewName; at: string | null }>;

export type AppliedEvents = Readonly<{
  /** The views that take a type of event, by the event's id. */
  of: (event: Readonly<{ eventId: string; type: string }>) => readonly Applied[];
  /** Views whose upkeep has forgotten events that they applied long ago. */
  forgetful: ReadonlySet<ViewName>;
}>;

/** When which view applied these events. After a rebuild it is when the rebuild did. */
export async function readApplied(views: SqlTransaction, eventIds: readonly string[]): Promise<AppliedEvents> {
  const rows = await views.$queryRaw<{ view: ViewName; eventId: string; at: Date }[]>`
    select i.view, i.event_id::text as "eventId", i.applied_at as at
    from unnest(${eventIds}::uuid[]) as e(id)
    cross join unnest(${[...VIEW_NAMES]}::text[]) as v(name)
    join projection_inbox i on i.view = v.name and i.event_id = e.id`;
  const progress = await views.$queryRaw<{ view: ViewName }[]>`
    select view from projection_progress where forgotten > 0`;
  const at = new Map(rows.map((row) => [`${row.view} ${row.eventId}`, row.at.toISOString()]));
  return {
    of: ({ eventId, type }) =>
      VIEWS.filter(({ takes }) => takes.some((taken) => taken === type)).map(({ name: view }) => ({
        view,
        at: at.get(`${view} ${eventId}`) ?? null,
      })),
    forgetful: new Set(progress.map(({ view }) => view)),
  };
}
