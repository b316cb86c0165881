import { differencesOf, type RowDifference, type TableComparison } from '../../projections/compare.ts';
import type { RebuildReport, RebuildStep } from '../../projections/rebuild.ts';

const WIDTH = 20;
/** So many events that were left out are named; the report as JSON has all. */
const NAMED = 5;

/** What is drawn over itself while a view is rebuilt. */
export function stepLine({ view, step, done, applied, rows }: RebuildStep): string {
  const filled = Math.floor(WIDTH * done);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${Math.floor(100 * done)} %`;
  return `${view} ${bar}, ${applied} events: ${step === 'comparing' ? `comparing, ${rows} rows` : WORDS[step]}`;
}

const WORDS = { events: 'applying the past', waiting: 'waiting', swapping: 'putting it in place' } as const;

/** What came of the rebuild of one view, for people. */
export function reportOf(report: RebuildReport): string {
  const { view, source, applied, resumed, tables, leftOut } = report;
  const lines = tables.flatMap(tableLines);
  for (const { id, type, reason } of leftOut.slice(0, NAMED)) lines.push(`  left out: ${type} ${id}: ${reason}`);
  if (leftOut.length > NAMED) lines.push(`  left out: ${leftOut.length - NAMED} more`);
  const from = `${applied} events from ${source === 'log' ? 'the log' : source}${resumed ? ', gone on with' : ''}`;
  return [`${view} (${from}): ${endOf(report)}`, ...lines].join('\n');
}

/** 1 when something is left for a person. */
export function exitCodeOf(report: RebuildReport): number {
  if (report.result === 'SWAPPED') return 0;
  return report.result === 'REFUSED' || report.lacking > 0 || differencesOf(report) > 0 ? 1 : 0;
}

function endOf(report: RebuildReport): string {
  const { result, lacking, ahead, view } = report;
  const differences = differencesOf(report);
  const found = differences === 0 ? 'no row differs' : `${differences} rows differ`;
  const late = ahead > 0 ? `; ${ahead} events the live view has not applied, or no longer says that it has` : '';
  const lacks = `the events that were read lack ${lacking} that the live view has applied`;
  switch (result) {
    case 'SWAPPED':
      return `${found}${late}; the rebuilt view is in place`;
    case 'REFUSED':
      return `${found}; NOT put in place: ${lacks}. Read them from elsewhere by --from, or export them again.`;
    case 'COMPARED':
      if (lacking > 0) return `${found}${late}; nothing was changed, and nothing could be: ${lacks}`;
      return `${found}${late}; nothing was changed${differences > 0 ? `. Repair it by npm run views:rebuild -- ${view}` : ''}`;
  }
}

function tableLines({ table, live, rebuilt, onlyLive, onlyRebuilt, differing, samples }: TableComparison): string[] {
  const counts = `${live} rows live, ${rebuilt} rebuilt`;
  if (onlyLive + onlyRebuilt + differing === 0) return [`  ${table}: ${counts}`];
  const differences = `only live ${onlyLive}, only rebuilt ${onlyRebuilt}, differing ${differing}`;
  return [`  ${table}: ${counts}; ${differences}`, ...samples.map(sampleLine)];
}

function sampleLine({ kind, key, columns }: RowDifference): string {
  const named = Object.entries(key).map(([name, value]) => `${name} ${value}`);
  return `    ${named.join(', ')}: ${kind === 'differing' ? columns.join(', ') : KINDS[kind]}`;
}

const KINDS = { onlyLive: 'only live', onlyRebuilt: 'only rebuilt' } as const;
