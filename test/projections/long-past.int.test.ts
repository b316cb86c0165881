import assert from 'node:assert/strict';

import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews, TRANSACTION } from '../../infra/databases.ts';
import { viewNamed } from '../../projections/all.ts';
import { eventsFor } from '../../projections/apply.ts';
import type { ViewName } from '../../projections/view.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { rowsOf } from '../support/views.ts';
import { orderEvents, type OrderStory } from '../support/views-history.ts';

const AT = '2026-11-20T03:00:00.000Z';
const SETTINGS = { timeZone: 'Asia/Seoul' };
/** Orders of one customer, one product and one day that were there before. */
const PAST = 20_000;
/** Rows that one order of one line may read of a table. */
const FEW = 20;

const story = (name: string): OrderStory => ({
  name,
  userId: '7',
  currency: 'KRW',
  lines: [{ productId: '10', quantity: 2, unitPriceMinor: 5_000 }],
  placedAt: AT,
  end: { kind: 'PAID', at: AT, refunds: [{ at: AT, minor: 1_000 }] },
});
const of = (name: string, ...types: readonly string[]) =>
  orderEvents(story(name)).filter(({ type }) => types.includes(type));

describe('a batch of a view with a long past', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let views: Databases['views'];
  before(async () => {
    databases = await freshDatabases();
    views = openViews(databases.urls.views, { poolSize: 1 });
    const asOwner = (sql: string) => query(databases.adminUrl('views'), sql);
    await asOwner(`
      insert into mv_user_orders (order_id, user_id, currency, order_date, orders, spent, order_version)
      select gen_random_uuid(), 7, 'KRW', '${AT}', 1, 10000, 2 from generate_series(1, ${PAST})`);
    await asOwner(`
      insert into mv_user_totals (user_id, currency, total_orders, total_spent)
      values (7, 'KRW', ${PAST}, ${PAST} * 10000)`);
    await asOwner(`insert into mv_products (product_id, purchase_count) values (10, ${PAST} * 2)`);
    await asOwner(`
      insert into mv_product_purchases (product_id, order_id, units)
      select 10, gen_random_uuid(), 2 from generate_series(1, ${PAST})`);
    await asOwner(`
      insert into mv_order_sales (order_id, day, currency, user_id, orders, items, gross, paid_version)
      select gen_random_uuid(), '2026-11-20', 'KRW', n, 1, 2, 10000, 2 from generate_series(1, ${PAST}) as s (n)`);
    await asOwner(`
      insert into mv_daily_sales (date, currency, total_orders, completed_orders, unique_customers, items, gross)
      values ('2026-11-20', 'KRW', ${PAST}, ${PAST}, ${PAST}, ${PAST} * 2, ${PAST} * 10000)`);
  });
  after(async () => {
    await views.$disconnect();
    await databases.drop();
  });

  /** Applies events, and counts the rows that the transaction read of each table. */
  async function readBy(name: ViewName, events: readonly StoredEvent[]): Promise<Record<string, number>> {
    const view = viewNamed(name);
    const wanted = eventsFor(view, events);
    return views.$transaction(async (tx) => {
      await view.apply(tx, wanted, SETTINGS);
      const rows = await tx.$queryRaw<{ table: string; read: number }[]>`
        select relname::text as table, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int as read
        from pg_stat_xact_user_tables where relname like 'mv\\_%'`;
      return Object.fromEntries(rows.map(({ table, read }) => [table, read]));
    }, TRANSACTION);
  }

  const CASES: readonly Readonly<{ view: ViewName; past: string; sums: string; columns: Record<string, number> }>[] = [
    {
      view: 'users',
      past: 'mv_user_orders',
      sums: 'mv_user_totals',
      columns: { total_orders: PAST + 1, total_spent: PAST * 10_000 + 9_000 },
    },
    {
      view: 'products',
      past: 'mv_product_purchases',
      sums: 'mv_products',
      columns: { purchase_count: PAST * 2 + 2 },
    },
    {
      view: 'sales',
      past: 'mv_order_sales',
      sums: 'mv_daily_sales',
      columns: {
        ...{ total_orders: PAST + 1, completed_orders: PAST + 1, unique_customers: PAST, items: PAST * 2 + 2 },
        ...{ gross: PAST * 10_000 + 10_000, refunds: 1_000 },
      },
    },
  ];
  for (const { view, past, sums, columns } of CASES) {
    it(`reads little of it and adds to the sums what it changes, once, also where no inbox remembers it (${view})`, async () => {
      for (const type of ['OrderPaid', 'OrderRefunded', 'OrderPaid', 'OrderRefunded']) {
        const read = await readBy(view, of('1', type));
        assert.ok((read[past] ?? 0) <= FEW, `${read[past]} rows of ${past} were read for ${type}`);
      }
      const [row] = (await rowsOf(databases.urls.views, [sums]))[sums] ?? [];
      assert.deepEqual(Object.fromEntries(Object.keys(columns).map((name) => [name, row?.[name]])), columns);
    });
  }
});
