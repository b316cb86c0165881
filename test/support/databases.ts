import { randomBytes } from 'node:crypto';

import pg from 'pg';

import { type DatabaseName, DATABASES } from '../../infra/config.ts';
import { DATABASE_NAMES, MIGRATOR, provisionDatabases, urlsOn } from '../../infra/embedded/provision.ts';
import { serviceRole } from '../../infra/provision.ts';
import { seedPlatform } from '../../prisma/seed.ts';
import { postgresServer } from './servers.ts';

export type TestDatabases = Readonly<{
  /** Of the service roles, as in production. */
  urls: Record<DatabaseName, string>;
  /** The superuser's, for what a service may not do: looking into the catalogue, breaking things on purpose. */
  adminUrl: (name: DatabaseName) => string;
  /** Removes the databases and ends whoever is still connected. Close your own clients first. */
  drop: () => Promise<void>;
}>;

const SEEDED = 'template_platform_seeded';
const templateOf = (name: DatabaseName) => `template_${DATABASE_NAMES[name]}`;

let templates: Promise<void> | undefined;
let seededTemplate: Promise<void> | undefined;

/**
 * A set of migrated databases of one's own, copied from templates that are built once per mocha process.
 *
 * @param seed fill the platform with the development catalogue
 */
export async function freshDatabases({ seed = false } = {}): Promise<TestDatabases> {
  const { adminUrl } = await postgresServer();
  await (templates ??= buildTemplates(adminUrl));
  if (seed) await (seededTemplate ??= buildSeededTemplate(adminUrl));

  const suffix = randomBytes(5).toString('hex');
  const databaseOf = (name: DatabaseName) => `${DATABASE_NAMES[name]}_${suffix}`;
  await withAdmin(adminUrl, (admin) =>
    copy(
      admin,
      DATABASES.map((name) => ({
        name,
        template: seed && name === 'platform' ? SEEDED : templateOf(name),
        database: databaseOf(name),
      })),
    ),
  );

  const urlOf = urlsOn(adminUrl);
  return {
    urls: Object.fromEntries(
      DATABASES.map((name) => [name, urlOf(serviceRole(name), databaseOf(name))]),
    ) as TestDatabases['urls'],
    adminUrl: (name) => onDatabase(adminUrl, databaseOf(name)),
    drop: () =>
      withAdmin(adminUrl, async (admin) => {
        for (const name of DATABASES) await admin.query(`drop database if exists ${databaseOf(name)} with (force)`);
      }),
  };
}

/** An empty database with nothing of ours in it. @returns the superuser's URL, and how to remove it */
export async function scratchDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const { adminUrl } = await postgresServer();
  const database = `scratch_${randomBytes(5).toString('hex')}`;
  await query(adminUrl, `create database ${database}`);
  return {
    url: onDatabase(adminUrl, database),
    drop: async () => {
      await query(adminUrl, `drop database ${database} with (force)`);
    },
  };
}

/** Runs one statement on its own connection. @returns its rows */
export async function query<T extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<T[]> {
  return withAdmin(url, async (client) => (await client.query<T>(text, values)).rows);
}

async function buildTemplates(adminUrl: string): Promise<void> {
  const names = Object.fromEntries(DATABASES.map((name) => [name, templateOf(name)])) as typeof DATABASE_NAMES;
  await provisionDatabases(adminUrl, undefined, names);
}

async function buildSeededTemplate(adminUrl: string): Promise<void> {
  await withAdmin(adminUrl, (admin) =>
    copy(admin, [{ name: 'platform', template: templateOf('platform'), database: SEEDED }]),
  );
  await seedPlatform(urlsOn(adminUrl)(serviceRole('platform'), SEEDED));
}

type Copy = Readonly<{ name: DatabaseName; template: string; database: string }>;

/** The right to connect belongs to a database and is not copied with it. */
async function copy(admin: pg.Client, copies: readonly Copy[]): Promise<void> {
  for (const { template, database } of copies) {
    await admin.query(`create database ${database} template ${template} owner ${MIGRATOR}`);
  }
  const rights = copies.map(
    ({ name, database }) => `
      revoke all on database ${database} from public;
      grant connect on database ${database} to ${serviceRole(name)};`,
  );
  await admin.query(rights.join(''));
}

function onDatabase(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}

async function withAdmin<T>(url: string, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
