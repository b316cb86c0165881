import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import type { Config, DatabaseName } from '../../config.ts';
import { migrateDatabase } from '../../migrate.ts';
import { openTemporal, temporalSettings } from '../../temporal.ts';
import { startPostgres } from '../postgres.ts';
import { choosePlace } from '../postgres-place.ts';
import { provisionDatabases } from '../provision.ts';
import { startTemporal } from '../temporal-server.ts';
import { codecEndpoint } from './apps.ts';
import { type DatabaseUrls, EMBEDDED_NAMESPACE } from './environment.ts';
import type { System } from './system.ts';
import { watchedServer } from './watched-server.ts';

/** Beyond the servers' own limits for a clean end, milliseconds. */
const POSTGRES_STOP_LIMIT_MS = 45_000;
const TEMPORAL_STOP_LIMIT_MS = 20_000;
const TEMPORAL_ANSWER_LIMIT_MS = 10_000;

type Report = (line: string) => void;

const postgresDir = ({ dataDir }: Pick<Config, 'dataDir'>) => join(dataDir, 'postgres');
const temporalFile = ({ dataDir }: Pick<Config, 'dataDir'>) => join(dataDir, 'temporal', 'temporal.db');

/** Starts the embedded PostgreSQL; later starts use the port of the first. @returns URL of its superuser */
export async function startEmbeddedPostgres(system: System, report: Report): Promise<string> {
  let port = system.config.ports.postgres;
  let log = report;
  let adminUrl = '';
  await system.keep('postgres', POSTGRES_STOP_LIMIT_MS, async () => {
    const server = await startPostgres({ dataDir: postgresDir(system.config), port, log });
    ({ port, adminUrl } = server);
    log = system.say; // from now on nobody looks at the steps of the start
    return watchedServer(server, `postgresql://127.0.0.1:${server.port}`, 'SIGQUIT');
  });
  return adminUrl;
}

/** Makes databases and roles where they are missing and migrates. Repeat-safe. @returns URLs of the service roles */
export async function prepareEmbeddedDatabases(adminUrl: string, report: Report): Promise<DatabaseUrls> {
  return provisionDatabases(adminUrl, report);
}

/** Migrates the databases that the environment names. @throws MigrationError naming the database and the reason */
export async function prepareExternalDatabases(
  config: Config,
  urls: DatabaseUrls,
  report: Report,
): Promise<DatabaseUrls> {
  for (const name of Object.keys(urls) as DatabaseName[]) {
    const url = config.migrationUrls[name];
    if (urls[name] !== undefined && url !== undefined) await migrateDatabase(name, url, report);
  }
  return urls;
}

/** Starts the embedded Temporal; later starts use the ports and the file of the first. */
export async function startEmbeddedTemporal(system: System, cliPath: string, report: Report): Promise<void> {
  const { config, found } = system;
  let { temporal: port, temporalUi: uiPort } = config.ports;
  const codec = await codecEndpoint(system);
  let log = report;
  await system.keep('temporal', TEMPORAL_STOP_LIMIT_MS, async () => {
    const server = await startTemporal({
      cliPath,
      dbFile: temporalFile(config),
      port,
      uiPort,
      codecEndpoint: codec,
      log,
    });
    found.temporal = {
      embeddedAddress: server.address,
      ...(server.uiUrl === undefined ? {} : { uiUrl: server.uiUrl }),
    };
    port = portOf(server.address);
    uiPort = server.uiUrl === undefined ? uiPort : Number(new URL(server.uiUrl).port);
    log = system.say;
    return watchedServer(server, server.address, 'SIGKILL');
  });
}

/** Where Temporal is and which namespace we use there. */
export function temporalPlace({ found, config }: System): { address: string; namespace: string; ui?: string } {
  const { embeddedAddress, uiUrl = config.temporalUiUrl } = found.temporal;
  const ui = uiUrl === undefined ? {} : { ui: uiUrl };
  if (embeddedAddress !== undefined) return { address: embeddedAddress, namespace: EMBEDDED_NAMESPACE, ...ui };
  const { connectionOptions, namespace } = temporalSettings();
  return { address: connectionOptions.address ?? '', namespace, ...ui };
}

/** @throws Error with the address when the Temporal that the environment names does not answer in time */
export async function checkExternalTemporal(system: System): Promise<void> {
  const { address } = temporalPlace(system);
  const { connection } = openTemporal({}); // nothing is read or written
  try {
    await connection.withDeadline(Date.now() + TEMPORAL_ANSWER_LIMIT_MS, () => connection.ensureConnected());
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Temporal at ${address} (TEMPORAL_ADDRESS) does not answer: ${why}`, { cause: error });
  } finally {
    await connection.close();
  }
}

/** Words in the command lines of servers on our data, for `endLeftovers`. */
export async function serverMarks(config: Config): Promise<Record<'postgres' | 'temporal', readonly string[]>> {
  return { postgres: [`-D ${await clusterDir(config)} `], temporal: ['start-dev', temporalFile(config)] };
}

/** Deletes PostgreSQL's data also where they could not be below DATA_DIR. No server may run on them. */
export async function deleteCluster(config: Config): Promise<void> {
  rmSync(await clusterDir(config), { recursive: true, force: true });
}

async function clusterDir(config: Config): Promise<string> {
  const dir = postgresDir(config);
  return existsSync(dir) ? (await choosePlace(dir)).clusterDir : join(dir, 'cluster');
}

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));
