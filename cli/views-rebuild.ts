import { Command, Option } from 'commander';

import { ConfigError, readConfig } from '../infra/config.ts';
import { isDatabaseOutage, sqlStateOf } from '../infra/database-outage.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { HISTORY_SOURCES, type HistorySource } from '../projections/history.ts';
import { NoHistory } from '../projections/history-stream.ts';
import { AlreadyRebuilding } from '../projections/rebuild.ts';
import { TooManyLeftOut } from '../projections/rebuild-past.ts';
import { RebuildLost } from '../projections/rebuild-row.ts';
import { VIEW_NAMES, type ViewName } from '../projections/view.ts';
import { progressLine } from './audit/progress.ts';
import { reasonOf } from './reason.ts';
import { exitCodeOf, reportOf, stepLine } from './views-rebuild/report.ts';
import { rebuildViews } from './views-rebuild/run.ts';

type Options = Readonly<{
  from?: HistorySource;
  file: readonly string[];
  dryRun: boolean;
  restart: boolean;
  json: boolean;
}>;

const program = new Command('npm run views:rebuild --')
  .description('Builds views anew from the events while they serve, says what was different, and puts them in place.')
  .argument('[names...]', `one or more of ${VIEW_NAMES.join(', ')}; none means all`)
  .addOption(
    new Option('--from <place>', 'where the events come from; the log where it is whole, else the outboxes').choices(
      HISTORY_SOURCES,
    ),
  )
  .option('--file <files...>', 'with --from files: what npm run events:export has written, of every service', [])
  .option('--dry-run', 'compare alone: the live views stay as they are', false)
  .option('--restart', 'forget how far an earlier run was', false)
  .option('--json', 'print the reports as JSON', false)
  .addHelpText(
    'after',
    '\nWorks on VIEWS_DATABASE_URL with BUS_DATABASE_URL, or with PLATFORM_, ORDER_ and PAYMENT_DATABASE_URL, or else on\n' +
      'the system that `npm start` runs. Run it again when it was interrupted: it goes on where it was.\n\n' +
      'Exit codes: 0 when the views were put in place, or with --dry-run are right; 1 when a dry run found differences,\n' +
      'or the events that were read lack some that the live view has, which then stays; 2 when it could not look.',
  )
  // A mistyped command has looked at nothing, and must not read as a difference.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main(given: readonly string[], { from, file, json, ...how }: Options): Promise<void> {
  const names = chosen(given);
  const progress = progressLine(process.stderr);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  try {
    const settings = readConfig();
    const config = withEndpoints(settings, findEndpoints(settings.dataDir));
    const reports = rebuildViews(config, {
      ...{ ...how, names, from: from ?? (file.length > 0 ? 'files' : undefined), files: file },
      ...{ signal: stopping.signal, onStep: (step) => progress.say(stepLine(step)) },
    });
    for await (const report of reports) {
      progress.clear();
      process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${reportOf(report)}\n`);
      process.exitCode = Math.max(Number(process.exitCode ?? 0), exitCodeOf(report));
    }
  } catch (error) {
    progress.clear();
    const why = stopping.signal.aborted ? 'stopped; run it again to go on' : whyNot(error);
    process.stderr.write(`views:rebuild: ${why}\n`);
    process.exitCode = 2;
  }
}

/** @throws what nobody expected, with its stack */
function whyNot(error: unknown): string {
  const known = [ConfigError, NoHistory, AlreadyRebuilding, RebuildLost, TooManyLeftOut].some(
    (kind) => error instanceof kind,
  );
  if (known) return (error as Error).message;
  if (isDatabaseOutage(error) || sqlStateOf(error) !== undefined) {
    return `${reasonOf(error)}; the views are as they were, run it again to go on`;
  }
  throw error;
}

function chosen(given: readonly string[]): readonly ViewName[] {
  const unknown = given.filter((name) => !VIEW_NAMES.some((known) => known === name));
  if (unknown.length > 0) {
    program.error(`no such view: ${unknown.join(', ')}. There are: ${VIEW_NAMES.join(', ')}`);
  }
  return given.length === 0 ? VIEW_NAMES : VIEW_NAMES.filter((name) => given.includes(name));
}
