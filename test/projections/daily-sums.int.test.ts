import assert from 'node:assert/strict';

import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews, TRANSACTION } from '../../infra/databases.ts';
import { viewNamed } from '../../projections/all.ts';
import { applyToView, eventsFor } from '../../projections/apply.ts';
import { compareDay, repairDay, shopToday } from '../../projections/daily-sums.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { Gate } from '../support/fake-services.ts';
import { holdLock } from '../support/locks.ts';
import { emptyViews, rowsOf } from '../support/views.ts';
import { orderEvents, type OrderStory } from '../support/views-history.ts';

const SETTINGS = { timeZone: 'Asia/Seoul' };
const [FIRST, SECOND, EMPTY] = ['2026-11-20', '2026-11-21', '2026-11-22'];
const noonOf = (day: string): string => `${day}T03:00:00.000Z`;

const paidOn = (name: string, day: string, currency = 'KRW'): StoredEvent[] => {
  const at = noonOf(day);
  const story: OrderStory = {
    ...{ name, userId: String(1 + (name.length % 3)), currency, placedAt: noonOf('2026-11-19') },
    lines: [{ productId: '10', quantity: 2, unitPriceMinor: 5_000 }],
    end: { kind: 'PAID', at, refunds: [{ at, minor: 1_000 }] },
  };
  return orderEvents(story);
};

describe('the sums of days', () => {
  let databases: TestDatabases;
  let views: Databases['views'];
  before(async () => {
    databases = await freshDatabases();
    views = openViews(databases.urls.views, { poolSize: 6 });
  });
  after(async () => {
    await views.$disconnect();
    await databases.drop();
  });
  beforeEach(() => emptyViews(databases.adminUrl('views')));

  const sales = viewNamed('sales');
  const apply = (batch: readonly StoredEvent[]) => applyToView(views, sales, batch, SETTINGS);
  const asOwner = (sql: string) => query(databases.adminUrl('views'), sql);
  const daily = async () => (await rowsOf(databases.urls.views, ['mv_daily_sales']))['mv_daily_sales'] ?? [];
  const compareAll = async () =>
    (await Promise.all([FIRST, SECOND, EMPTY].map((day) => compareDay(views, day)))).flat();

  /** A batch of the projection that has written all it writes, and waits before its commit. */
  async function heldBatch(batch: readonly StoredEvent[]) {
    const gate = new Gate();
    const events = eventsFor(sales, batch);
    const ended = views.$transaction(async (tx) => {
      await sales.apply(tx, events, SETTINGS);
      await gate.before(() => undefined)();
    }, TRANSACTION);
    await gate.reached;
    return {
      commit: () => {
        gate.open();
        return ended;
      },
    };
  }

  it('are told apart from what the orders come to, column by column, and are what the projection writes', async () => {
    await apply([...paidOn('1', FIRST), ...paidOn('22', FIRST), ...paidOn('3', SECOND), ...paidOn('4', SECOND, 'USD')]);
    assert.deepEqual(await compareAll(), []);
    const right = await daily();

    await asOwner(`update mv_daily_sales set gross = 1, unique_customers = 9 where date = '${FIRST}'`);
    await asOwner(`delete from mv_daily_sales where date = '${SECOND}' and currency = 'USD'`);
    await asOwner(`insert into mv_daily_sales (date, currency, items) values ('${EMPTY}', 'KRW', 7)`);
    const wrong = [
      { day: FIRST, currency: 'KRW', column: 'unique_customers', was: '9', is: '2' },
      { day: FIRST, currency: 'KRW', column: 'gross', was: '1', is: '20000' },
      ...[
        ['total_orders', '1'],
        ['completed_orders', '1'],
        ['unique_customers', '1'],
        ['items', '2'],
        ['gross', '10000'],
        ['refunds', '1000'],
      ].map(([column, is]) => ({ day: SECOND, currency: 'USD', column, was: null, is })),
      ...['total_orders', 'completed_orders', 'unique_customers', 'items', 'gross', 'refunds'].map((column) => ({
        ...{ day: EMPTY, currency: 'KRW', column },
        ...{ was: column === 'items' ? '7' : '0', is: null },
      })),
    ];
    assert.deepEqual(await compareAll(), wrong);

    const repaired = [];
    for (const day of [FIRST, SECOND, EMPTY]) repaired.push(...(await repairDay(views, day)));
    assert.deepEqual(repaired, wrong);
    assert.deepEqual(await daily(), right);
    assert.deepEqual(await repairDay(views, FIRST), []);
  });

  it('are repaired whatever number somebody put there, also below nothing and beyond all that is exact', async () => {
    await apply(paidOn('1', FIRST));
    const right = await daily();
    await asOwner(`update mv_daily_sales set gross = 9223372036854775807, refunds = 0, items = -5`);
    assert.deepEqual(
      (await repairDay(views, FIRST)).map(({ column, was, is }) => [column, was, is]),
      [
        ['items', '-5', '2'],
        ['gross', '9223372036854775807', '10000'],
        ['refunds', '0', '1000'],
      ],
    );
    assert.deepEqual(await daily(), right);
  });

  it('are right to whoever compares them while a batch is being written, and do not wait for it', async () => {
    await apply(paidOn('1', FIRST));
    const batch = await heldBatch([...paidOn('2', FIRST), ...paidOn('3', SECOND)]);
    assert.deepEqual(await compareAll(), []);
    await batch.commit();
    assert.deepEqual(await compareAll(), []);
  });

  it('are repaired after the batch that is being written, and lose nothing of it', async () => {
    await apply(paidOn('1', FIRST));
    await asOwner(`update mv_daily_sales set gross = 1`);
    await asOwner(`insert into mv_daily_sales (date, currency, items) values ('${SECOND}', 'KRW', 7)`);
    const batch = await heldBatch([...paidOn('2', FIRST), ...paidOn('3', SECOND)]);
    const repairs = [FIRST, SECOND].map((day) => repairDay(views, day));
    const lock = await holdLock(databases.adminUrl('views'), 'select 1', []);
    await lock.untilWaiting(2);
    await lock.release();
    await batch.commit();
    const [first, second] = await Promise.all(repairs);
    assert.deepEqual(
      first?.map(({ column, was, is }) => [column, was, is]),
      [['gross', '10001', '20000']],
    );
    assert.deepEqual(
      second?.map(({ column, was, is }) => [column, was, is]),
      [['items', '9', '2']],
    );
    assert.deepEqual(await compareAll(), []);
  });

  it('come out as if nobody had touched them while batches come, sums are damaged and days repaired all at once', async () => {
    const days = [FIRST, SECOND, EMPTY];
    const events = Array.from({ length: 90 }, (_, index) => paidOn(`order ${index}`, days[index % 3] ?? FIRST));
    const batches = Array.from({ length: 30 }, (_, index) => events.slice(3 * index, 3 * index + 3).flat());
    let applied = 0;
    const project = async (mine: readonly StoredEvent[][]) => {
      for (const batch of mine) {
        const fresh = await apply(batch);
        applied += fresh;
      }
    };
    const projecting = Promise.all([project(batches.slice(0, 15)), project(batches.slice(15))]);
    let isOver = false;
    const over = projecting.finally(() => (isOver = true));
    const spoil = async (day: string) => {
      for (let round = 0; !isOver; round += 1) {
        await asOwner(
          round % 2 === 0
            ? `update mv_daily_sales set gross = gross + 7, total_orders = 0 where date = '${day}'`
            : `delete from mv_daily_sales where date = '${day}'`,
        );
        await repairDay(views, day);
      }
    };
    await Promise.all([over, ...days.map(spoil)]);
    assert.equal(applied, 180); // each order was paid and refunded once
    assert.deepEqual(await compareAll(), []);
    const repaired = await daily();
    await emptyViews(databases.adminUrl('views'));
    await apply(events.flat());
    assert.deepEqual(repaired, await daily());
  });

  it('of a view that is being rebuilt are repaired alone: its twin stays as the rebuild makes it', async () => {
    await apply(paidOn('1', FIRST));
    const right = await daily();
    await asOwner(`select open_shadow('sales')`);
    try {
      await asOwner(`insert into shadow.mv_daily_sales (date, currency, items) values ('${FIRST}', 'KRW', 3)`);
      await asOwner(`update mv_daily_sales set items = 9`);
      assert.equal((await repairDay(views, FIRST)).length, 1);
      assert.deepEqual(await daily(), right);
      const [twin] = await query(databases.adminUrl('views'), 'select items from shadow.mv_daily_sales');
      assert.deepEqual(twin, { items: '3' });
    } finally {
      await asOwner(`select drop_shadow('sales')`);
    }
  });

  it('are not touched while a rebuilt view is put in place, and those of the new one are repaired then', async () => {
    await apply(paidOn('1', FIRST));
    const right = await daily();
    const key = `select pg_advisory_xact_lock(hashtextextended('projection of sales', 0))`;
    const swap = await holdLock(databases.adminUrl('views'), key, []);
    const repairing = repairDay(views, FIRST);
    await swap.untilWaiting(1);
    await asOwner(`update mv_daily_sales set items = 9`);
    await swap.release();
    assert.deepEqual(
      (await repairing).map(({ column, was }) => [column, was]),
      [['items', '9']],
    );
    assert.deepEqual(await daily(), right);
  });

  it('end and begin at midnight of the shop: today is its day, and not that of Greenwich', async () => {
    const [row] = await query<{ east: string; west: string }>(
      databases.adminUrl('views'),
      `select (now() at time zone 'Pacific/Kiritimati')::date::text as east,
        (now() at time zone 'Pacific/Pago_Pago')::date::text as west`,
    );
    assert.notEqual(row?.east, row?.west);
    const today = await Promise.all(['Pacific/Kiritimati', 'Pacific/Pago_Pago'].map((zone) => shopToday(views, zone)));
    assert.deepEqual(today, [row?.east, row?.west]);
  });
});
