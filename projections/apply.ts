import type { EventType } from '../events/catalogue.ts';
import { type ReadEvent, readEvent } from '../events/read-event.ts';
import type { StoredEvent } from '../events/stored-event.ts';
import { type Databases, type SqlTransaction, TRANSACTION } from '../infra/databases.ts';
import { Prisma } from '../prisma/views/generated/client.ts';
import type { View, ViewName, ViewSettings } from './view.ts';

/**
 * Applies a batch to a view in one transaction with its inbox and offsets: all of it or nothing. Events that were applied
 * before change nothing. While the view is being rebuilt its twin gets the batch as well.
 *
 * @returns how many events were new to the view
 * @throws UnknownEvent for an event that this release cannot read
 */
export async function applyToView(
  views: Databases['views'],
  view: View,
  batch: readonly StoredEvent[],
  options: ViewSettings,
): Promise<number> {
  const events = eventsFor(view, batch);
  if (events.length === 0) return 0;
  return views.$transaction(async (tx) => {
    await lockView(tx, view.name, 'shared');
    const fresh = await applyFresh(tx, view, events, options);
    if (await isRebuilding(tx, view.name)) await inShadow(tx, () => applyFresh(tx, view, events, options));
    await storeOffsets(tx, view.name, events);
    return fresh;
  }, TRANSACTION);
}

/** What a view takes of a batch, checked, of the newest versions. Personal fields stay sealed: views need no key. */
export function eventsFor({ takes }: View, batch: readonly StoredEvent[]): readonly ReadEvent[] {
  const wanted = new Set<string>(takes satisfies readonly EventType[]);
  return batch.filter(({ type }) => wanted.has(type)).map((stored) => readEvent(stored));
}

/**
 * Applies what the inbox has not seen, to the tables that the search path finds. Call it in a transaction.
 *
 * @returns how many events were new
 */
export async function applyFresh(
  tx: SqlTransaction,
  view: View,
  events: readonly ReadEvent[],
  settings: ViewSettings,
): Promise<number> {
  const rows = await tx.$queryRaw<{ eventId: string }[]>`
    insert into ${inboxOf(view.name)} (view, event_id)
    select ${view.name}, id from unnest(${events.map(({ id }) => id)}::uuid[]) as e (id)
    order by id
    on conflict do nothing
    returning event_id::text as "eventId"`;
  const fresh = new Set(rows.map(({ eventId }) => eventId));
  // Deleted as they are taken: a batch may hold an event twice.
  const wanted = events.filter(({ id }) => fresh.delete(id));
  if (wanted.length > 0) await view.apply(tx, wanted, settings);
  return wanted.length;
}

/** Until the transaction ends. The projection shares it; whoever begins or ends a rebuild has it alone. */
export async function lockView(tx: SqlTransaction, view: ViewName, how: 'shared' | 'alone'): Promise<void> {
  const key = `projection of ${view}`;
  if (how === 'shared') await tx.$queryRaw`select pg_advisory_xact_lock_shared(hashtextextended(${key}, 0))::text`;
  else await tx.$queryRaw`select pg_advisory_xact_lock(hashtextextended(${key}, 0))::text`;
}

/** Runs SQL of a view on its tables in the schema `shadow`. */
export async function inShadow<T>(tx: SqlTransaction, run: () => Promise<T>): Promise<T> {
  await tx.$queryRaw`select set_config('search_path', 'shadow, public', true)`;
  const result = await run();
  await tx.$queryRaw`select set_config('search_path', 'public', true)`;
  return result;
}

async function isRebuilding(tx: SqlTransaction, view: ViewName): Promise<boolean> {
  const rows = await tx.$queryRaw<unknown[]>`select from projection_rebuilds where view = ${view}`;
  return rows.length > 0;
}

async function storeOffsets(tx: SqlTransaction, view: ViewName, events: readonly ReadEvent[]): Promise<void> {
  const places = events.map(({ id, source, time }) => ({ id, source, time }));
  await tx.$executeRaw`
    insert into projection_offsets as o (view, source, event_id, event_time)
    select distinct on (1, 2) ${view}, split_part(e ->> 'source', '/', 3), (e ->> 'id')::uuid, (e ->> 'time')::timestamptz
    from jsonb_array_elements(${JSON.stringify(places)}::jsonb) as e
    order by 1, 2, 4 desc
    on conflict (view, source) do update
    set event_id = excluded.event_id, event_time = greatest(o.event_time, excluded.event_time), applied_at = now()`;
}

/** Written to by its own name: the twin of a partition has no parent. */
const inboxOf = (view: ViewName) => Prisma.raw(`projection_inbox_${view}`);
