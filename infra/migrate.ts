import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { MigrationDirectory, MigrationList } from '@prisma/schema-engine-wasm';
import pg from 'pg';

import type { DatabaseName } from './config.ts';
import { type SchemaEngine, withSchemaEngine } from './schema-engine.ts';

const PRISMA_FOLDER = fileURLToPath(new URL('../prisma', import.meta.url));
const LOCK_WAIT_MS = 60_000;
const CONNECTION_TIMEOUT_MS = 5_000;
/** Any number that is not Prisma's own (72707369), which the engine takes on its connection while we hold ours. */
const LOCK_KEY = 20_261_123;
const NO_FILTERS = { externalTables: [], externalEnums: [] };

export type Report = (line: string) => void;

export type MigrateOptions = Readonly<{
  /** Folder of the migrations; the database's own by default. */
  folder?: string;
  /**
   * Runs a migration that failed before once more, as its file is now. It left nothing behind unless it holds its own
   * `commit`.
   */
  retryFailed?: boolean;
}>;

/** Thrown when the migrations of a database cannot be applied; the message names them and PostgreSQL's reason. */
export class MigrationError extends Error {}

/** Where a database stands against its folder of migrations. */
export type MigrationState = Readonly<{
  pending: readonly string[];
  failed: readonly string[];
  /** Applied, and changed since. One that failed may be corrected, so it is never among them. */
  edited: readonly string[];
}>;

/**
 * Applies the migrations that the database has not seen. Repeating it changes nothing. Two at once are safe: the second
 * waits for the first, up to a minute, and finds nothing left to do.
 *
 * @param url of the role that owns the tables, never of a service's role
 * @returns names of the migrations that were applied now, oldest first
 * @throws MigrationError when one failed, now or earlier, or was changed after it had been applied
 */
export async function migrateDatabase(
  name: DatabaseName,
  url: string,
  report: Report = () => undefined,
  { folder = folderOf(name), retryFailed = false }: MigrateOptions = {},
): Promise<string[]> {
  const migrationsList = await readMigrations(folder);
  return withLock(name, url, (client) =>
    withSchemaEngine(url, async (engine) => {
      const { failed, edited } = await stateOf(engine, migrationsList);
      if (edited.length > 0) {
        throw new MigrationError(
          `${name}: ${edited.join(', ')} was changed after it had been applied. Restore the file and write a new migration.`,
        );
      }
      if (failed.length > 0 && !retryFailed) throw await earlierFailure(name, client);
      for (const migrationName of failed) await engine.markMigrationRolledBack({ migrationName });

      const applied = await apply(name, client, engine, migrationsList);
      for (const migration of applied) report(`${name}: applied ${migration}`);
      return applied;
    }),
  );
}

/** Compares a database with its folder and changes nothing. */
export async function migrationState(
  name: DatabaseName,
  url: string,
  { folder = folderOf(name) }: MigrateOptions = {},
): Promise<MigrationState> {
  const migrationsList = await readMigrations(folder);
  return withSchemaEngine(url, (engine) => stateOf(engine, migrationsList));
}

const folderOf = (name: DatabaseName) => join(PRISMA_FOLDER, name, 'migrations');

async function stateOf(engine: SchemaEngine, migrationsList: MigrationList): Promise<MigrationState> {
  const found = await engine.diagnoseMigrationHistory({
    migrationsList,
    optInToShadowDatabase: false,
    filters: NO_FILTERS,
  });
  const { history } = found;
  const pending = history !== null && 'unappliedMigrationNames' in history ? history.unappliedMigrationNames : [];
  const failed = found.failedMigrationNames;
  return { pending, failed, edited: found.editedMigrationNames.filter((name) => !failed.includes(name)) };
}

async function apply(
  name: DatabaseName,
  client: pg.Client,
  engine: SchemaEngine,
  migrationsList: MigrationList,
): Promise<string[]> {
  try {
    const { appliedMigrationNames } = await engine.applyMigrations({ migrationsList, filters: NO_FILTERS });
    return appliedMigrationNames;
  } catch (error) {
    const [failed] = await unfinished(client);
    const where = failed === undefined ? name : `${name}: migration ${failed.migration} failed`;
    throw new MigrationError(`${where}: ${essence(String(error))}`, { cause: error });
  }
}

async function earlierFailure(name: DatabaseName, client: pg.Client): Promise<MigrationError> {
  const reasons = (await unfinished(client)).map(({ migration, logs }) => `${migration}: ${essence(logs)}`);
  return new MigrationError(
    `${name}: a migration failed earlier. Repair its cause, then \`npm run migrate -- --retry-failed\`.\n${reasons.join('\n')}`,
  );
}

async function unfinished(client: pg.Client): Promise<{ migration: string; logs: string }[]> {
  // The engine makes its table only where it may begin: not in a database that holds tables of somebody else.
  const { rowCount } = await client.query(`select where to_regclass('_prisma_migrations') is not null`);
  if (rowCount === 0) return [];
  const { rows } = await client.query<{ migration: string; logs: string }>(
    `select migration_name as migration, coalesce(logs, 'it was interrupted') as logs from _prisma_migrations
     where finished_at is null and rolled_back_at is null order by started_at`,
  );
  return rows;
}

/** What PostgreSQL said, without the engine's preface and its trace through its own sources. */
const essence = (message: string): string =>
  message
    .replace(/^[^]*external connector error\n(Error querying the database: )?/, '')
    .replace(/\n\s+0: [^]*$/, '')
    .trim();

/** Prisma's own lock gives up after ten seconds, less than a migration of a big table takes. */
async function withLock<T>(name: DatabaseName, url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECTION_TIMEOUT_MS });
  client.on('error', lostConnection);
  await client.connect();
  try {
    await client.query(`set lock_timeout = ${LOCK_WAIT_MS}`);
    await client.query('select pg_advisory_lock($1)', [LOCK_KEY]).catch((error: unknown) => {
      throw new MigrationError(`${name}: another process has been migrating for ${LOCK_WAIT_MS} ms`, { cause: error });
    });
    return await work(client);
  } finally {
    // Ending the session gives the lock back, also when the server has already ended it.
    await client.end();
  }
}

/** Without a listener a lost connection ends the process; the statement that waits on it tells whoever asked. */
const lostConnection = (): void => undefined;

async function readMigrations(folder: string): Promise<MigrationList> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  return {
    baseDir: folder,
    lockfile: { path: 'migration_lock.toml', content: await readFile(join(folder, 'migration_lock.toml'), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: await Promise.all(names.map((name) => readMigration(folder, name))),
  };
}

async function readMigration(folder: string, name: string): Promise<MigrationDirectory> {
  const content = await readFile(join(folder, name, 'migration.sql'), 'utf8');
  return { path: name, migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: content } } };
}
