import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { openViews } from '../../infra/databases.ts';
import { type Projection, startProjection } from '../../projections/projector.ts';
import type { View, ViewName } from '../../projections/view.ts';
import { query, type TestDatabases } from './databases.ts';
import { eventually } from './eventually.ts';

/** A projection of this process with clients of its own, and what it told. */
export type RunningProjection = Readonly<{
  projection: Projection;
  /** New events that each view has applied. */
  applied: Partial<Record<ViewName, number>>;
  /** How often each view could not go on. */
  failures: Partial<Record<ViewName, number>>;
  close: () => Promise<void>;
}>;

const LEASE_MS = 1_000;
const TIME_ZONE = 'Asia/Seoul';

/** @param wrap changes the bus that the projection is given */
export function projectionOf(
  { urls }: Pick<TestDatabases, 'urls'>,
  views: readonly View[],
  wrap: (bus: EventBus) => Pick<EventBus, 'subscribe' | 'lag'> = (bus) => bus,
): RunningProjection {
  const log = pino({ level: 'silent' });
  const bus = openEmbeddedBus({ url: urls.bus, poolSize: 8, log, leaseMs: LEASE_MS });
  const db = openViews(urls.views, { poolSize: 8 });
  const applied: Partial<Record<ViewName, number>> = {};
  const failures: Partial<Record<ViewName, number>> = {};
  const metrics = {
    applied: (view: ViewName, events: number) => void (applied[view] = (applied[view] ?? 0) + events),
    failed: (view: ViewName) => void (failures[view] = (failures[view] ?? 0) + 1),
  };
  const projection = startProjection({
    ...{ db, bus: wrap(bus), views, options: { timeZone: TIME_ZONE }, log, metrics },
  });
  return {
    ...{ projection, applied, failures },
    async close() {
      await projection.stop();
      await bus.close();
      await db.$disconnect();
    },
  };
}

/** The instant of the database that a view had everything of, as milliseconds since 1970; undefined when it never had. */
export async function caughtUpAt(databases: TestDatabases, view: ViewName): Promise<number | undefined> {
  const [row] = await query<{ at: Date | null }>(
    databases.adminUrl('views'),
    'select caught_up_at as at from projection_progress where view = $1',
    [view],
  );
  return row?.at?.getTime();
}

/** Resolves when views have everything that is on the bus now. */
export async function untilCaughtUp(databases: TestDatabases, ...views: readonly ViewName[]): Promise<void> {
  const [row] = await query<{ at: Date }>(databases.adminUrl('views'), 'select clock_timestamp() as at');
  const now = row?.at.getTime() ?? Infinity;
  for (const view of views) {
    await eventually(`the view ${view} is up to date`, async () =>
      ((await caughtUpAt(databases, view)) ?? 0) > now ? true : undefined,
    );
  }
}
