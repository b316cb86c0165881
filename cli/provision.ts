import { Argument, Command } from 'commander';

import { type Config, type DatabaseName, DATABASES } from '../infra/config.ts';
import { MigrationError } from '../infra/migrate.ts';
import { configOrExit } from '../infra/process.ts';
import { ProvisionError, provisionServer, type ProvisionTarget } from '../infra/provision.ts';
import { seedPlatform } from '../prisma/seed.ts';
import { reasonOf } from './reason.ts';

const program = new Command('npm run provision --')
  .description('Makes databases and roles where they are missing, sets the passwords of the roles, and migrates.')
  .addArgument(new Argument('[name...]', 'which databases; all that have both URLs by default').choices(DATABASES))
  .option('--seed', 'then fill an empty platform with the development catalogue; not in production', false)
  .addHelpText(
    'after',
    `
Works as ADMIN_DATABASE_URL, a role that may make roles and databases. Each database is described by
<NAME>_MIGRATION_URL, the role that shall own its tables, and <NAME>_DATABASE_URL, the role commerce_<name> of its
service; their passwords are what the roles are given. Repeat-safe.`,
  )
  .action(main);
await program.parseAsync();

async function main(asked: DatabaseName[], { seed }: Readonly<{ seed: boolean }>): Promise<void> {
  const config = configOrExit();
  if (config.adminUrl === undefined) return fail('ADMIN_DATABASE_URL is not set: who may make roles and databases?');
  if (seed && config.mode === 'production') return fail('--seed is for development: an empty shop stays empty.');
  try {
    const targets = targetsOf(config, asked);
    await provisionServer(config.adminUrl, targets, say);
    say(`provisioned: ${targets.map(({ name }) => name).join(', ')}`);
    const platform = targets.find(({ name }) => name === 'platform');
    if (!seed || platform === undefined) return;
    const { seeded } = await seedPlatform(platform.serviceUrl, say);
    if (!seeded) say('The platform holds data already, so it was not seeded.');
  } catch (error) {
    const ours = error instanceof ProvisionError || error instanceof MigrationError;
    return fail(ours ? error.message : reasonOf(error));
  }
}

/** @throws ProvisionError for a database that lacks a URL */
function targetsOf({ migrationUrls, databaseUrls }: Config, asked: readonly DatabaseName[]): ProvisionTarget[] {
  const named = DATABASES.filter((name) => databaseUrls[name] !== undefined);
  const names = asked.length > 0 ? asked : named;
  if (names.length === 0)
    throw new ProvisionError('No database has a URL: set <NAME>_MIGRATION_URL and <NAME>_DATABASE_URL.');
  return names.map((name) => {
    const [migrationUrl, serviceUrl] = [migrationUrls[name], databaseUrls[name]];
    if (migrationUrl !== undefined && serviceUrl !== undefined) return { name, migrationUrl, serviceUrl };
    throw new ProvisionError(
      `${name}: set ${name.toUpperCase()}_MIGRATION_URL and ${name.toUpperCase()}_DATABASE_URL.`,
    );
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(line: string): void {
  process.stderr.write(`provision: ${line}\n`);
  process.exitCode = 1;
}
