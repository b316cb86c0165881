import { Command, InvalidArgumentError } from 'commander';

import { EVENT_SOURCES, EVENT_TYPES, type EventSource, sourceUri } from '../events/catalogue.ts';
import { cannotRead } from '../infra/audit/snapshot.ts';
import { ConfigError, databaseUrl, readConfig } from '../infra/config.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { progressLine } from './audit/progress.ts';
import { CannotWrite, type Output, toNewFile, toResumedFile, toStream } from './events-export/output.ts';
import { exportPages } from './events-export/read.ts';
import { StillOpen } from './events-export/settled.ts';

type Options = Readonly<{
  from?: string;
  type?: readonly string[];
  after?: string;
  out?: string;
  resume: boolean;
}>;

const program = new Command('npm run events:export --')
  .description('Writes the stored events of one service, a line of JSON each: { "cursor", "event" }. Reads only.')
  .argument('<service>', `one of ${EVENT_SOURCES.join(', ')}`, service)
  .option('--from <instant>', 'only events made then or later, for example 2026-11-01T00:00:00Z', instant)
  .option('--type <types>', 'only these types, with commas between them', types)
  .option('--after <cursor>', 'only what comes after this cursor of an earlier export', cursor)
  .option('--out <file>', 'a file instead of the standard output')
  .option('--resume', 'go on with the file of --out after its last whole line', false)
  .addHelpText(
    'after',
    '\nEvents come in the order in which each aggregate made them. Personal fields stay as they are stored.\n' +
      "Works on the service's own *_DATABASE_URL or else on the system that `npm start` runs.\n" +
      'The last line on the standard error says how many events there were, and the cursor to go on after.\n' +
      'Exit codes: 0 when everything was written, 2 when it was not.',
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main(name: EventSource, options: Options): Promise<void> {
  const progress = progressLine(process.stderr);
  const say = (line: string): void => {
    progress.clear();
    process.stderr.write(`events:export: ${line}\n`);
  };
  let url = '';
  try {
    const given = readConfig();
    url = databaseUrl(withEndpoints(given, findEndpoints(given.dataDir)), name);
    const { output, after } = await outputOf(name, options);
    let count = 0;
    let upTo = after;
    for await (const page of exportPages(url, { after, from: options.from ?? null, types: options.type ?? null })) {
      if (page.events.length > 0) await output.write(page.events.map((one) => `${JSON.stringify(one)}\n`).join(''));
      count += page.events.length;
      ({ upTo } = page);
      progress.say(`${count} events, up to cursor ${upTo}`);
    }
    await output.end();
    say(`${count} events of ${name}; go on with --after ${upTo ?? 0}`);
  } catch (error) {
    progress.clear();
    if (url === '' && !(error instanceof ConfigError)) throw error;
    say(reasonOf(error, name, url));
    process.exitCode = 2;
  }
}

/** Where it goes, and where it begins. */
async function outputOf(
  name: EventSource,
  { out, resume, after }: Options,
): Promise<{ output: Output; after: string | null }> {
  if (resume && out === undefined) throw new CannotWrite('--resume needs the file: add --out');
  if (resume && after !== undefined) throw new CannotWrite('--resume finds the cursor itself: leave --after out');
  if (out === undefined) return { output: toStream(process.stdout), after: after ?? null };
  return resume ? toResumedFile(out, sourceUri(name)) : { output: toNewFile(out), after: after ?? null };
}

function reasonOf(error: unknown, name: EventSource, url: string): string {
  if (error instanceof CannotWrite || error instanceof StillOpen || error instanceof ConfigError) return error.message;
  return cannotRead(name, url, error).message;
}

function service(text: string): EventSource {
  const known = EVENT_SOURCES.find((name) => name === text);
  if (known === undefined) throw new InvalidArgumentError(`there are ${EVENT_SOURCES.join(', ')}.`);
  return known;
}

function instant(text: string): string {
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(Date.parse(text))) {
    throw new InvalidArgumentError('write it as 2026-11-01T00:00:00Z.');
  }
  return new Date(text).toISOString();
}

function types(text: string): string[] {
  const asked = text.split(',').map((part) => part.trim());
  const unknown = asked.filter((type) => !Object.hasOwn(EVENT_TYPES, type));
  if (unknown.length > 0) throw new InvalidArgumentError(`${unknown.join(', ')}: no such type.`);
  return asked;
}

function cursor(text: string): string {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('a cursor is a whole number.');
  return text;
}
