import pg from 'pg';

import type { DatabaseName } from './config.ts';
import { migrateDatabase, type MigrateOptions, type Report } from './migrate.ts';

/** A database to provision: who owns it, and who works on it, each with the password that the role is given. */
export type ProvisionTarget = Readonly<{ name: DatabaseName; migrationUrl: string; serviceUrl: string }>;

/** The role that the service of a database logs in as. It owns nothing; the migrations grant what it may do. */
export const serviceRole = (name: DatabaseName): string => `commerce_${name}`;

/** Any number: two provisioners of one server take turns. */
const LOCK_KEY = 20_261_124;

/** Above the limits that the pools of infra/databases.ts set, so that these catch only what escaped those. */
const IDLE_IN_TRANSACTION_TIMEOUT = '15s';
/** A long transaction holds back vacuum and every reader below the oldest snapshot. */
const TRANSACTION_TIMEOUT = '60s';

/** Thrown for URLs that do not fit together, before anything is changed. Its message says what to correct. */
export class ProvisionError extends Error {}

/**
 * Makes the migrators, the service roles and the databases where they are missing, gives the roles the passwords of
 * their URLs, and migrates. Repeat-safe; two at once take turns.
 *
 * @param adminUrl of a superuser, or of a role that may make roles and databases, as managed servers give one
 * @param options of every migration
 * @throws ProvisionError when the URLs do not fit together
 * @throws MigrationError when a migration fails
 */
export async function provisionServer(
  adminUrl: string,
  targets: readonly ProvisionTarget[],
  report: Report = () => undefined,
  options: MigrateOptions = {},
): Promise<void> {
  const problems = targets.flatMap((target) => problemsOf(target, new URL(adminUrl)));
  if (problems.length > 0) throw new ProvisionError(problems.join('\n'));
  const migrators = passwords(targets.map(({ migrationUrl }) => migrationUrl));
  const services = passwords(targets.map(({ serviceUrl }) => serviceUrl));

  await withClient(adminUrl, async (admin) => {
    await admin.query('select pg_advisory_lock($1)', [LOCK_KEY]);
    const isSuperuser = await superuser(admin);
    for (const [role, password] of migrators) {
      await giveLogin(admin, role, password, { createRole: true, isSuperuser });
      // Whoever is no superuser gives a database away only to a role that it could become itself.
      if (!isSuperuser) await admin.query(`grant ${admin.escapeIdentifier(role)} to current_user`);
    }
    // Before the migrations, which make them otherwise: on a managed server a role is managed by whoever made it.
    for (const [role, password] of services) await openServiceRole(admin, role, password, isSuperuser);

    const { rows } = await admin.query<{ datname: string }>('select datname from pg_database');
    const present = new Set(rows.map(({ datname }) => datname));
    for (const { name, migrationUrl } of targets) {
      const database = databaseIn(migrationUrl);
      if (!present.has(database)) {
        const owner = admin.escapeIdentifier(userIn(migrationUrl));
        await admin.query(`create database ${admin.escapeIdentifier(database)} owner ${owner}`);
        report(`${database}: created`);
      }
      await migrateDatabase(name, migrationUrl, report, options);
    }
  });
}

function problemsOf({ name, migrationUrl, serviceUrl }: ProvisionTarget, admin: URL): string[] {
  const variable = name.toUpperCase();
  const [migration, service] = [new URL(migrationUrl), new URL(serviceUrl)];
  const wrong: [boolean, string][] = [
    [service.username !== serviceRole(name), `${variable}_DATABASE_URL must be of the role ${serviceRole(name)}`],
    [service.pathname !== migration.pathname, `${variable}_MIGRATION_URL names another database than its service's`],
    [
      migration.username === service.username,
      `${variable}_MIGRATION_URL needs a role of its own, which owns the tables`,
    ],
    [migration.username === admin.username, `${variable}_MIGRATION_URL must not be of the administrator`],
    [service.password === '' || migration.password === '', `the URLs of ${name} need the passwords to give`],
    [
      service.host !== admin.host || migration.host !== admin.host,
      `the URLs of ${name} name another server than ADMIN_DATABASE_URL: provision each server by itself, by name`,
    ],
  ];
  return wrong.filter(([is]) => is).map(([, text]) => `${name}: ${text}.`);
}

/** Each role with its password. @throws ProvisionError when a role has two */
function passwords(urls: readonly string[]): Map<string, string> {
  const known = new Map<string, string>();
  for (const url of urls) {
    const [user, password] = [userIn(url), decodeURIComponent(new URL(url).password)];
    if ((known.get(user) ?? password) !== password) throw new ProvisionError(`${user} has two passwords in the URLs.`);
    known.set(user, password);
  }
  return known;
}

const userIn = (url: string): string => decodeURIComponent(new URL(url).username);
const databaseIn = (url: string): string => decodeURIComponent(new URL(url).pathname.slice(1));

/** The limits are those of last resort. */
async function openServiceRole(admin: pg.Client, role: string, password: string, isSuperuser: boolean): Promise<void> {
  await giveLogin(admin, role, password, { createRole: false, isSuperuser });
  await admin.query(
    `alter role ${role} set idle_in_transaction_session_timeout = '${IDLE_IN_TRANSACTION_TIMEOUT}';
     alter role ${role} set transaction_timeout = '${TRANSACTION_TIMEOUT}'`,
  );
}

type Login = Readonly<{ createRole: boolean; isSuperuser: boolean }>;

async function giveLogin(
  admin: pg.Client,
  role: string,
  password: string,
  { createRole, isSuperuser }: Login,
): Promise<void> {
  const { rowCount } = await admin.query('select from pg_roles where rolname = $1', [role]);
  const verb = rowCount === 0 ? 'create' : 'alter';
  const may = createRole ? 'createrole' : 'nocreaterole';
  // Only a superuser may as much as mention the others; a role that is new does not have them anyway.
  const mayNot = isSuperuser ? 'nosuperuser nocreatedb nobypassrls' : '';
  const secret = admin.escapeLiteral(password);
  await admin.query(`${verb} role ${admin.escapeIdentifier(role)} login ${mayNot} ${may} password ${secret}`);
}

async function superuser(admin: pg.Client): Promise<boolean> {
  const { rows } = await admin.query<{ is: boolean }>(
    'select rolsuper as is from pg_roles where rolname = current_user',
  );
  return rows[0]?.is === true;
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  // Without a listener a lost connection ends the process; the next statement fails and tells whoever asked.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
