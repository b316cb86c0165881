import type { SumDifference } from '../../domain/daily-sales.ts';
import type { Recomputed } from './run.ts';

const WIDTHS = [10, 8, 16] as const;
/** Of an amount: wider ones move their own line alone. */
const NUMBER_WIDTH = 14;

const row = (cells: readonly string[], was: string, is: string): string =>
  [
    ...WIDTHS.map((width, index) => (cells[index] ?? '').padEnd(width)),
    was.padStart(NUMBER_WIDTH),
    is.padStart(NUMBER_WIDTH),
  ].join('  ');

/** Above the first difference. */
export const HEADER = row(['day', 'currency', 'sum'], 'was', 'is');

/** A row of the table. `no row`: it was missing, or the day has no orders in this currency. */
export const lineOf = ({ day, currency, column, was, is }: SumDifference): string =>
  row([day, currency, column], was ?? 'no row', is ?? 'no row');

/** One line: what was looked at, and what came of it. */
export function verdictOf({ from, to, days, dryRun, differences }: Recomputed): string {
  const looked = `${from} to ${to} (${counted(days, 'day')})`;
  if (differences.length === 0) return `${looked}: every sum is what its orders come to`;
  const differing = new Set(differences.map(({ day }) => day)).size;
  const found = `${counted(differences.length, 'sum')} of ${counted(differing, 'day')} differed`;
  return `${looked}: ${found}; ${dryRun ? 'nothing was changed: run it without --dry-run to repair' : 'repaired'}`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
