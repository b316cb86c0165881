import { waitingEvents } from './outbox-rules.ts';
import { EVENT_SERVICES, type EventService, type Snapshot, type Snapshots } from './snapshot.ts';
import { AUDITED_VIEWS, type AuditedView, type ViewDifference, type ViewRule } from './views-rows.ts';

/** How far a view was at the instant of its snapshot. */
type Reached = Readonly<{
  /** It had applied all that was on the bus then; milliseconds since 1970, by the views' clock. Null: never. */
  caughtUpMs: number | null;
  /** Since it last applied anything, or had nothing to apply, milliseconds. Infinity: never. */
  idleMs: number;
}>;

/** What works on it that the views follow their sources. */
export type Progress = Readonly<{
  views: ReadonlyMap<AuditedView, Reached>;
  /** The relay of each service, where something waits for it and it is at work. Null: something waits in vain. */
  relays: ReadonlyMap<EventService, string | null>;
}>;

/** Longer than any pause of a projection whose bus is away or whose batches fail, milliseconds. */
const LONGEST_SILENCE_MS = 60_000;
/** How much clocks may differ, and how long an event may be on its way without anybody being to blame; milliseconds. */
const PATIENCE_MS = 10_000;

/** Read it before all else: what comes later is told as not yet applied. */
export async function readProgress(from: Snapshots): Promise<Progress> {
  const rows = await from.views.query<Reached & { view: AuditedView }>(
    // Not the clock of the statement: what the snapshot shows ends when it began.
    `select p.view, (extract(epoch from p.caught_up_at) * 1000)::float8 as "caughtUpMs",
       coalesce(extract(epoch from now() - greatest(p.caught_up_at, max(o.applied_at))) * 1000, 'Infinity')::float8 as "idleMs"
     from projection_progress p left join projection_offsets o using (view)
     group by p.view, p.caught_up_at`,
  );
  const relays = new Map<EventService, string | null>();
  for (const service of EVENT_SERVICES) {
    const [waiting] = await waitingEvents(service, from[service]);
    if (waiting !== undefined) relays.set(service, waiting.atWork ?? null);
  }
  const reached = new Map(rows.map(({ view, ...row }) => [view, row]));
  return {
    views: new Map(AUDITED_VIEWS.map((view) => [view, reached.get(view) ?? { caughtUpMs: null, idleMs: Infinity }])),
    relays,
  };
}

/** A row that waits for an event: that is not on the bus, or that is and was not applied yet. */
export type Wait = Readonly<{ service: EventService; published: boolean; ageMs: number }>;

type NewestRow = Readonly<{ id: string; eventId: string; publishedMs: number | null; ageMs: number }>;

/**
 * For each difference why it is none yet: the newest event that tells the row is on its way to the view. Undefined where
 * the view has applied it, has passed it over, or there is none.
 */
export async function waitsOf(
  { view, from: service, toldBy }: ViewRule,
  differences: readonly ViewDifference[],
  from: Snapshots,
  progress: Progress,
): Promise<readonly (Wait | undefined)[]> {
  if (toldBy === undefined || service === 'views') return differences.map(() => undefined);
  const ids = differences.map(({ is, shouldBe }) => toldBy.idOf(shouldBe ?? is ?? {}));
  const newest = await from[service].query<NewestRow>(
    `select distinct on (aggregate_id) aggregate_id as id, event_id::text as "eventId",
       (extract(epoch from published_at) * 1000)::float8 as "publishedMs",
       (extract(epoch from now() - coalesce(published_at, created_at)) * 1000)::float8 as "ageMs"
     from outbox
     where aggregate_type = $1 and aggregate_id = any($2::text[]) and ($3::text[] is null or type = any($3))
     order by aggregate_id, aggregate_version desc`,
    [toldBy.aggregate, ids, toldBy.types ?? null],
  );
  const applied = await appliedAmong(from.views, view, newest);
  const passed = (progress.views.get(view)?.caughtUpMs ?? -Infinity) - PATIENCE_MS;
  const waits = new Map<string, Wait>();
  for (const { id, eventId, publishedMs, ageMs } of newest) {
    const isOnItsWay = publishedMs === null || publishedMs > passed;
    if (!applied.has(eventId) && isOnItsWay) waits.set(id, { service, published: publishedMs !== null, ageMs });
  }
  return ids.map((id) => waits.get(id));
}

async function appliedAmong(
  views: Snapshot,
  view: AuditedView,
  events: readonly NewestRow[],
): Promise<ReadonlySet<string>> {
  const rows = await views.query<{ id: string }>(
    `select event_id::text as id from projection_inbox_${view} where view = $1 and event_id = any($2::uuid[])`,
    [view, events.map(({ eventId }) => eventId)],
  );
  return new Set(rows.map(({ id }) => id));
}

/** Rows of one view that wait. */
export class Waits {
  readonly #services = new Set<EventService>();
  #unpublished = 0;
  #unapplied = 0;
  #oldestMs = 0;

  add({ service, published, ageMs }: Wait): void {
    if (published) {
      this.#unapplied += 1;
      this.#oldestMs = Math.max(this.#oldestMs, ageMs);
    } else {
      this.#unpublished += 1;
      this.#services.add(service);
    }
  }

  get count(): number {
    return this.#unpublished + this.#unapplied;
  }

  /** What the rows wait for, for people. */
  get text(): string {
    const parts = [
      [this.#unpublished, 'for events that are not on the bus'],
      [this.#unapplied, `for events on the bus, the oldest for ${Math.round(this.#oldestMs / 1_000)} s`],
    ] as const;
    return parts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} rows wait ${what}`])).join(', ');
  }

  /** Who is at it; undefined when somebody is needed who is not. */
  atWork(view: AuditedView, { views, relays }: Progress): string | undefined {
    const at: string[] = [];
    for (const service of this.#services) {
      const relay = relays.get(service) ?? null;
      if (relay === null) return undefined;
      at.push(relay);
    }
    if (this.#unapplied > 0) {
      const idleMs = views.get(view)?.idleMs ?? Infinity;
      if (idleMs > LONGEST_SILENCE_MS && this.#oldestMs > PATIENCE_MS) return undefined;
      at.push(`projection of ${view}`);
    }
    return at.join(', ');
  }
}
