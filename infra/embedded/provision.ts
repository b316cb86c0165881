import { createHmac } from 'node:crypto';

import pg from 'pg';

import { type DatabaseName, DATABASES } from '../config.ts';
import { migrateDatabase, type Report } from '../migrate.ts';

/** Names of the databases on one server: those of the source document, and the two it does not know. */
export const DATABASE_NAMES: Readonly<Record<DatabaseName, string>> = {
  platform: 'db_platform',
  order: 'db_order',
  payment: 'db_payment',
  views: 'db_materialized_view',
  bus: 'db_event_bus',
  gateway: 'db_gateway',
};

/** Owns the databases and their tables and may make the service roles. No service logs in as this one. */
export const MIGRATOR = 'commerce_migrator';

/** The role that the service of a database logs in as. It owns nothing. */
export const serviceRole = (name: DatabaseName): string => `commerce_${name}`;

/** Any number: two provisioners of one server take turns. */
const LOCK_KEY = 20_261_124;

/** Above the limits that the pools of infra/databases.ts set, so that these catch only what escaped those. */
const IDLE_IN_TRANSACTION_TIMEOUT = '15s';
/** A long transaction holds back vacuum and every reader below the oldest snapshot. */
const TRANSACTION_TIMEOUT = '60s';

/**
 * Makes the migrator, the databases and the service roles where they are missing, and migrates. Repeat-safe; two at
 * once take turns.
 *
 * Passwords are derived from the superuser's: nothing more has to be kept, and a restart does not change a URL.
 *
 * @param adminUrl of a superuser, with its password
 * @returns for each database the URL of its service's role
 * @throws MigrationError when a migration fails
 */
export async function provisionDatabases(
  adminUrl: string,
  report: Report = () => undefined,
  names = DATABASE_NAMES,
): Promise<Record<DatabaseName, string>> {
  const urlOf = urlsOn(adminUrl);
  return withClient(adminUrl, async (admin) => {
    await admin.query('select pg_advisory_lock($1)', [LOCK_KEY]);
    await giveLogin(admin, MIGRATOR, passwordIn(urlOf(MIGRATOR, 'postgres')), 'createrole');

    const { rows } = await admin.query<{ datname: string }>('select datname from pg_database');
    const present = new Set(rows.map(({ datname }) => datname));
    for (const name of DATABASES) {
      if (!present.has(names[name])) {
        await admin.query(`create database ${admin.escapeIdentifier(names[name])} owner ${MIGRATOR}`);
        report(`${names[name]}: created`);
      }
      await migrateDatabase(name, urlOf(MIGRATOR, names[name]), report);
    }

    const urls = Object.fromEntries(DATABASES.map((name) => [name, urlOf(serviceRole(name), names[name])]));
    for (const name of DATABASES) await openServiceRole(admin, serviceRole(name), passwordIn(urls[name] ?? ''));
    return urls as Record<DatabaseName, string>;
  });
}

/**
 * Who logs in how on the server of a superuser.
 *
 * @throws Error when the superuser's URL has no password to derive others from
 */
export function urlsOn(adminUrl: string): (role: string, database: string) => string {
  const secret = decodeURIComponent(new URL(adminUrl).password);
  if (secret === '') throw new Error('The URL of the superuser has no password to derive the others from.');
  return (role, database) => {
    const url = new URL(adminUrl);
    url.username = role;
    url.password = createHmac('sha256', secret).update(`commerce-saga role ${role}`).digest('hex');
    url.pathname = `/${database}`;
    return url.href;
  };
}

const passwordIn = (url: string): string => new URL(url).password;

/** The migrations make the service roles without a login; here they get one, and the limits of last resort. */
async function openServiceRole(admin: pg.Client, role: string, password: string): Promise<void> {
  await giveLogin(admin, role, password, 'nocreaterole');
  await admin.query(
    `alter role ${role} set idle_in_transaction_session_timeout = '${IDLE_IN_TRANSACTION_TIMEOUT}';
     alter role ${role} set transaction_timeout = '${TRANSACTION_TIMEOUT}'`,
  );
}

async function giveLogin(admin: pg.Client, role: string, password: string, more: string): Promise<void> {
  const { rowCount } = await admin.query('select from pg_roles where rolname = $1', [role]);
  const verb = rowCount === 0 ? 'create' : 'alter';
  await admin.query(
    `${verb} role ${role} login nosuperuser nocreatedb nobypassrls ${more} password ${admin.escapeLiteral(password)}`,
  );
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
