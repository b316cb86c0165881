import { SCENARIOS } from './scenarios.ts';

/** One visit that is over. Times are milliseconds from the first click: to the answer, and to the end. */
export type Visited = Readonly<{
  scenario: string;
  expected: string;
  seen: string;
  placedMs: number;
  endedMs: number;
  link?: string | undefined;
}>;

const COLUMNS = ['scenario', 'visits', 'expected', 'seen', 'answer p50', 'p95', 'end p50', 'p95'];

/** The table of outcomes, the worst surprises by name, and where to look at one order of each kind. */
export function reportOf(visits: readonly Visited[]): string {
  const rows = SCENARIOS.flatMap(({ name, expected }) => {
    const own = visits.filter(({ scenario }) => scenario === name);
    if (own.length === 0) return [];
    const times = [own.map(({ placedMs }) => placedMs), own.map(({ endedMs }) => endedMs)];
    return [[name, `${own.length}`, expected, seenIn(own), ...times.flatMap((t) => [at(t, 50), at(t, 95)])]];
  });
  const links = SCENARIOS.flatMap(({ name }) => {
    const link = visits.find((visit) => visit.scenario === name && visit.link !== undefined)?.link;
    return link === undefined ? [] : [`  ${name}: ${link}`];
  });
  const parts = [table([COLUMNS, ...rows])];
  if (links.length > 0) parts.push(`One of each in Temporal Web:\n${links.join('\n')}`);
  return parts.join('\n\n');
}

/** Visits that did not end as their scenario expects. */
export const surprises = (visits: readonly Visited[]): Visited[] =>
  visits.filter(({ seen, expected }) => seen !== expected);

function seenIn(visits: readonly Visited[]): string {
  const counts = new Map<string, number>();
  for (const { seen } of visits) counts.set(seen, (counts.get(seen) ?? 0) + 1);
  return [...counts].map(([seen, count]) => `${count} ${seen}`).join(', ');
}

/** Nearest rank. */
function at(times: readonly number[], percentile: number): string {
  const sorted = [...times].sort((a, b) => a - b);
  const value = sorted[Math.ceil((percentile / 100) * sorted.length) - 1] ?? 0;
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  const [head = [], ...body] = rows;
  return [line(head), widths.map((width) => '─'.repeat(width)).join('  '), ...body.map(line)].join('\n');
}
