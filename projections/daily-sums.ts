import type { SumDifference } from '../domain/daily-sales.ts';
import { type Databases, type SqlTransaction, TRANSACTION } from '../infra/databases.ts';
import { expectRow } from '../infra/rows.ts';
import { lockView } from './apply.ts';
import { lockContributions, recomputeDays, SUMS } from './sales.ts';

/** The day in the shop's time zone, such as `2026-11-22`, by the database's clock. */
export async function shopToday(views: Databases['views'], timeZone: string): Promise<string> {
  const rows = await views.$queryRaw<{ today: string }[]>`
    select (now() at time zone ${timeZone}::text)::date::text as today`;
  return expectRow(rows).today;
}

/**
 * What the sums of a day have that is not what the contributions of its orders come to, in the order of currencies and
 * columns. It waits for nobody and keeps nobody waiting: a batch of the projection writes both in one transaction, so one
 * statement never sees one without the other.
 */
export const compareDay = (db: SqlTransaction, day: string): Promise<SumDifference[]> =>
  // Named in the order in which a rebuild exchanges the tables: in the other one, each would wait for the other.
  db.$queryRaw<SumDifference[]>`
    select ${day}::text as day, coalesce(s.currency, v.currency)::text as currency, c.name as "column",
      c.was::text as was, c.sum::text as "is"
    from (select currency, ${SUMS} from mv_order_sales where day = ${day}::date group by currency) as s
    full join (select * from mv_daily_sales where date = ${day}::date) as v using (currency)
    cross join lateral (values
      (1, 'total_orders', v.total_orders, s.total_orders), (2, 'completed_orders', v.completed_orders, s.completed_orders),
      (3, 'unique_customers', v.unique_customers, s.unique_customers), (4, 'items', v.items, s.items),
      (5, 'gross', v.gross, s.gross), (6, 'refunds', v.refunds, s.refunds)
    ) as c (position, name, was, sum)
    where c.was is distinct from c.sum
    order by currency, c.position`;

/**
 * Makes the sums of a day what its orders come to; a row of a currency without any orders goes. Only the live view: the
 * twin of one that is being rebuilt is made from its own contributions. Repeat-safe.
 *
 * @returns what was not right when it had the day to itself: nothing where somebody else was quicker
 */
export const repairDay = (views: Databases['views'], day: string): Promise<SumDifference[]> =>
  views.$transaction(async (tx) => {
    // In the order of the projection. Nobody exchanges the tables now, and no batch counts on a row that goes.
    await lockView(tx, 'sales', 'shared');
    await lockContributions(tx);
    const differences = await compareDay(tx, day);
    const isStray = new Map(differences.map(({ currency, is }) => [currency, is === null]));
    const strays = [...isStray.keys()].filter((currency) => isStray.get(currency));
    const wrong = [...isStray.keys()].filter((currency) => !isStray.get(currency));
    if (strays.length > 0) {
      await tx.$executeRaw`
        delete from mv_daily_sales where date = ${day}::date and currency = any(${strays}::char(3)[])`;
    }
    if (wrong.length > 0) {
      await recomputeDays(
        tx,
        wrong.map((currency) => ({ day, currency })),
      );
    }
    return differences;
  }, TRANSACTION);
