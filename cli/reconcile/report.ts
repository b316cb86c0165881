import type { ReconcileResult, ReconcileRow } from '../../domain/reconcile.ts';

/** The result for a person: a table, what could not be asked, and the verdict. */
export function reportOf(result: ReconcileResult): string {
  const { rows, unreachable } = result;
  const parts = [
    rows.length === 0 ? '' : tableOf(rows),
    unreachable.map(({ source, reason }) => `${source}: could not be asked: ${reason}`).join('\n'),
    verdictOf(result),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** 0: nothing is left. 1: something is, or was found in a dry run. 2: it could not look everywhere. */
export function exitCodeOf({ rows, unreachable }: ReconcileResult): 0 | 1 | 2 {
  if (rows.some(({ result }) => result !== 'REPAIRED')) return 1;
  return unreachable.length > 0 ? 2 : 0;
}

/** One line: nothing to do, or how many rows came to what. */
function verdictOf({ apply, rows, unreachable }: ReconcileResult): string {
  const counts = new Map<string, number>();
  for (const { result } of rows) counts.set(result, (counts.get(result) ?? 0) + 1);
  const texts = [...counts].map(([result, count]) => `${count} ${result.toLowerCase()}`);
  if (unreachable.length > 0) texts.push(`${unreachable.length} sources not asked`);
  if (!apply && rows.length > 0) texts.push('nothing was changed: run it with --apply');
  return `reconcile: ${texts.join(', ') || 'nothing to do'}`;
}

function tableOf(rows: readonly ReconcileRow[]): string {
  const cells = rows.map((row) => [
    row.kind,
    row.id,
    row.kind === 'refund' ? (row.orderId ?? '') : '',
    row.found.join(', '),
    row.action,
    row.result,
    row.detail ?? '',
  ]);
  const all = [['what', 'id', 'of order', 'found', 'action', 'result', 'detail'], ...cells];
  const used = [0, 1, 2, 3, 4, 5, 6].filter((column) => cells.some((row) => row[column] !== ''));
  const widths = used.map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      used
        .map((column, index) => (row[column] ?? '').padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
