import type { Databases } from '../infra/databases.ts';
import { Prisma } from '../prisma/views/generated/client.ts';

export type SalesFilter = Readonly<{
  /** First and last day, both included, as `2026-11-22` in the shop's time zone. */
  from: string;
  to: string;
  currency: string | undefined;
}>;

/** Amounts are minor units of `currency`. `orders` are those paid on that day, `customers` who placed them. */
export type SalesDay = Readonly<{
  day: string;
  currency: string;
  orders: bigint;
  customers: bigint;
  items: bigint;
  gross: bigint;
  refunds: bigint;
  net: bigint;
}>;

/** Days on which something was paid or refunded, in order. */
export const readDailySales = (views: Databases['views'], { from, to, currency }: SalesFilter): Promise<SalesDay[]> =>
  views.$queryRaw<SalesDay[]>`
    select date::text as day, currency::text, completed_orders as orders, unique_customers as customers, items, gross,
      refunds, net
    from mv_daily_sales
    where date between ${from}::date and ${to}::date
      ${currency === undefined ? Prisma.empty : Prisma.sql`and currency = ${currency}`}
    order by date, currency`;
