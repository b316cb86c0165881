import { type Audited, isClean } from '../../infra/audit/audit.ts';
import { type Finding, type InvariantId, MOST_SUSPECTS } from '../../infra/audit/finding.ts';

/** Rows of one kind that a person reads; `--json` has all of them. */
const SHOWN = 50;

/** The result for a person: a table, what is broken, what is under way, and the verdict. */
export function reportOf(audited: Audited): string {
  const { findings, inProgress, unknown, overfull, notes } = audited;
  const parts = [
    tableOf(audited),
    section('Broken', findings, rowsOf),
    section('In progress: what runs may still put these right', inProgress, (one) => [
      `  ${one.invariant}  ${one.row}: ${one.workflows.join(', ')}`,
    ]),
    section('Unknown: only Temporal could say whether a workflow is at these', unknown, rowsOf),
    overfull.length === 0
      ? ''
      : `Invariants ${overfull.join(', ')} have more than ${MOST_SUSPECTS} suspects; only so many were looked at again.`,
    section('Not looked at', notes, (note) => [`  ${note}`]),
    verdictOf(audited),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** One line: clean, or what is not. */
export function verdictOf(audited: Audited): string {
  const { findings, inProgress, unknown } = audited;
  const counts = [
    [findings.length, 'broken'],
    [unknown.length, 'unknown'],
    [inProgress.length, 'in progress'],
  ] as const;
  const texts = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return `audit: ${isClean(audited) ? ['clean', ...texts].join(', ') : texts.join(', ') || 'not everything was looked at'}`;
}

function tableOf({ invariants, inProgress, unknown }: Audited): string {
  const result = (id: InvariantId, findings: number): string => {
    const count = (rows: readonly Finding[]) => rows.filter(({ invariant }) => invariant === id).length;
    const parts = [
      findings === 0 ? 'ok' : `${findings} broken`,
      ...(count(unknown) === 0 ? [] : [`${count(unknown)} unknown`]),
      ...(count(inProgress) === 0 ? [] : [`${count(inProgress)} in progress`]),
    ];
    return parts.filter((part) => part !== 'ok' || count(unknown) === 0).join(', ');
  };
  const rows = invariants.map(({ id, states, looked, findings }) => [
    ...[String(id), states, String(looked), result(id, findings)],
  ]);
  const all = [['', 'invariant', 'rows', 'result'], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => (column === 2 ? cell.padStart(widths[2] ?? 0) : cell.padEnd(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function section<Row>(title: string, rows: readonly Row[], linesOf: (row: Row) => string[]): string {
  if (rows.length === 0) return '';
  const more = rows.length > SHOWN ? [`  and ${rows.length - SHOWN} more: --json lists them`] : [];
  return [`${title}:`, ...rows.slice(0, SHOWN).flatMap(linesOf), ...more].join('\n');
}

const rowsOf = ({ invariant, row, is, shouldBe }: Finding): string[] => [
  `  ${invariant}  ${row}`,
  `       is         ${is}`,
  `       should be  ${shouldBe}`,
];
