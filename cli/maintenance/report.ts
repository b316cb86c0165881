import type { MaintenanceResult } from '../../domain/maintenance.ts';

/** The result for a person: a table, what stays and why, what could not be asked, and the verdict. */
export function reportOf(result: MaintenanceResult): string {
  const { dryRun, tables, held, unreachable } = result;
  const width = Math.max(0, ...tables.map(({ table }) => table.length));
  const parts = [
    tables.map(({ table, rows }) => `${table.padEnd(width)}  ${rows} rows ${dryRun ? 'would go' : 'gone'}`),
    held.map(({ table, why, fix }) => `${table} stays: ${why}\n  ${fix}`),
    unreachable.map(({ database, reason }) => `${database} could not be looked after: ${reason}`),
    [verdictOf(result)],
  ];
  return parts
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

/** 0: nothing old is left. 1: something is, or was found in a dry run. 2: it could not look everywhere. */
export function exitCodeOf({ dryRun, tables, held, unreachable }: MaintenanceResult): 0 | 1 | 2 {
  if (unreachable.length > 0) return 2;
  return held.length > 0 || (dryRun && tables.length > 0) ? 1 : 0;
}

function verdictOf({ dryRun, tables, held, unreachable }: MaintenanceResult): string {
  const rows = tables.reduce((sum, one) => sum + one.rows, 0);
  const texts = tables.length > 0 ? [`${rows} rows ${dryRun ? 'would go; nothing was changed' : 'gone'}`] : [];
  if (held.length > 0) texts.push(`${held.length} reasons why something old stays`);
  if (unreachable.length > 0) texts.push(`${unreachable.length} databases not asked`);
  return `maintenance: ${texts.join(', ') || 'nothing to do'}`;
}
