import { randomUUID } from 'node:crypto';

import { readLog } from '../../events/bus/embedded-tables.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openBus, openOrder, openPayment, openPlatform, openViews } from '../../infra/databases.ts';
import { viewNamed, VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { compareDay, repairDay, shopToday } from '../../projections/daily-sums.ts';
import type { HistoryPlaces, HistorySource } from '../../projections/history.ts';
import { readViewLags } from '../../projections/progress.ts';
import { inOrders, inSales, inUsers } from '../../projections/read-applied.ts';
import { readOrders } from '../../projections/read-orders.ts';
import { readProduct, readProducts } from '../../projections/read-products.ts';
import { readDailySales } from '../../projections/read-sales.ts';
import { readApplied } from '../../projections/read-story.ts';
import { readCustomerNames, readUser } from '../../projections/read-users.ts';
import { rebuildView } from '../../projections/rebuild.ts';
import { readRebuilds, register, release } from '../../projections/rebuild-row.ts';
import { groupOf } from '../../projections/view.ts';
import { query, type TestDatabases } from './databases.ts';
import { eventually } from './eventually.ts';
import { generatedId } from './explain-data.ts';
import { projectionOf } from './projection.ts';

const OPTIONS = { timeZone: 'Asia/Seoul' } as const;
/** Generated events; whatever came after them is new. */
const GENERATED = 300_000;
const BATCH = 500;

/** Runs the projection, every read of the views, and their upkeep. */
export async function workViews(databases: TestDatabases): Promise<void> {
  const { urls } = databases;
  const views = openViews(urls.views, { poolSize: 4 });
  const bus = openBus(urls.bus, { poolSize: 1 });
  const platform = openPlatform(urls.platform, { poolSize: 1 });
  try {
    await project(databases, views, bus);
    await readAll({ views, platform });
    await upkeep(databases, views);
  } finally {
    await Promise.all([views, bus, platform].map((database) => database.$disconnect()));
  }
}

/** The newest events by the projection as it runs, and whole batches of generated orders by its own function. */
async function project(databases: TestDatabases, views: Databases['views'], bus: Databases['bus']): Promise<void> {
  for (const { name } of VIEWS) {
    await query(
      databases.adminUrl('bus'),
      'insert into group_offsets (group_name, position) values ($1, $2) on conflict (group_name) do update set position = $2',
      [groupOf(name), GENERATED - BATCH],
    );
  }
  const running = projectionOf(databases, VIEWS);
  try {
    await eventually('the views are up to date', async () => {
      const lags = Object.values(await readViewLags(views));
      return lags.every((lag) => lag !== null) ? true : undefined;
    });
    if (Object.keys(running.failures).length > 0) throw new Error(`views failed: ${JSON.stringify(running.failures)}`);
  } finally {
    await running.close();
  }
  for (const after of [0n, 100_000n, 200_000n]) {
    const events = (await readLog(bus, after, BATCH)).map(({ event }) => event);
    for (const view of VIEWS) await applyToView(views, view, [...events, ...events.flatMap(paidAndRefunded)], OPTIONS);
  }
}

/** What may come after a generated order was made. */
function paidAndRefunded(event: StoredEvent): StoredEvent[] {
  if (event.type !== 'OrderCreated') return [];
  return (['OrderPaid', 'OrderRefunded'] as const).map((type, index) => {
    const [id, aggregateVersion] = [randomUUID(), index + 4];
    const status = type === 'OrderPaid' ? 'PAID' : 'PARTIALLY_REFUNDED';
    const data = { ...(event.envelope['data'] as object), status, refundedTotalMinor: index };
    const dataschema = `urn:commerce-saga:event:${type}:v1`;
    return {
      ...event,
      id,
      type,
      aggregateVersion,
      envelope: { ...event.envelope, id, type, aggregateVersion, dataschema, data },
    };
  });
}

async function readAll(databases: Pick<Databases, 'views' | 'platform'>): Promise<void> {
  const { views } = databases;
  const userId = generatedId(50_000);
  const first = { userId: null, status: undefined, after: undefined, limit: 20 };
  for (const of of [null, userId]) {
    for (const status of [undefined, 'PARTIALLY_REFUNDED', 'FAILED']) {
      const { last } = await readOrders(views, { ...first, userId: of, status });
      if (last !== null) await readOrders(views, { ...first, userId: of, status, after: last });
    }
  }
  for (const search of [undefined, 'abcd', 'Thing', 'a', 'th', '%', 'no such thing at all', '주전자', '주전']) {
    for (const category of [undefined, 'category-7', 'parent-7', 'none']) {
      for (const after of [undefined, generatedId(50_000)])
        await readProducts(views, { search, category, after, limit: 20 });
    }
  }
  await readProduct(views, generatedId(50_001));
  const applied = await views.projectionInbox.findMany({ where: { view: 'orders' }, take: 20 });
  await readApplied(
    views,
    applied.map(({ eventId }) => eventId),
  );
  await readUser(databases, userId);
  await readCustomerNames(databases, [userId, generatedId(60_000)]);
  const days = { from: '2026-01-01', to: '2026-12-31' };
  await readDailySales(views, { ...days, currency: undefined });
  await readDailySales(views, { ...days, currency: 'KRW' });
  const { items } = await readOrders(views, first);
  const [order] = items;
  if (order === undefined) throw new Error('there is no order to ask for');
  for (const of of [null, order.userId]) {
    const write = { orderId: order.orderId, version: 1, userId: of };
    for (const isApplied of [inOrders(views, write), inUsers(views, write), inSales(views, write)]) await isApplied();
    await inSales(views, { ...write, version: 1_000 })();
  }
}

/** Daily sums, and rebuilds: interrupted, compared alone, refused, and put in place. */
async function upkeep(databases: TestDatabases, views: Databases['views']): Promise<void> {
  const { urls } = databases;
  const today = await shopToday(views, OPTIONS.timeZone);
  await compareDay(views, today);
  const aDay = `date '${today}' - 300`;
  await query(databases.adminUrl('views'), `update mv_daily_sales set items = items + 1 where date = ${aDay}`);
  await query(databases.adminUrl('views'), `insert into mv_daily_sales (date, currency) values (${aDay}, 'EUR')`);
  const [day] = await query<{ day: string }>(databases.adminUrl('views'), `select (${aDay})::text as day`);
  await repairDay(views, day?.day ?? today);

  const outboxes = {
    platform: openPlatform(urls.platform, { poolSize: 1 }),
    order: openOrder(urls.order, { poolSize: 1 }),
    payment: openPayment(urls.payment, { poolSize: 1 }),
  };
  const bus = openBus(urls.bus, { poolSize: 1 });
  const places: HistoryPlaces = { bus, outboxes };
  const sales = viewNamed('sales');
  const rebuild = (from: HistorySource, more: Readonly<{ dryRun?: boolean; restart?: boolean }> = {}) =>
    rebuildView(sales, {
      ...{ views, places, options: OPTIONS, holder: randomUUID(), from, ...more },
      ...{ signal: new AbortController().signal, onStep: () => undefined },
    });
  try {
    const me = { view: sales.name, holder: randomUUID() };
    await register(views, me, 'log', false);
    await register(views, { ...me, holder: 'somebody else' }, 'log', false);
    await readRebuilds(views);
    await release(views, me);
    await rebuild('outboxes', { restart: true, dryRun: true });
    await rebuild('log');
    // What the log never had is no event of the view any more: now the rebuilt one lacks nothing.
    await query(databases.adminUrl('views'), 'truncate projection_inbox_sales');
    await rebuild('log');
  } finally {
    for (const db of [bus, ...Object.values(outboxes)]) await db.$disconnect();
  }
}
