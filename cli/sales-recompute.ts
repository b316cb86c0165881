import { Command } from 'commander';

import { type DayRange, daysBefore, daysBetween, isDay, MOST_DAYS } from '../domain/daily-sales.ts';
import { ConfigError, databaseUrl, readConfig } from '../infra/config.ts';
import { isDatabaseOutage, sqlStateOf } from '../infra/database-outage.ts';
import { openViews } from '../infra/databases.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { shopToday } from '../projections/daily-sums.ts';
import { progressLine } from './audit/progress.ts';
import { databaseReasonOf } from './reason.ts';
import { HEADER, lineOf, verdictOf } from './sales-recompute/report.ts';
import { recomputeSales } from './sales-recompute/run.ts';

type Options = Readonly<{ from?: string; to?: string; dryRun: boolean; json: boolean }>;

/** Days without `--from`, as every night. */
const USUAL_DAYS = 7;

const program = new Command('npm run sales:recompute --')
  .description(
    'Recomputes the daily sales from what each order contributes, says which sums differed, and repairs them.',
  )
  .option('--from <day>', `first day, such as 2026-11-01; without it ${USUAL_DAYS} days are looked at`)
  .option('--to <day>', 'last day; today without it')
  .option('--dry-run', 'compare alone: nothing is changed', false)
  .option('--json', 'print the result as JSON', false)
  .addHelpText(
    'after',
    '\nDays are those of the shop (SHOP_TIME_ZONE). Safe beside the projection, and beside a rebuild of the view. What the\n' +
      'orders contribute is taken as it is; where that is wrong, `npm run views:rebuild -- sales` makes it anew.\n' +
      'Works on VIEWS_DATABASE_URL, or else on the system that `npm start` runs.\n\n' +
      'Exit codes: 0 when every sum was right or is now, 1 when a dry run found differences, 2 when it could not look\n' +
      'everywhere.',
  )
  // A mistyped command has looked at nothing, and must not read as a difference.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main({ from, to, dryRun, json }: Options): Promise<void> {
  mustBeDays({ '--from': from, '--to': to });
  const progress = progressLine(process.stderr);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  try {
    const settings = readConfig();
    const config = withEndpoints(settings, findEndpoints(settings.dataDir));
    const views = openViews(databaseUrl(config, 'views'), { poolSize: 1 });
    try {
      const last = to ?? (await shopToday(views, config.shopTimeZone));
      const range = { from: from ?? daysBefore(last, USUAL_DAYS - 1), to: last };
      mustBeRange(range);
      let named = 0;
      const result = await recomputeSales(views, range, {
        ...{ dryRun, signal: stopping.signal, onDay: progress.say },
        onDifferences(differences) {
          progress.clear();
          if (json) return;
          if (named === 0) say(HEADER);
          named += differences.length;
          for (const difference of differences) say(lineOf(difference));
        },
      });
      progress.clear();
      say(json ? JSON.stringify(result, null, 2) : verdictOf(result));
      process.exitCode = dryRun && result.differences.length > 0 ? 1 : 0;
    } finally {
      await views.$disconnect();
    }
  } catch (error) {
    progress.clear();
    const why = stopping.signal.aborted ? 'stopped; what was repaired is repaired, run it again' : whyNot(error);
    process.stderr.write(`sales:recompute: ${why}\n`);
    process.exitCode = 2;
  }
}

function mustBeDays(given: Readonly<Record<string, string | undefined>>): void {
  for (const [option, value] of Object.entries(given)) {
    if (value !== undefined && !isDay(value))
      program.error(`error: ${option} must be a day such as 2026-11-22: ${value}`);
  }
}

function mustBeRange(range: DayRange): void {
  const days = daysBetween(range);
  if (days < 1) program.error(`error: --from ${range.from} is after --to ${range.to}`);
  if (days > MOST_DAYS) program.error(`error: ${days} days are asked for; at most ${MOST_DAYS} at once`);
}

/** @throws what nobody expected, with its stack */
function whyNot(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (!isDatabaseOutage(error) && sqlStateOf(error) === undefined) throw error;
  return `${databaseReasonOf(error)}; what was repaired is repaired, run it again`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
