/** Days of the shop's time zone such as `2026-11-22`, first and last one included. */
export type DayRange = Readonly<{ from: string; to: string }>;

/**
 * A sum of `mv_daily_sales` that is not what the orders of its day come to. Numbers are text, because a damaged one may be
 * any. `was` is null where the row was missing, `is` where the day has no orders in this currency and so gets no row.
 */
export type SumDifference = Readonly<{
  day: string;
  currency: string;
  column: string;
  was: string | null;
  is: string | null;
}>;

/** Nothing was sold before, and the database has no year 0. */
export const FIRST_DAY = '1970-01-01';

/** Ten years: more was asked for by mistake. */
export const MOST_DAYS = 3_660;

const DAY_MS = 86_400_000;

/** How many days a range has; less than one when it ends before it begins. */
export const daysBetween = ({ from, to }: DayRange): number => (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;

/** The day so many days before another. */
export const daysBefore = (day: string, count: number): string =>
  new Date(Date.parse(day) - count * DAY_MS).toISOString().slice(0, 10);

/** The last days up to one, which is included. */
export const daysUpTo = (to: string, count: number): DayRange => ({ from: daysBefore(to, count - 1), to });

/** Every day of a range, in order. */
export const daysIn = (range: DayRange): string[] =>
  Array.from({ length: Math.max(0, daysBetween(range)) }, (_, index) => daysBefore(range.from, -index));

/** Whether a text is a day of the calendar on which something may have been sold: 2026-02-30 is none. */
export const isDay = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}$/.test(text) &&
  !Number.isNaN(Date.parse(text)) &&
  daysBefore(text, 0) === text &&
  text >= FIRST_DAY;
