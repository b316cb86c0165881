import { Argument, Command } from 'commander';

import { type Config, type DatabaseName, DATABASES } from '../infra/config.ts';
import { migrateDatabase, MigrationError, migrationState } from '../infra/migrate.ts';
import { configOrExit } from '../infra/process.ts';
import { reasonOf } from './reason.ts';

type Options = Readonly<{ check: boolean; retryFailed: boolean }>;

const program = new Command('npm run migrate --')
  .description('Applies the migrations that the databases have not seen, one database after another.')
  .addArgument(new Argument('[name...]', 'which databases; all that have a URL by default').choices(DATABASES))
  .option('--check', 'only list what is pending, and exit with 1 when something is', false)
  .option('--retry-failed', 'run a migration that failed earlier once more', false)
  .addHelpText(
    'after',
    '\nEach database is reached by <NAME>_MIGRATION_URL, the role that owns the tables, or else <NAME>_DATABASE_URL.' +
      '\n`npm start` migrates the databases of its own PostgreSQL by itself.',
  )
  .action(main);
await program.parseAsync();

async function main(asked: DatabaseName[], options: Options): Promise<void> {
  const { migrationUrls } = configOrExit();
  const names = asked.length > 0 ? asked : DATABASES.filter((name) => migrationUrls[name] !== undefined);
  if (names.length === 0) return fail('No database has a URL. Set <NAME>_MIGRATION_URL or <NAME>_DATABASE_URL.');
  for (const name of names) {
    try {
      await (options.check
        ? check(name, urlOf(name, migrationUrls))
        : migrate(name, urlOf(name, migrationUrls), options));
    } catch (error) {
      // The others are not tried: what was deployed together is migrated in order.
      return fail(error instanceof MigrationError ? error.message : `${name}: ${reasonOf(error)}`);
    }
  }
}

async function migrate(name: DatabaseName, url: string, { retryFailed }: Options): Promise<void> {
  const applied = await migrateDatabase(name, url, say, { retryFailed });
  if (applied.length === 0) say(`${name}: up to date`);
}

async function check(name: DatabaseName, url: string): Promise<void> {
  const { pending, failed, edited } = await migrationState(name, url);
  const findings = [
    ...pending.map((migration) => `${migration} is pending`),
    ...failed.map((migration) => `${migration} failed earlier`),
    ...edited.map((migration) => `${migration} was changed after it had been applied`),
  ];
  for (const finding of findings) say(`${name}: ${finding}`);
  if (findings.length > 0) process.exitCode = 1;
  else say(`${name}: up to date`);
}

function urlOf(name: DatabaseName, urls: Config['migrationUrls']): string {
  const url = urls[name];
  if (url !== undefined) return url;
  const variable = name.toUpperCase();
  throw new MigrationError(`${name}: neither ${variable}_MIGRATION_URL nor ${variable}_DATABASE_URL is set.`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(line: string): void {
  process.stderr.write(`migrate: ${line}\n`);
  process.exitCode = 1;
}
