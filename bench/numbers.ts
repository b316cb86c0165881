/** What a set of measurements comes to, nearest rank; zero where there are none. */
export type Spread = Readonly<{ count: number; p50: number; p99: number; max: number }>;

/** @param values in any order */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: percentileOf(sorted, 50),
    p99: percentileOf(sorted, 99),
    max: sorted.at(-1) ?? 0,
  };
}

/** Nearest rank, of sorted values. */
export const percentileOf = (sorted: readonly number[], percentile: number): number =>
  sorted[Math.ceil((percentile / 100) * sorted.length) - 1] ?? 0;

export type Value = readonly [name: string, value: number];

const BAR_WIDTH = 40;

/** A block of bars, the longest of which is the largest value. */
export function bars(title: string, values: readonly Value[]): string {
  const largest = Math.max(...values.map(([, value]) => value));
  const lines = values.map(([name, value]) => {
    const bar = '█'.repeat(Math.max(1, Math.round((BAR_WIDTH * value) / Math.max(largest, Number.MIN_VALUE))));
    return `  ${name.padEnd(9)} ${bar.padEnd(BAR_WIDTH)} ${value < 100 ? value.toFixed(1) : Math.round(value)}`;
  });
  return [title, ...lines].join('\n');
}
