import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { redrivableLetters, redriveLetter } from '../../events/bus/redrive.ts';
import { openBus } from '../../infra/databases.ts';
import { viewNamed, VIEWS } from '../../projections/all.ts';
import { groupOf, type View, VIEW_NAMES } from '../../projections/view.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { gate } from '../support/gate.ts';
import { caughtUpAt, projectionOf, type RunningProjection, untilCaughtUp } from '../support/projection.ts';
import { emptyViews, rowsOf } from '../support/views.ts';
import { orderEvents, orderIdOf, type OrderStory, stockLevels, userEvents } from '../support/views-history.ts';

const AT = '2026-11-20T03:00:00.000Z';
const PAID: OrderStory = {
  ...{ name: '1', userId: '7', currency: 'KRW', placedAt: AT },
  lines: [{ productId: '10', quantity: 2, unitPriceMinor: 5_000 }],
  end: { kind: 'PAID', at: AT, refunds: [] },
};
const STOCK_LEVELS = Array.from({ length: 40 }, (_, index) => 100 - index);

describe('the projection', () => {
  let databases: TestDatabases;
  let bus: EventBus;
  const running: RunningProjection[] = [];

  before(async () => {
    databases = await freshDatabases();
  });
  after(() => databases.drop());
  beforeEach(async () => {
    await emptyViews(databases.adminUrl('views'));
    await query(databases.adminUrl('views'), 'update projection_progress set caught_up_at = null');
    await query(databases.adminUrl('bus'), 'truncate event_log, group_offsets, dead_letters');
    bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((one) => one.close()));
    await bus.close();
  });

  const start = (views: readonly View[], wrap?: (real: EventBus) => Pick<EventBus, 'subscribe' | 'lag'>) => {
    const one = projectionOf(databases, views, wrap);
    running.push(one);
    return one;
  };
  const rows = async (table: string) => (await rowsOf(databases.adminUrl('views'), [table]))[table] ?? [];
  const column = async (table: string, name: string) => (await rows(table)).map((row) => row[name]);
  /** A view that does more than its own work. */
  const preceded = (view: View, before: () => Promise<void>): View => ({
    ...view,
    async apply(tx, events, settings) {
      await before();
      await view.apply(tx, events, settings);
    },
  });

  it('brings every view up to date with what is on the bus, each by a group of its own', async () => {
    await bus.publish([
      ...userEvents('7', ['Kim'], AT),
      ...stockLevels('10', 'MAIN', [5, 3], AT),
      ...orderEvents(PAID),
    ]);
    const { applied } = start(VIEWS);
    await untilCaughtUp(databases, ...VIEW_NAMES);

    assert.deepEqual(await column('mv_users', 'full_name'), ['Kim']);
    assert.deepEqual(await column('mv_user_totals', 'total_spent'), [10_000]);
    assert.deepEqual(await column('mv_products', 'available_stock'), [3]);
    assert.deepEqual(await column('mv_orders', 'order_id'), [orderIdOf(PAID)]);
    assert.deepEqual(await column('mv_payments', 'status'), ['CAPTURED']);
    assert.deepEqual(await column('mv_daily_sales', 'gross'), [10_000]);
    assert.equal(applied.payments, 2);
    const groups = await query<{ name: string }>(
      databases.adminUrl('bus'),
      'select group_name as name from group_offsets order by 1',
    );
    assert.deepEqual(
      groups.map(({ name }) => name),
      VIEW_NAMES.map(groupOf).sort(),
    );
  });

  it('does not call a view up to date while it has not applied everything, and does so soon after', async () => {
    const held = gate();
    start([preceded(viewNamed('payments'), () => held.passed), viewNamed('orders')]);
    await untilCaughtUp(databases, 'payments');
    await bus.publish(orderEvents(PAID));
    await untilCaughtUp(databases, 'orders');
    const before = await caughtUpAt(databases, 'payments');
    await sleep(1_000);
    assert.equal(await caughtUpAt(databases, 'payments'), before);
    held.open();
    await untilCaughtUp(databases, 'payments', 'orders');
  });

  it('goes on with the other views when one fails, sets aside what it cannot take, and takes it when it is tried again', async () => {
    let broken = true;
    const sales = preceded(viewNamed('sales'), () => (broken ? Promise.reject(new Error('a bug')) : Promise.resolve()));
    const { failures } = start([sales, viewNamed('orders')]);
    await bus.publish(orderEvents(PAID));
    await untilCaughtUp(databases, 'orders');
    assert.deepEqual(await column('mv_orders', 'status'), ['PAID']);

    await untilCaughtUp(databases, 'sales');
    assert.ok((failures.sales ?? 0) > 1);
    assert.equal(failures.orders, undefined);
    assert.deepEqual(await rows('mv_order_sales'), []);
    const db = openBus(databases.urls.bus, { poolSize: 1 });
    try {
      broken = false;
      const [letter, ...others] = await redrivableLetters({ bus: db }, groupOf('sales'));
      assert.deepEqual(others, []);
      assert.equal((await redriveLetter({ bus: db }, letter ?? '')).result, 'REDRIVEN');
    } finally {
      await db.$disconnect();
    }
    await eventually('the order is counted', async () =>
      (await column('mv_daily_sales', 'gross')).length > 0 ? true : undefined,
    );
    assert.deepEqual(await column('mv_daily_sales', 'gross'), [10_000]);
  });

  it('waits for the batch in hand when it is stopped, and begins after it the next time', async () => {
    const [begun, held] = [gate(), gate()];
    const slow = preceded(viewNamed('products'), () => {
      begun.open();
      return held.passed;
    });
    const first = start([slow]);
    await bus.publish(stockLevels('10', 'MAIN', STOCK_LEVELS, AT));
    await begun.passed;
    let stopped = false;
    const stopping = first.projection.stop().then(() => (stopped = true));
    await sleep(200);
    assert.equal(stopped, false);
    assert.ok(first.projection.silentMs() >= 200, 'a batch that takes long counts as silence');
    held.open();
    await stopping;
    assert.equal(first.applied.products, STOCK_LEVELS.length);

    const second = start([viewNamed('products')]);
    await bus.publish(stockLevels('11', 'MAIN', [1], AT));
    await untilCaughtUp(databases, 'products');
    assert.equal(second.applied.products, 1, 'nothing came twice');
  });

  it('applies each event once when several share the work, also when one loses its turn with a batch in hand', async () => {
    const [begun, stalled] = [gate(), gate()];
    const stalling = preceded(viewNamed('products'), () => {
      begun.open();
      return stalled.passed;
    });
    const projections = [start([stalling]), start([stalling])];
    const places = Array.from({ length: 20 }, (_, index) => `P${index}`);
    for (const place of places) await bus.publish(stockLevels('10', place, STOCK_LEVELS, AT));
    await begun.passed;
    const holder = async () => {
      const [row] = await query<{ holder: string | null }>(
        databases.adminUrl('bus'),
        'select holder from group_offsets',
      );
      return row?.holder ?? undefined;
    };
    const before = await holder();
    await query(databases.adminUrl('bus'), `update group_offsets set holder = null, until = null`);
    await eventually('the other one has the turn', async () => {
      const now = await holder();
      return now !== undefined && now !== before ? true : undefined;
    });
    await sleep(500); // so that it has the same events in hand
    stalled.open();
    await untilCaughtUp(databases, 'products');

    const sum = projections.reduce((total, { applied }) => total + (applied.products ?? 0), 0);
    assert.equal(sum, places.length * STOCK_LEVELS.length);
    assert.deepEqual(await column('mv_products', 'available_stock'), [places.length * 61]);
  });

  it('subscribes again when the bus was away, and when a subscription ends by itself', async () => {
    let attempts = 0;
    const { failures } = start([viewNamed('products')], (real) => ({
      lag: (group) => real.lag(group),
      async subscribe(...args) {
        attempts += 1;
        if (attempts === 1) throw new Error('the bus is away');
        const subscription = await real.subscribe(...args);
        if (attempts > 2) return subscription;
        const ended = subscription.stop().then(() => Promise.reject(new Error('the next events are lost')));
        return { ...subscription, ended };
      },
    }));
    await bus.publish(stockLevels('10', 'MAIN', [4], AT));
    await untilCaughtUp(databases, 'products');
    assert.deepEqual([attempts, failures.products], [3, 2]);
    assert.deepEqual(await column('mv_products', 'available_stock'), [4]);
  });

  it('calls no view up to date by the log any more when events go by Kafka', async () => {
    start([viewNamed('products')]);
    await untilCaughtUp(databases, 'products');
    await query(databases.adminUrl('bus'), `update bus_carrier set carrier = 'kafka'`);
    try {
      await sleep(300);
      const before = await caughtUpAt(databases, 'products');
      await sleep(1_000);
      assert.equal(await caughtUpAt(databases, 'products'), before);
    } finally {
      await query(databases.adminUrl('bus'), `update bus_carrier set carrier = 'embedded'`);
    }
  });
});
