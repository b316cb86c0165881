import type { Discarded } from '../../events/bus/discard.ts';
import type { ListedLetter, Redriven } from '../../events/bus/redrive.ts';

/** Longest reason in a table, characters. `--json` has all of it. */
const LONGEST_REASON = 100;

/** Dead letters as a table, with a verdict below. */
export function listReport(letters: readonly ListedLetter[], more: boolean): string {
  if (letters.length === 0) return 'dead letters: none';
  const last = letters.at(-1)?.id ?? '0';
  const next = more ? [`There are more: --after ${last} shows the next ones.`] : [];
  const count = (state: ListedLetter['state']): number => letters.filter((letter) => letter.state === state).length;
  const states = `${count('FAILED')} failed, ${count('WAITING')} waiting behind, ${count('REDRIVEN')} redriven`;
  return [tableOf(HEAD, letters.map(rowOf)), '', `dead letters: ${states}`, ...next].join('\n');
}

/** Letters that were given up, as a table. */
export function discardedReport(letters: readonly ListedLetter[], more: boolean): string {
  if (letters.length === 0) return 'dead letters: none was given up';
  const head = ['id', 'group', 'subject', 'version', 'type', 'given up at', 'by', 'because', 'it failed with'];
  const rows = letters.map(({ id, group, subject, aggregateVersion, type, discarded, error }) => [
    ...[id, group, subject, String(aggregateVersion), type, discarded?.at ?? '', oneLine(discarded?.by ?? '')],
    ...[oneLine(discarded?.reason ?? ''), oneLine(error)],
  ]);
  const next = more ? [`There are more: --after ${letters.at(-1)?.id ?? '0'} shows the next ones.`] : [];
  return [tableOf(head, rows), '', `dead letters: ${letters.length} given up`, ...next].join('\n');
}

/** What became of one wish to redrive, in a line. */
export function redriveLine(id: string, redriven: Redriven): string {
  switch (redriven.result) {
    case 'REDRIVEN':
      return `${id}: ${redriven.letters} of ${redriven.subject} go to ${redriven.group} again`;
    case 'ALREADY_REDRIVEN':
      return `${id}: ${redriven.subject} was redriven already, and waits for a consumer of ${redriven.group}`;
    case 'ALREADY_DISCARDED':
      return `${id}: it was given up, for good`;
    case 'UNKNOWN':
      return unknownLine(id);
  }
}

/** What became of one wish to give an event up, in a line. */
export function discardLine(id: string, discarded: Discarded): string {
  switch (discarded.result) {
    case 'DISCARDED': {
      const { redriven, subject, group } = discarded;
      const behind = redriven === 0 ? 'nothing waited behind it' : `to be tried again behind it: ${redriven}`;
      return `${id}: given up for ${group}, with all repeats of it; in ${subject} ${behind}`;
    }
    case 'ALREADY_DISCARDED':
      return `${id}: it was given up before`;
    case 'ALREADY_REDRIVEN':
      return `${id}: ${discarded.subject} was redriven, and waits for a consumer of ${discarded.group}: see what becomes of it first`;
    case 'NOT_TRIED':
      return `${id}: it was never tried, and waits behind another letter of ${discarded.subject}: only one that FAILED can be given up`;
    case 'UNKNOWN':
      return unknownLine(id);
  }
}

const unknownLine = (id: string): string => `${id}: there is no such dead letter, or no longer`;

const HEAD = ['id', 'group', 'state', 'subject', 'version', 'type', 'attempts', 'failed at', 'reason'];

const rowOf = (letter: ListedLetter): string[] => [
  ...[letter.id, letter.group, letter.state, letter.subject, String(letter.aggregateVersion), letter.type],
  ...[String(letter.attempts), letter.failedAt, oneLine(letter.error)],
];

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
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
