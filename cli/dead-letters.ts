import { userInfo } from 'node:os';

import { Command, InvalidArgumentError } from 'commander';

import { type Discard, discardLetter, LONGEST_BY, LONGEST_DISCARD_REASON } from '../events/bus/discard.ts';
import { listLetters, redrivableLetters, redriveLetter } from '../events/bus/redrive.ts';
import { ConfigError, databaseUrl, readConfig } from '../infra/config.ts';
import { isDatabaseOutage, sqlStateOf } from '../infra/database-outage.ts';
import { type Databases, openBus } from '../infra/databases.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { discardedReport, discardLine, listReport, redriveLine } from './dead-letters/report.ts';
import { databaseReasonOf } from './reason.ts';

type ListOptions = Readonly<{ group?: string; after?: string; limit: number; json: boolean; discarded: boolean }>;
type DiscardOptions = Readonly<{ reason: string; by?: string }>;
type RedriveOptions = Readonly<{ all: boolean; group?: string }>;

const LARGEST_ID = 2n ** 63n - 1n;
const LARGEST_PAGE = 10_000;

const program = new Command('npm run events:dead-letters --')
  .description('Shows the events that a consumer could not handle, lets it try them again, or gives one up.')
  .addHelpText(
    'after',
    '\nWorks on BUS_DATABASE_URL or else on the system that `npm start` runs, whichever bus carries the events.\n' +
      'Exit codes: 0 when there are none, or all were redriven or given up; 1 when there are some, or one could not be\n' +
      'redriven or given up; 2 when it could not look. Those that were given up count as none.',
  )
  // A mistyped command has looked at nothing, and must not read as something found.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
program
  .command('list', { isDefault: true })
  .description('the oldest ones first; the default')
  .option('--group <name>', 'only those of this consumer group')
  .option('--after <id>', 'only those after this one', idIn)
  .option('--limit <n>', 'most that are shown', limitIn, 100)
  .option('--discarded', 'those that were given up instead: by whom, when and why', false)
  .option('--json', 'print them as JSON, with the whole reason', false)
  .allowExcessArguments() // a mistyped command comes here: it is told what there is instead
  .action((options: ListOptions, { args: [unknown], parent }: Command) => {
    if (unknown !== undefined) parent?.error(`error: there is no command ${unknown}, only list, redrive and discard`);
    return onBus((databases) => list(databases, options));
  });
program
  .command('redrive')
  .description('gives all letters of a subject to its consumer again, in their order: any of their ids names them')
  .argument('[ids...]', 'ids of dead letters', (id: string, ids: string[] = []) => [...ids, idIn(id)])
  .option('--all', 'every subject that was not redriven yet', false)
  .option('--group <name>', 'with --all: only those of this consumer group')
  .action((ids: string[], options: RedriveOptions, command: Command) => {
    if (options.all === ids.length > 0) command.error('Give ids, or --all.');
    if (!options.all && options.group !== undefined) command.error('--group goes with --all.');
    return onBus((databases) => redrive(databases, ids, options));
  });
program
  .command('discard')
  .description(
    'gives events up for their group, for good; what waits behind them is tried again. The letters stay on record',
  )
  .argument('<ids...>', 'ids of letters that FAILED', (id: string, ids: string[] = []) => [...ids, idIn(id)])
  .requiredOption(
    '--reason <text>',
    `why, at most ${LONGEST_DISCARD_REASON} characters`,
    plainText(LONGEST_DISCARD_REASON),
  )
  .option('--by <name>', 'who decided so; without it the user of this machine', plainText(LONGEST_BY))
  .action((ids: string[], options: DiscardOptions, command: Command) => {
    const by = options.by ?? userName() ?? command.error('Say who decides so: --by <name>.');
    return onBus((databases) => discard(databases, ids, { by, reason: options.reason }));
  });
await program.parseAsync();

async function discard(databases: Pick<Databases, 'bus'>, ids: readonly string[], why: Discard): Promise<number> {
  let failed = false;
  for (const id of ids) {
    const discarded = await discardLetter(databases, id, why);
    say(discardLine(id, discarded));
    failed ||= discarded.result !== 'DISCARDED';
  }
  return failed ? 1 : 0;
}

async function list(databases: Pick<Databases, 'bus'>, { json, limit, ...asked }: ListOptions): Promise<number> {
  const found = await listLetters(databases, { ...asked, limit: limit + 1 });
  const letters = found.slice(0, limit);
  const report = asked.discarded ? discardedReport : listReport;
  say(json ? JSON.stringify(letters, null, 2) : report(letters, found.length > limit));
  return letters.length === 0 || asked.discarded ? 0 : 1;
}

async function redrive(
  databases: Pick<Databases, 'bus'>,
  ids: readonly string[],
  { all, group }: RedriveOptions,
): Promise<number> {
  const wanted = all ? await redrivableLetters(databases, group) : ids;
  let failed = false;
  for (const id of wanted) {
    const redriven = await redriveLetter(databases, id);
    say(redriveLine(id, redriven));
    // Somebody else's consumer may have come to one of all of them meanwhile: that is what was wanted.
    failed ||= !all && redriven.result !== 'REDRIVEN';
  }
  if (wanted.length === 0) say('dead letters: nothing to redrive');
  return failed ? 1 : 0;
}

async function onBus(work: (databases: Pick<Databases, 'bus'>) => Promise<number>): Promise<void> {
  try {
    const given = readConfig();
    const url = databaseUrl(withEndpoints(given, findEndpoints(given.dataDir)), 'bus');
    const bus = openBus(url, { poolSize: 1 });
    try {
      process.exitCode = await work({ bus });
    } finally {
      await bus.$disconnect();
    }
  } catch (error) {
    const known = error instanceof ConfigError || isDatabaseOutage(error) || sqlStateOf(error) !== undefined;
    if (!known) throw error;
    const fix = isDatabaseOutage(error) ? '. Start it, or correct BUS_DATABASE_URL.' : '';
    process.stderr.write(`events:dead-letters: ${databaseReasonOf(error)}${fix}\n`);
    process.exitCode = 2;
  }
}

function idIn(text: string): string {
  if (!/^[1-9]\d{0,18}$/.test(text) || BigInt(text) > LARGEST_ID) throw new InvalidArgumentError('It is not an id.');
  return text;
}

function limitIn(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LARGEST_PAGE) return limit;
  throw new InvalidArgumentError(`It must be 1 to ${LARGEST_PAGE}.`);
}

function plainText(longest: number): (text: string) => string {
  return (text) => {
    const trimmed = text.trim();
    if (trimmed === '') throw new InvalidArgumentError('It must not be empty.');
    if (trimmed.length > longest) throw new InvalidArgumentError(`It must have ${longest} characters at most.`);
    if (/[\p{Cc}\p{Cs}]/u.test(trimmed)) throw new InvalidArgumentError('It must be text without control characters.');
    return trimmed;
  };
}

/** A container may run under an id that has no name. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SYSTEM_ERROR') return undefined;
    throw error;
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
