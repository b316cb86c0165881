import type { StoredEvent } from '../../events/stored-event.ts';
import { openViews } from '../../infra/databases.ts';
import { VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { freshDatabases, query, type TestDatabases } from './databases.ts';
import { rowsOf, type ViewRow } from './views.ts';

const SERVICES = ['platform', 'order', 'payment'] as const;
const BATCH_SIZE = 500;

/** Every view as it is when all that the outboxes hold is applied to empty tables, in order and without haste. */
export async function recomputedViews(
  source: Pick<TestDatabases, 'adminUrl'>,
  timeZone: string,
): Promise<Record<string, ViewRow[]>> {
  const databases = await freshDatabases();
  const views = openViews(databases.urls.views, { poolSize: 2 });
  try {
    for (const service of SERVICES) {
      const events = await query<StoredEvent>(
        source.adminUrl(service),
        `select event_id::text as id, type, $1::text as source, aggregate_type as "aggregateType",
           aggregate_id as "aggregateId", aggregate_version::int as "aggregateVersion", envelope
         from outbox order by aggregate_type, aggregate_id, aggregate_version`,
        [service],
      );
      for (let i = 0; i < events.length; i += BATCH_SIZE) {
        for (const view of VIEWS) await applyToView(views, view, events.slice(i, i + BATCH_SIZE), { timeZone });
      }
    }
    return await rowsOf(databases.adminUrl('views'));
  } finally {
    await views.$disconnect();
    await databases.drop();
  }
}
