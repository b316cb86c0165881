import { type OrderStory, totalOf } from './views-history.ts';

/** Milliseconds that Seoul is ahead of UTC; it has no summer time. */
const SEOUL_MS = 9 * 3_600_000;
const dayInSeoul = (at: string): string => new Date(Date.parse(at) + SEOUL_MS).toISOString().slice(0, 10);

type Sums = Record<string, Record<string, number>>;

const add = (sums: Sums, key: string, amounts: Readonly<Record<string, number>>): void => {
  const row = (sums[key] ??= {});
  for (const [name, amount] of Object.entries(amounts)) row[name] = (row[name] ?? 0) + amount;
};

/** What customers have spent, by `user currency`. */
export function spentBy(stories: readonly OrderStory[]): Sums {
  const sums: Sums = {};
  for (const story of stories) {
    const { end } = story;
    const paid = end.kind === 'PAID';
    const refunded = paid ? end.refunds.reduce((sum, { minor }) => sum + minor, 0) : 0;
    const amounts = { total_orders: paid ? 1 : 0, total_spent: paid ? totalOf(story) - refunded : 0 };
    add(sums, `${story.userId} ${story.currency}`, amounts);
  }
  return sums;
}

/** How many units of each product were bought. */
export function boughtOf(stories: readonly OrderStory[]): Record<string, number> {
  const units: Record<string, number> = {};
  for (const { end, lines } of stories) {
    if (end.kind !== 'PAID') continue;
    for (const { productId, quantity } of lines) units[productId] = (units[productId] ?? 0) + quantity;
  }
  return units;
}

/** What was sold and given back, by `day currency`, days of Seoul. */
export function soldOn(stories: readonly OrderStory[]): Sums {
  const sums: Sums = {};
  const customers = new Set<string>();
  for (const story of stories) {
    const { end, currency, userId, lines } = story;
    if (end.kind !== 'PAID') continue;
    const days = givenBackOn(end.refunds);
    const paidOn = dayInSeoul(end.at);
    for (const day of new Set([paidOn, ...Object.keys(days)])) {
      add(sums, `${day} ${currency}`, { total_orders: 1, refunds: days[day] ?? 0 });
      if (day !== paidOn)
        add(sums, `${day} ${currency}`, { completed_orders: 0, unique_customers: 0, items: 0, gross: 0 });
    }
    const items = lines.reduce((sum, { quantity }) => sum + quantity, 0);
    const customer = `${paidOn} ${currency} ${userId}`;
    const amounts = {
      completed_orders: 1,
      items,
      gross: totalOf(story),
      unique_customers: customers.has(customer) ? 0 : 1,
    };
    add(sums, `${paidOn} ${currency}`, amounts);
    customers.add(customer);
  }
  return sums;
}

/**
 * By day: how far the order's refunds rose on it. They rise in the order of the days, so a refund that carries an earlier
 * day than the one before it moves what that one gave back to its own day.
 */
function givenBackOn(refunds: readonly Readonly<{ at: string; minor: number }>[]): Record<string, number> {
  const totals: Record<string, number> = {};
  let total = 0;
  for (const { at, minor } of refunds) totals[dayInSeoul(at)] = total += minor;
  const given: Record<string, number> = {};
  let highest = 0;
  for (const day of Object.keys(totals).sort()) {
    given[day] = Math.max(0, (totals[day] ?? 0) - highest);
    highest = Math.max(highest, totals[day] ?? 0);
  }
  return given;
}
