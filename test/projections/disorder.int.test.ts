import assert from 'node:assert/strict';

import fc from 'fast-check';

import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openViews } from '../../infra/databases.ts';
import { VIEWS } from '../../projections/all.ts';
import { applyToView } from '../../projections/apply.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { emptyViews, rowsOf, type ViewRow } from '../support/views.ts';
import {
  orderEvents,
  type OrderStory,
  productEvents,
  stockLevels,
  totalOf,
  userEvents,
} from '../support/views-history.ts';
import { boughtOf, soldOn, spentBy } from '../support/views-truth.ts';

const SEED = 20261120;
const RUNS = 12;
const APPLIERS = 2;
const PLACED_AT = '2026-11-19T03:00:00.000Z';

/** Four days, with the instants around midnight in Seoul, which is 15:00 UTC. */
const instant = fc.oneof(
  fc.constantFrom('2026-11-20T14:59:59.999999Z', '2026-11-20T15:00:00.000000Z', '2026-11-21T15:00:00.000000Z'),
  fc.integer({ min: 0, max: 4 * 24 * 60 - 1 }).map((minute) => {
    return new Date(Date.UTC(2026, 10, 20) + minute * 60_000).toISOString();
  }),
);

/** Won have no decimals; their amounts are larger, and nothing is divided. */
const unitPrice = {
  KRW: fc.integer({ min: 1, max: 900 }).map((n) => n * 1_000),
  USD: fc.integer({ min: 1, max: 99_999 }),
};

type Body = Pick<OrderStory, 'userId' | 'currency' | 'lines'>;
const body = fc.constantFrom('KRW', 'USD').chain((currency): fc.Arbitrary<Body> => {
  const productId = fc.constantFrom('1', '2', '3');
  const line = fc.record({ productId, quantity: fc.integer({ min: 1, max: 3 }), unitPriceMinor: unitPrice[currency] });
  const lines = fc.array(line, { minLength: 1, maxLength: 3 });
  return fc.record({ userId: fc.constantFrom('1', '2', '3'), currency: fc.constant(currency), lines });
});

/** Refunds take what is left by parts; the last may take the rest. Now and then one has the time of an earlier day. */
const paid = (total: number) =>
  fc
    .tuple(instant, fc.array(fc.tuple(instant, fc.double({ min: 0.01, max: 1, noNaN: true })), { maxLength: 4 }))
    .map(([at, parts]) => {
      let left = total;
      const refunds = parts.flatMap(([when, share]) => {
        if (left === 0) return [];
        const minor = Math.max(1, Math.floor(left * share));
        left -= minor;
        return [{ at: when, minor }];
      });
      return { kind: 'PAID' as const, at, refunds };
    });

const order = body.chain((content) =>
  fc
    .oneof(
      fc.constant({ kind: 'OPEN' as const }),
      fc.record({ kind: fc.constantFrom('FAILED' as const, 'CANCELLED' as const), at: instant }),
      { weight: 4, arbitrary: paid(totalOf(content)) },
    )
    .map((end) => ({ ...content, end, placedAt: PLACED_AT })),
);
const stories = fc
  .array(order, { minLength: 1, maxLength: 6 })
  .map((all) => all.map((one, index): OrderStory => ({ ...one, name: String(index) })));

const catalogue = fc.record({
  names: fc.array(fc.constantFrom('Kim', 'Lee', 'Park'), { maxLength: 3 }),
  prices: fc.array(fc.integer({ min: 1, max: 9_999 }), { maxLength: 3 }),
  main: fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 4 }),
  busan: fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 4 }),
});
type Catalogue = typeof catalogue extends fc.Arbitrary<infer Content> ? Content : never;

/** Each aggregate in order; a product and a user that nobody described are among those of the orders. */
const inOrder = (all: readonly OrderStory[], { names, prices, main, busan }: Catalogue): StoredEvent[] => [
  ...userEvents('1', names, PLACED_AT),
  ...productEvents('1', prices, PLACED_AT),
  ...stockLevels('1', 'MAIN', main, PLACED_AT),
  ...stockLevels('1', 'BUSAN', busan, PLACED_AT),
  ...all.flatMap((story) => orderEvents(story)),
];

/** Every event twice, in any order, also within an aggregate, cut into batches of any size. Events by their places. */
const disorder = fc.tuple(stories, catalogue).chain(([all, content]) => {
  const places = inOrder(all, content).map((_event, place) => place);
  const twice = [...places, ...places];
  return fc.record({
    stories: fc.constant(all),
    catalogue: fc.constant(content),
    shuffled: fc.shuffledSubarray(twice, { minLength: twice.length, maxLength: twice.length }),
    sizes: fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 4, maxLength: 4 }),
  });
});

describe('views that several workers build from events in disorder', () => {
  let databases: { live: TestDatabases; plain: TestDatabases };
  let views: { live: Databases['views']; plain: Databases['views'] };
  before(async () => {
    databases = { live: await freshDatabases(), plain: await freshDatabases() };
    const open = ({ urls }: TestDatabases) => openViews(urls.views, { poolSize: APPLIERS * VIEWS.length });
    views = { live: open(databases.live), plain: open(databases.plain) };
  });
  after(async () => {
    await Promise.all([views.live.$disconnect(), views.plain.$disconnect()]);
    await databases.live.drop();
    await databases.plain.drop();
  });
  const empty = async () => {
    for (const set of [databases.live, databases.plain]) await emptyViews(set.adminUrl('views'));
  };

  it('are those that one worker builds one event at a time, and add up to what happened', async function () {
    this.timeout(240_000);
    await fc.assert(
      fc.asyncProperty(disorder, async ({ stories: all, catalogue: content, shuffled, sizes }) => {
        const events = inOrder(all, content);
        const disordered = shuffled.flatMap((place) => events[place] ?? []);
        await empty();
        await allOf([
          applyInTurn(views.plain, batchesOf(events, [1])),
          applyAtOnce(views.live, batchesOf(disordered, sizes)),
        ]);

        const rows = await rowsOf(databases.live.urls.views);
        assert.deepEqual(rows, await rowsOf(databases.plain.urls.views));
        assert.deepEqual(byKey(rows['mv_user_totals'], ['user_id', 'currency']), spentBy(all));
        assert.deepEqual(byKey(rows['mv_daily_sales'], ['date', 'currency'], ['net', 'total_revenue']), soldOn(all));
        assert.deepEqual(purchaseCounts(rows['mv_products']), boughtOf(all));
        const stock = (content.main.at(-1) ?? 0) + (content.busan.at(-1) ?? 0);
        const [described] = (rows['mv_products'] ?? []).filter(({ product_id: id }) => id === 1);
        assert.equal(described?.['available_stock'] ?? 0, stock);
      }),
      { seed: SEED, numRuns: RUNS, endOnFailure: true },
    );
  });

  it('do not make their workers wait in a circle, whatever order the batches have', async function () {
    this.timeout(120_000);
    await empty();
    const sample = fc.sample(body, { seed: SEED, numRuns: 60 }).map((content, index): OrderStory => {
      const end = { kind: 'PAID' as const, at: '2026-11-20T14:59:59.999999Z', refunds: [{ at: PLACED_AT, minor: 1 }] };
      return { ...content, name: String(index), placedAt: PLACED_AT, end };
    });
    const events = sample.flatMap((story) => orderEvents(story));
    // The same orders at once in both directions, in batches that overlap: each holds what the other wants next.
    const there = batchesOf(events, [40]);
    const back = batchesOf([...events].reverse(), [35]);
    await allOf([there, back, there, back].map((batches) => applyInTurn(views.live, batches)));
    assert.deepEqual(
      byKey((await rowsOf(databases.live.urls.views))['mv_user_totals'], ['user_id', 'currency']),
      spentBy(sample),
    );
  });
});

type Batches = readonly (readonly StoredEvent[])[];

/** The sizes come again and again until there is nothing left. */
function batchesOf(events: readonly StoredEvent[], sizes: readonly number[]): Batches {
  const batches: StoredEvent[][] = [];
  for (let start = 0; start < events.length; start += batches.at(-1)?.length ?? 1) {
    batches.push(events.slice(start, start + (sizes[batches.length % sizes.length] ?? 1)));
  }
  return batches;
}

/** Waits for all, also when one fails: what still runs would write into the next test. */
async function allOf(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).filter((end) => end.status === 'rejected');
  if (failed.length > 0)
    throw new AggregateError(
      failed.map((end): unknown => end.reason),
      'a worker failed',
    );
}

/** A worker of each view, as there is one group of the bus for each. Nothing is tried again: a deadlock would be seen. */
const applyInTurn = (views: Databases['views'], batches: Batches) =>
  allOf(
    VIEWS.map(async (view) => {
      for (const batch of batches) await applyToView(views, view, batch, { timeZone: 'Asia/Seoul' });
    }),
  );

const applyAtOnce = (views: Databases['views'], batches: Batches) =>
  allOf(
    Array.from({ length: APPLIERS }, (_, worker) =>
      applyInTurn(
        views,
        batches.filter((_batch, index) => index % APPLIERS === worker),
      ),
    ),
  );

function byKey(rows: readonly ViewRow[] | undefined, key: readonly string[], without: readonly string[] = []) {
  const entries = (rows ?? []).map((row) => {
    const rest = Object.entries(row).filter(([name]) => !key.includes(name) && !without.includes(name));
    return [key.map((name) => String(row[name])).join(' '), Object.fromEntries(rest)] as const;
  });
  return Object.fromEntries(entries);
}

const purchaseCounts = (rows: readonly ViewRow[] = []) =>
  Object.fromEntries(
    rows.filter((row) => row['purchase_count'] !== 0).map((row) => [String(row['product_id']), row['purchase_count']]),
  );
