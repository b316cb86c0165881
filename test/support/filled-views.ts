import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews } from '../../infra/databases.ts';
import { VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { databaseNow, noteCaughtUp } from '../../projections/progress.ts';
import { VIEW_NAMES } from '../../projections/view.ts';
import { query, type TestDatabases } from './databases.ts';

const SOURCES = ['platform', 'order', 'payment'] as const;
const TIME_ZONE = 'Asia/Seoul';

/**
 * Applies all that the outboxes hold to the views, as the projection does with what comes off the bus, for tests that start
 * neither relays nor projection. Call it again for what happened since.
 */
export async function fillViews({ urls, adminUrl }: Pick<TestDatabases, 'urls' | 'adminUrl'>): Promise<void> {
  const views = openViews(urls.views, { poolSize: 2 });
  const known = APPLIED.get(urls.views) ?? new Set();
  APPLIED.set(urls.views, known);
  try {
    const since = await databaseNow(views);
    for (const source of SOURCES) {
      const events = await query<Omit<StoredEvent, 'source'>>(adminUrl(source), OUTBOX);
      const batch = events
        .filter(({ id }) => !known.has(id))
        .map((event) => ({ ...event, aggregateVersion: Number(event.aggregateVersion), source }));
      await tellViews(views, batch);
      for (const { id } of batch) known.add(id);
    }
    await noteCaughtUp(views, VIEW_NAMES, since);
  } finally {
    await views.$disconnect();
  }
}

/** Applies events that a test made to every view that takes them, in the order given. */
export async function tellViews(views: Databases['views'], events: readonly StoredEvent[]): Promise<void> {
  for (const view of VIEWS) await applyToView(views, view, events, { timeZone: TIME_ZONE });
}

/** Ids of what was applied, by database: the view's inbox would drop it too, but only after it was read and checked. */
const APPLIED = new Map<string, Set<string>>();

const OUTBOX = `
  select event_id::text as id, type, aggregate_type as "aggregateType", aggregate_id as "aggregateId",
    aggregate_version as "aggregateVersion", envelope
  from outbox order by id`;
