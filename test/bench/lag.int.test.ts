import assert from 'node:assert/strict';

import { pino } from 'pino';

import { benchDrain, wrongAfterDrain } from '../../bench/drain.ts';
import { lagTimes, serverClock } from '../../bench/lag-times.ts';
import { pastOrders } from '../../bench/past-orders.ts';
import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews } from '../../infra/databases.ts';
import { VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

const STEPS = 80;
const CUSTOMERS = 5;
/** How long events wait on the bus before they are applied. Milliseconds. */
const WAITED_MS = 200;

describe('the measurement of lag', () => {
  let databases: TestDatabases;
  let bus: EventBus;
  let views: Databases['views'];
  beforeEach(async () => {
    databases = await freshDatabases();
    bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
    views = openViews(databases.urls.views, { poolSize: 2 });
  });
  afterEach(async () => {
    await bus.close();
    await views.$disconnect();
    await databases.drop();
  });

  /** @returns the events that are on the bus, and the instants between which they were made */
  async function published(): Promise<{ events: StoredEvent[]; since: string; until: string }> {
    const since = await serverClock(databases);
    const past = pastOrders(new Date().toISOString(), CUSTOMERS);
    const events = Array.from({ length: STEPS }, () => past.next().value).flat();
    await bus.publish(events);
    return { events, since, until: await serverClock(databases) };
  }
  const apply = async (events: readonly StoredEvent[], without?: string): Promise<void> => {
    for (const view of VIEWS) {
      if (view.name !== without) await applyToView(views, view, events, { timeZone: 'Asia/Seoul' });
    }
  };

  it('counts from when an event was made, to when each view shows it', async () => {
    const { events, since, until } = await published();
    await new Promise((resolve) => setTimeout(resolve, WAITED_MS));
    await apply(events);
    const times = await lagTimes(databases, since, until);
    assert.deepEqual([times.events, times.bus.count, times.missing], [events.length, events.length, 0]);
    for (const { name, takes } of VIEWS) {
      const spread = times.views[name];
      assert.equal(spread.count, events.filter(({ type }) => takes.some((one) => one === type)).length, name);
      assert.ok(spread.p50 >= WAITED_MS, `${name}: ${spread.p50} ms`);
    }
    assert.ok(times.bus.p50 < times.all.p50 && times.all.p50 <= times.all.p99 && times.all.p99 <= times.all.max);
  });

  it('leaves out what was made before or after, and misses what a view has not applied', async () => {
    const { events, since, until } = await published();
    await apply(events, 'payments');
    const payments = events.filter(({ aggregateType }) => aggregateType === 'payment');
    assert.ok(payments.length > 0);
    assert.equal((await lagTimes(databases, since, until)).missing, payments.length);
    assert.deepEqual(await wrongAfterDrain(databases), [`payments has applied 0 of ${payments.length} events`]);
    const later = await lagTimes(databases, until, await serverClock(databases));
    assert.deepEqual([later.events, later.all.count], [0, 0]);
  });

  it('finds sums that are not those of their contributions', async () => {
    const { events } = await published();
    await apply(events);
    assert.deepEqual(await wrongAfterDrain(databases), []);
    for (const change of [
      'update mv_daily_sales set gross = gross + 1',
      'update mv_user_totals set total_spent = total_spent + 1 where user_id = (select min(user_id) from mv_user_totals)',
      'update mv_products set purchase_count = 0 where product_id in (select product_id from mv_product_purchases limit 1)',
    ]) {
      await query(databases.adminUrl('views'), change);
    }
    const wrong = ['mv_daily_sales', 'mv_user_totals', 'mv_products'].map((table) => `1 rows of ${table} are wrong`);
    assert.deepEqual(await wrongAfterDrain(databases), wrong);
  });

  it('drains a log that was filled before, and says when each view was at its end', async () => {
    const told: [what: string, done: number, total: number][] = [];
    const show = (what: string) => (done: number, total: number) => void told.push([what, done, total]);
    const result = await benchDrain({ events: 500, signal: new AbortController().signal, show });
    assert.ok(result.events >= 500 && result.orders > 10, JSON.stringify(result));
    assert.deepEqual(result.wrong, []);
    assert.ok(Object.values(result.viewSeconds).every((seconds) => seconds > 0 && seconds <= result.seconds));
    assert.deepEqual(told.at(-1), ['events applied', result.events, result.events]);
  });

  it('stops what it has started when it is interrupted', async () => {
    const interrupted = new AbortController();
    const show = (what: string) => () => void (what === 'events applied' && interrupted.abort());
    await assert.rejects(benchDrain({ events: 2_000, signal: interrupted.signal, show }), { name: 'AbortError' });
  });
});
