import assert from 'node:assert/strict';

import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews, type SqlTransaction, TRANSACTION } from '../../infra/databases.ts';
import { viewNamed } from '../../projections/all.ts';
import { applyToView, eventsFor } from '../../projections/apply.ts';
import type { ViewName } from '../../projections/view.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { emptyViews, rowsOf } from '../support/views.ts';
import { orderEvents, type OrderStory, stockLevels } from '../support/views-history.ts';

const AT = '2026-11-20T03:00:00.000Z';
const NEXT_DAY = '2026-11-21T03:00:00.000Z';
const DAY_AFTER = '2026-11-22T03:00:00.000Z';
const SETTINGS = { timeZone: 'Asia/Seoul' };

const order = (name: string): OrderStory => ({
  name,
  userId: '7',
  currency: 'KRW',
  lines: [{ productId: '10', quantity: 2, unitPriceMinor: 5_000 }],
  placedAt: AT,
  end: { kind: 'PAID', at: AT, refunds: [NEXT_DAY, DAY_AFTER].map((at) => ({ at, minor: 1_000 })) },
});
const of = (name: string, ...types: readonly string[]) =>
  orderEvents(order(name)).filter(({ type }) => types.includes(type));
const [refunded, refundedAgain] = of('1', 'OrderRefunded');
const [inMain] = stockLevels('10', 'MAIN', [50], AT);
const [inBusan] = stockLevels('10', 'BUSAN', [3], AT);
const [inJeju] = stockLevels('10', 'JEJU', [1], AT);
assert.ok(refunded && refundedAgain);

type Case = Readonly<{
  view: ViewName;
  what: string;
  /** Applied before, so that the row that both want is there and nobody waits because both would make it. */
  before: readonly StoredEvent[];
  first: readonly StoredEvent[];
  second: readonly StoredEvent[];
  /** A table, its columns, and the rows in which both batches must be seen. */
  table: string;
  columns: readonly string[];
  rows: readonly (readonly unknown[])[];
}>;

const CASES: readonly Case[] = [
  {
    view: 'users',
    what: 'two orders of one customer',
    before: of('1', 'OrderPaid'),
    first: of('2', 'OrderPaid'),
    second: of('3', 'OrderPaid'),
    table: 'mv_user_totals',
    columns: ['user_id', 'total_orders', 'total_spent'],
    rows: [[7, 3, 30_000]],
  },
  {
    view: 'products',
    what: 'stock of one product in two places, and two orders of it',
    before: [inJeju, ...of('1', 'OrderPaid')],
    first: [inMain, ...of('2', 'OrderPaid')],
    second: [inBusan, ...of('3', 'OrderPaid')],
    table: 'mv_products',
    columns: ['product_id', 'available_stock', 'purchase_count'],
    rows: [[10, 54, 6]],
  },
  {
    view: 'orders',
    what: 'two versions of one order, the older one last',
    before: of('1', 'OrderCreated'),
    first: [refundedAgain],
    second: [refunded, ...of('1', 'OrderPaid', 'PaymentCompleted')],
    table: 'mv_orders',
    columns: ['order_version', 'refunded_amount', 'paid_at', 'payment_status'],
    rows: [[4, 2_000, '2026-11-20T03:00:00+00:00', 'CAPTURED']],
  },
  {
    view: 'payments',
    what: 'two versions of one payment, the older one last',
    before: of('1', 'PaymentPending'),
    first: of('1', 'PaymentRefunded'),
    second: of('1', 'PaymentCompleted'),
    table: 'mv_payments',
    columns: ['payment_version', 'status', 'captured_at'],
    rows: [[4, 'PARTIALLY_REFUNDED', '2026-11-20T03:00:00+00:00']],
  },
  {
    view: 'sales',
    what: 'refunds of one order on two days',
    before: of('1', 'OrderPaid'),
    first: [refunded],
    second: [refundedAgain],
    table: 'mv_daily_sales',
    columns: ['date', 'gross', 'refunds'],
    rows: [
      ['2026-11-20', 10_000, 0],
      ['2026-11-21', 0, 1_000],
      ['2026-11-22', 0, 1_000],
    ],
  },
];

describe('of two batches at once that touch the same rows', () => {
  let databases: TestDatabases;
  let views: Databases['views'];
  before(async () => {
    databases = await freshDatabases();
    views = openViews(databases.urls.views, { poolSize: 3 });
  });
  after(async () => {
    await views.$disconnect();
    await databases.drop();
  });
  beforeEach(() => emptyViews(databases.adminUrl('views')));

  /** Stops the first batch where it has locked its rows, or written them, until the second stands still behind it. */
  async function atOnce(name: ViewName, first: readonly StoredEvent[], second: readonly StoredEvent[]): Promise<void> {
    const view = viewNamed(name);
    const events = eventsFor(view, first);
    let behind: Promise<unknown> | undefined;
    const letTheSecondCome = async () => {
      if (behind !== undefined) return;
      behind = applyToView(views, view, second, SETTINGS);
      await oneWaits(databases.adminUrl('views'));
    };
    try {
      await views.$transaction(async (tx) => {
        await view.apply(stoppingAfterLocks(tx, letTheSecondCome), events, SETTINGS);
        await letTheSecondCome();
      }, TRANSACTION);
    } finally {
      await behind;
    }
  }

  for (const { view, what, before: earlier, first, second, table, columns, rows } of CASES) {
    it(`the second waits for the first and goes on from what it wrote: ${what} (${view})`, async () => {
      await applyToView(views, viewNamed(view), earlier, SETTINGS);
      await atOnce(view, first, second);
      const found = (await rowsOf(databases.urls.views, [table]))[table] ?? [];
      const shown = found.map((row) => columns.map((column) => row[column]));
      assert.deepEqual(
        shown.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
        rows,
      );
    });
  }
});

/** A view asks for rows only to lock them, or when it has locked what it writes. */
const stoppingAfterLocks = (tx: SqlTransaction, stop: () => Promise<void>): SqlTransaction => ({
  $executeRaw: (...statement) => tx.$executeRaw(...statement),
  $queryRaw: (async (...statement: Parameters<SqlTransaction['$queryRaw']>) => {
    const rows = await tx.$queryRaw(...statement);
    await stop();
    return rows;
  }) as SqlTransaction['$queryRaw'],
});

/** Below the lock time limit of a service, so that a test fails here with a reason. Milliseconds. */
const LIMIT_MS = 3_000;

async function oneWaits(adminUrl: string): Promise<void> {
  const waiting = `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  const enough = async () => ((await query(adminUrl, waiting)).length > 0 ? true : undefined);
  await eventually('the second batch waits', enough, LIMIT_MS);
}
