import { createHmac } from 'node:crypto';

import { type DatabaseName, DATABASES } from '../config.ts';
import type { Report } from '../migrate.ts';
import { provisionServer, serviceRole } from '../provision.ts';

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

/**
 * Makes the migrator, the databases and the service roles where they are missing, and migrates. Repeat-safe; two at
 * once take turns.
 *
 * A migration that failed earlier runs once more: it left nothing behind, and nobody else could ask for it, because the
 * migrator's password is known here alone.
 *
 * Passwords are derived from the superuser's: nothing more has to be kept, and a restart does not change a URL.
 *
 * @param adminUrl of a superuser, with its password
 * @returns for each database the URL of its service's role
 * @throws MigrationError when a migration fails
 */
export async function provisionDatabases(
  adminUrl: string,
  report?: Report,
  names = DATABASE_NAMES,
): Promise<Record<DatabaseName, string>> {
  const urlOf = urlsOn(adminUrl);
  const targets = DATABASES.map((name) => ({
    name,
    migrationUrl: urlOf(MIGRATOR, names[name]),
    serviceUrl: urlOf(serviceRole(name), names[name]),
  }));
  await provisionServer(adminUrl, targets, report, { retryFailed: true });
  return Object.fromEntries(targets.map(({ name, serviceUrl }) => [name, serviceUrl])) as Record<DatabaseName, string>;
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
