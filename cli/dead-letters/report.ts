import type { ListedLetter, Redriven } from '../../events/bus/redrive.ts';

/** Longest reason in a table, characters. `--json` has all of it. */
const LONGEST_REASON = 100;

/** Dead letters as a table, with a verdict below. */
export function listReport(letters: readonly ListedLetter[], more: boolean): string {
  if (letters.length === 0) return 'dead letters: none';
  const count = (state: ListedLetter['state']): number => letters.filter((letter) => letter.state === state).length;
  const states = `${count('FAILED')} failed, ${count('WAITING')} waiting behind, ${count('REDRIVEN')} redriven`;
  const last = letters.at(-1)?.id ?? '0';
  return [
    tableOf(letters),
    '',
    `dead letters: ${states}`,
    ...(more ? [`There are more: --after ${last} shows the next ones.`] : []),
  ].join('\n');
}

/** What became of one wish to redrive, in a line. */
export function redriveLine(id: string, redriven: Redriven): string {
  switch (redriven.result) {
    case 'REDRIVEN':
      return `${id}: ${redriven.letters} of ${redriven.subject} go to ${redriven.group} again`;
    case 'ALREADY_REDRIVEN':
      return `${id}: ${redriven.subject} was redriven already, and waits for a consumer of ${redriven.group}`;
    case 'UNKNOWN':
      return `${id}: there is no such dead letter, or no longer`;
  }
}

function tableOf(letters: readonly ListedLetter[]): string {
  const head = ['id', 'group', 'state', 'subject', 'version', 'type', 'attempts', 'failed at', 'reason'];
  const rows = letters.map((letter) => [
    ...[letter.id, letter.group, letter.state, letter.subject, String(letter.aggregateVersion), letter.type],
    ...[String(letter.attempts), letter.failedAt, oneLine(letter.error)],
  ]);
  const widths = head.map((_title, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A driver's message has several lines, and may bring along what a terminal would obey. */
function oneLine(text: string): string {
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ').trim();
  return line.length > LONGEST_REASON ? `${line.slice(0, LONGEST_REASON - 1)}…` : line;
}
