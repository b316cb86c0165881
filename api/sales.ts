import type { Money } from '../domain/money.ts';
import { safeNumber } from '../infra/rows.ts';
import { inSales } from '../projections/read-applied.ts';
import { readDailySales, type SalesDay } from '../projections/read-sales.ts';
import { listDailySales, salesQuery } from './contract/sales.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { afterWrite } from './read-after.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';
import { viewLagMs } from './view-lag.ts';

const DAY_MS = 86_400_000;
/** Both ends included: a leap year. */
const MOST_DAYS = 366;
const USUAL_DAYS = 30;

const daysFrom = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;

/** @param today of the shop, as `2026-11-22` */
const salesRange = (today: string) =>
  salesQuery
    .transform(({ from, to = today, currency }) => ({ from: from ?? daysBefore(to, USUAL_DAYS - 1), to, currency }))
    .refine(({ from, to }) => daysFrom(from, to) >= 1, { path: ['from'], message: 'must not be after `to`' })
    .refine(({ from, to }) => daysFrom(from, to) <= MOST_DAYS, {
      path: ['from'],
      message: `at most ${MOST_DAYS} days`,
    });

/** What was sold and given back, by day of the shop's time zone and currency, for administrators, from the view. */
export function salesRoutes({ databases: { views }, config: { shopTimeZone } }: ApiDeps): readonly Route[] {
  // The calendar of Sweden writes its days as ISO 8601 does.
  const days = new Intl.DateTimeFormat('sv-SE', { timeZone: shopTimeZone, dateStyle: 'short' });
  return [
    route(
      listDailySales,
      afterWrite((write) => inSales(views, write)),
      async (req, res) => {
        const filter = parsed(salesRange(days.format(new Date())), req.query);
        const lag = await within(READ_LIMIT_MS, viewLagMs(views, 'sales'));
        const rows = await within(READ_LIMIT_MS, readDailySales(views, filter));
        res.set('Cache-Control', 'private, no-cache').json({ days: rows.map(present), viewLagMs: lag });
      },
    ),
  ];
}

const daysBefore = (to: string, days: number): string =>
  new Date(Date.parse(to) - days * DAY_MS).toISOString().slice(0, 10);

function present({ day, currency, gross, refunds, net, ...counts }: SalesDay): object {
  const money = (minor: bigint): Money => ({ minor: safeNumber(minor), currency });
  return {
    day,
    currency,
    orders: safeNumber(counts.orders),
    customers: safeNumber(counts.customers),
    items: safeNumber(counts.items),
    gross: money(gross),
    refunds: money(refunds),
    net: money(net),
  };
}
