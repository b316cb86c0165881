import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import type { EventBus } from '../events/bus/bus.ts';
import { openEmbeddedBus } from '../events/bus/embedded.ts';
import type { StoredEvent } from '../events/stored-event.ts';
import { openViews } from '../infra/databases.ts';
import { VIEWS } from '../projections/all.ts';
import { startProjection } from '../projections/projector.ts';
import { groupOf, type ViewName } from '../projections/view.ts';
import { freshDatabases, query, type TestDatabases } from '../test/support/databases.ts';
import { pastOrders } from './past-orders.ts';

export type DrainResult = Readonly<{
  /** Events in the log; each view reads all of them, and takes its own. */
  events: number;
  orders: number;
  seconds: number;
  /** Events of the log that went through all five views, per second. */
  perSecond: number;
  /** When each view had come to the end of the log, seconds. */
  viewSeconds: Readonly<Record<ViewName, number>>;
  /** What is not as the log says, in words. */
  wrong: readonly string[];
}>;

export type DrainBench = Readonly<{
  events: number;
  /** Ends it early: what was started is stopped, and the reason is thrown. */
  signal: AbortSignal;
  show: (what: string) => (done: number, total: number) => void;
}>;

/** Of these each has one: a customer buys some times, and the profile is a small part of the log. */
const EVENTS_OF_A_CUSTOMER = 50;
/** As many as a relay hands over at once. */
const APPENDED_AT_ONCE = 1_000;
const LOOK_MS = 100;
/** As `npm run events` has it: a transaction for each view, and the look at how far they are. */
const VIEWS_POOL_SIZE = VIEWS.length + 2;
const BUS_POOL_SIZE = 10;
const TIME_ZONE = 'Asia/Seoul';
const log = pino({ level: 'warn' }, pino.destination(2));

/** How fast the projection alone applies a log that is full already, with nobody writing. Needs the server of the tests. */
export async function benchDrain({ events, signal, show }: DrainBench): Promise<DrainResult> {
  const databases = await freshDatabases();
  const bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: BUS_POOL_SIZE, log });
  const views = openViews(databases.urls.views, { poolSize: VIEWS_POOL_SIZE });
  try {
    const stored = await fill(bus, events, signal, show('events stored '));
    const startedAt = performance.now();
    const options = { timeZone: TIME_ZONE };
    const projection = startProjection({ db: views, bus, views: VIEWS, options, log });
    try {
      const viewSeconds = await untilAtTheEnd(bus, stored.events, startedAt, signal, show('events applied'));
      const seconds = Math.max(...Object.values(viewSeconds));
      const wrong = await wrongAfterDrain(databases);
      return { ...stored, seconds, perSecond: stored.events / seconds, viewSeconds, wrong };
    } finally {
      await projection.stop();
    }
  } finally {
    await bus.close();
    await views.$disconnect();
    await databases.drop();
  }
}

/** By the append of the embedded bus itself. */
async function fill(
  bus: EventBus,
  wanted: number,
  signal: AbortSignal,
  tell: (done: number, total: number) => void,
): Promise<{ events: number; orders: number }> {
  let [events, orders] = [0, 0];
  let batch: StoredEvent[] = [];
  for (const some of pastOrders(new Date().toISOString(), Math.ceil(wanted / EVENTS_OF_A_CUSTOMER))) {
    signal.throwIfAborted();
    batch.push(...some);
    if (some.some(({ type }) => type === 'OrderCreated')) orders += 1;
    const isLast = events + batch.length >= wanted;
    if (!isLast && batch.length < APPENDED_AT_ONCE) continue;
    await bus.publish(batch);
    events += batch.length;
    batch = [];
    tell(Math.min(events, wanted), wanted);
    if (isLast) break;
  }
  return { events, orders };
}

async function untilAtTheEnd(
  bus: EventBus,
  events: number,
  startedAt: number,
  signal: AbortSignal,
  tell: (done: number, total: number) => void,
): Promise<Record<ViewName, number>> {
  const ended = new Map<ViewName, number>();
  for (;;) {
    await sleep(LOOK_MS, undefined, { signal });
    const lags = await Promise.all(VIEWS.map(async ({ name }) => ({ name, ...(await bus.lag(groupOf(name))) })));
    const seconds = (performance.now() - startedAt) / 1_000;
    for (const { name, behind } of lags) if (behind === 0 && !ended.has(name)) ended.set(name, seconds);
    tell(events - Math.max(...lags.map(({ behind }) => behind)), events);
    if (ended.size === VIEWS.length) return Object.fromEntries(ended) as Record<ViewName, number>;
  }
}

/** In words, where an event has not come to a view that takes it, or a sum is not that of its contributions. */
export async function wrongAfterDrain(databases: Pick<TestDatabases, 'adminUrl'>): Promise<string[]> {
  const types = await query<{ type: string; events: number }>(
    databases.adminUrl('bus'),
    'select type, count(distinct event_id)::int as events from event_log group by type',
  );
  const inboxes = await query<{ view: ViewName; events: number }>(
    databases.adminUrl('views'),
    'select view, count(*)::int as events from projection_inbox group by view',
  );
  const missing = VIEWS.flatMap(({ name, takes }) => {
    const taken = types.filter(({ type }) => takes.some((one) => one === type));
    const wanted = taken.reduce((sum, { events }) => sum + events, 0);
    const has = inboxes.find(({ view }) => view === name)?.events ?? 0;
    return has === wanted ? [] : [`${name} has applied ${has} of ${wanted} events`];
  });
  const sums = await query<{ what: string; rows: number }>(databases.adminUrl('views'), WRONG_SUMS);
  return [
    ...missing,
    ...sums.filter(({ rows }) => rows > 0).map(({ what, rows }) => `${rows} rows of ${what} are wrong`),
  ];
}

const WRONG_SUMS = `
  select 'mv_daily_sales' as what, count(*)::int as rows
  from mv_daily_sales v
  full join (
    select day as date, currency, count(*) as n, sum(orders) as paid, sum(items) as items, sum(gross) as gross,
      sum(refunds) as refunds, count(distinct user_id) filter (where orders = 1) as customers
    from mv_order_sales group by 1, 2
  ) as s using (date, currency)
  where (v.total_orders, v.completed_orders, v.items, v.gross, v.refunds, v.unique_customers)
    is distinct from (s.n, s.paid, s.items, s.gross, s.refunds, s.customers)
  union all
  select 'mv_user_totals', count(*)::int
  from mv_user_totals v
  full join (
    select user_id, currency, sum(orders) as orders, sum(spent) as spent from mv_user_orders group by 1, 2
  ) as s using (user_id, currency)
  where (v.total_orders, v.total_spent) is distinct from (s.orders, s.spent)
  union all
  select 'mv_products', count(*)::int
  from mv_products v
  left join (select product_id, sum(units) as units from mv_product_purchases group by 1) as s using (product_id)
  where v.purchase_count <> coalesce(s.units, 0)`;
