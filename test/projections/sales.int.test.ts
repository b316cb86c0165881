import assert from 'node:assert/strict';

import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews } from '../../infra/databases.ts';
import { viewNamed } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { recomputeDays } from '../../projections/sales.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { emptyViews, rowsOf } from '../support/views.ts';
import { orderEvents, type OrderStory } from '../support/views-history.ts';

/** Midnight in Seoul is 15:00 UTC. */
const BEFORE_MIDNIGHT = '2026-11-20T14:59:59.999999Z';
const MIDNIGHT = '2026-11-20T15:00:00.000000Z';
const NEXT_DAY = '2026-11-21T18:00:00.000000Z';

type Refund = Readonly<{ at: string; minor: number }>;
const order = (
  name: string,
  at: string,
  refunds: readonly Refund[] = [],
  more: Partial<OrderStory> = {},
): OrderStory => ({
  name,
  userId: '7',
  currency: 'KRW',
  lines: [{ productId: '10', quantity: 2, unitPriceMinor: 5_000 }],
  placedAt: '2026-11-19T03:00:00.000Z',
  end: { kind: 'PAID', at, refunds },
  ...more,
});
const eventsOf = (...stories: readonly OrderStory[]) => stories.flatMap((story) => orderEvents(story));

describe('the view of sales', () => {
  let databases: TestDatabases;
  let views: Databases['views'];
  before(async () => {
    databases = await freshDatabases();
    views = openViews(databases.urls.views, { poolSize: 2 });
  });
  after(async () => {
    await views.$disconnect();
    await databases.drop();
  });
  beforeEach(() => emptyViews(databases.adminUrl('views')));

  const apply = (batch: readonly StoredEvent[], timeZone = 'Asia/Seoul') =>
    applyToView(views, viewNamed('sales'), batch, { timeZone });
  const table = async (name: string, ...columns: readonly string[]) =>
    ((await rowsOf(databases.urls.views, [name]))[name] ?? [])
      .map((row) => columns.map((column) => row[column]))
      .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const daily = () => table('mv_daily_sales', 'date', 'currency', 'completed_orders', 'gross', 'refunds', 'net');

  it('counts an order on the day on which it was paid, in the shop’s time zone and to the microsecond', async () => {
    await apply(eventsOf(order('1', BEFORE_MIDNIGHT), order('2', MIDNIGHT)));
    assert.deepEqual(await daily(), [
      ['2026-11-20', 'KRW', 1, 10_000, 0, 10_000],
      ['2026-11-21', 'KRW', 1, 10_000, 0, 10_000],
    ]);
  });

  it('has other days in another time zone', async () => {
    await apply(eventsOf(order('1', BEFORE_MIDNIGHT), order('2', MIDNIGHT)), 'America/New_York');
    assert.deepEqual(await daily(), [['2026-11-20', 'KRW', 2, 20_000, 0, 20_000]]);
  });

  it('has nothing of orders that were not paid', async () => {
    const open: OrderStory = { ...order('1', MIDNIGHT), end: { kind: 'OPEN' } };
    await apply(eventsOf(open, { ...open, name: '2', end: { kind: 'FAILED', at: MIDNIGHT } }));
    assert.deepEqual(await daily(), []);
  });

  it('takes a refund off the day on which it was given back, and leaves the day of the payment as it was', async () => {
    const refunds = [
      { at: MIDNIGHT, minor: 1_000 },
      { at: MIDNIGHT, minor: 2_000 },
      { at: NEXT_DAY, minor: 7_000 },
    ];
    await apply(eventsOf(order('1', BEFORE_MIDNIGHT, refunds)));
    assert.deepEqual(await daily(), [
      ['2026-11-20', 'KRW', 1, 10_000, 0, 10_000],
      ['2026-11-21', 'KRW', 0, 0, 3_000, -3_000],
      ['2026-11-22', 'KRW', 0, 0, 7_000, -7_000],
    ]);
  });

  it('comes to the same when the refunds come before the payment, and the last of them first', async () => {
    const refunds = [
      { at: MIDNIGHT, minor: 1_000 },
      { at: NEXT_DAY, minor: 7_000 },
    ];
    const events = eventsOf(order('1', BEFORE_MIDNIGHT, refunds)).reverse();
    const soFar: unknown[] = [];
    for (const event of events.filter(({ type }) => type === 'OrderPaid' || type === 'OrderRefunded')) {
      await apply([event]);
      soFar.push((await daily()).map(([date, , , gross, refunded]) => [date, gross, refunded]));
    }
    assert.deepEqual(soFar, [
      [['2026-11-22', 0, 8_000]],
      [
        ['2026-11-21', 0, 1_000],
        ['2026-11-22', 0, 7_000],
      ],
      [
        ['2026-11-20', 10_000, 0],
        ['2026-11-21', 0, 1_000],
        ['2026-11-22', 0, 7_000],
      ],
    ]);
  });

  it('never takes off more than was given back when a later refund has the earlier time', async () => {
    const refunds = [
      { at: MIDNIGHT, minor: 1_000 },
      { at: BEFORE_MIDNIGHT, minor: 2_000 },
    ];
    await apply(eventsOf(order('1', BEFORE_MIDNIGHT, refunds)));
    assert.deepEqual(await daily(), [
      ['2026-11-20', 'KRW', 1, 10_000, 3_000, 7_000],
      ['2026-11-21', 'KRW', 0, 0, 0, 0],
    ]);
  });

  it('keeps currencies apart, and adds minor units as they are', async () => {
    const dollars = { currency: 'USD', lines: [{ productId: '10', quantity: 3, unitPriceMinor: 1_999 }] };
    const refund = [{ at: MIDNIGHT, minor: 1 }];
    await apply(eventsOf(order('1', MIDNIGHT), order('2', MIDNIGHT, refund, dollars)));
    assert.deepEqual(await daily(), [
      ['2026-11-21', 'KRW', 1, 10_000, 0, 10_000],
      ['2026-11-21', 'USD', 1, 5_997, 1, 5_996],
    ]);
  });

  it('counts a customer once a day, and only on days on which the customer paid', async () => {
    const refund = [{ at: NEXT_DAY, minor: 1_000 }];
    const stories = [order('1', MIDNIGHT, refund), order('2', MIDNIGHT), order('3', MIDNIGHT, [], { userId: '8' })];
    await apply(eventsOf(...stories));
    const columns = ['date', 'total_orders', 'completed_orders', 'unique_customers', 'items', 'total_revenue'];
    assert.deepEqual(await table('mv_daily_sales', ...columns), [
      ['2026-11-21', 3, 3, 2, 6, 30_000],
      ['2026-11-22', 1, 0, 0, 0, 0],
    ]);
  });

  it('sums days again from their contributions when asked: what was changed by hand, removed or added is right again', async () => {
    await apply(eventsOf(order('1', MIDNIGHT), order('2', NEXT_DAY)));
    const right = await daily();
    const asOwner = (sql: string) => query(databases.adminUrl('views'), sql);
    await asOwner(`update mv_daily_sales set gross = 1, unique_customers = 9 where date = '2026-11-21'`);
    await asOwner(`delete from mv_daily_sales where date = '2026-11-22'`);
    await asOwner(`insert into mv_daily_sales (date, currency, gross) values ('2026-11-23', 'KRW', 5)`);
    const days = ['2026-11-21', '2026-11-22', '2026-11-23'].map((day) => ({ day, currency: 'KRW' }));
    await views.$transaction((tx) => recomputeDays(tx, days));
    assert.deepEqual(await daily(), [...right, ['2026-11-23', 'KRW', 0, 0, 0, 0]]);
  });
});
