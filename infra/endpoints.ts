import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import type { Config } from './config.ts';

const FILE = 'endpoints.json';

/** A name that no file has: Temporal's libraries take a missing configuration file for an empty one. */
export const NO_PROFILE = 'no-temporal-profile.toml';

const endpointsSchema = z.object({
  /** Base URL of the HTTP API, without a slash at the end. */
  api: z.string(),
  /** The page that describes it. */
  docs: z.string().optional(),
  temporalAddress: z.string(),
  /** Absent where an external Temporal is used and nobody said where its web page is. */
  temporalUi: z.string().optional(),
  namespace: z.string(),
  /** The simulated payment gateway; absent with another provider. */
  gateway: z.string().optional(),
  /** Of the relays, for Prometheus. */
  metrics: z.string().optional(),
  /** Of the service roles: no superuser's. A database that is not used by this system is absent. */
  databases: z.object({
    platform: z.string(),
    order: z.string(),
    payment: z.string(),
    views: z.string(),
    bus: z.string(),
    gateway: z.string().optional(),
  }),
  /** Absent with an identity provider (`JWKS_URL`): only that can sign. */
  tokens: z.object({ customer: z.string(), otherCustomer: z.string(), admin: z.string() }).optional(),
  /** Process ids by name. `supervisor` is `npm start` itself; a part that runs elsewhere is absent. */
  pids: z.object({ supervisor: z.number().int().positive() }).catchall(z.number().int().positive()),
  /** ISO 8601. */
  startedAt: z.string(),
});

/** Where everything of the running system is: the content of `<DATA_DIR>/endpoints.json`. */
export type Endpoints = z.infer<typeof endpointsSchema>;

/** Thrown by commands that need the running system when there is none. Its message is one actionable line. */
export class NothingIsRunning extends Error {}

/** Replaces the file at once, so that a reader sees the old content or the new. Mode 0600: it holds tokens. */
export function writeEndpoints(dataDir: string, endpoints: Endpoints): void {
  const file = join(dataDir, FILE);
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(endpoints, null, 2)}\n`, { mode: 0o600 });
  chmodSync(draft, 0o600); // the mode above counts only for a file that is new
  renameSync(draft, file);
}

/** Removes the file. Repeating it does no harm. */
export function removeEndpoints(dataDir: string): void {
  rmSync(join(dataDir, FILE), { force: true });
}

/**
 * Where the running system is.
 *
 * @throws NothingIsRunning when there is no file, or the `npm start` that wrote it is gone
 */
export function readEndpoints(dataDir: string): Endpoints {
  const file = join(dataDir, FILE);
  if (!existsSync(file)) throw new NothingIsRunning(`Nothing is running on ${dataDir}: run \`npm start\` first.`);

  const parsed = endpointsSchema.safeParse(parseJson(readFileSync(file, 'utf8')));
  if (!parsed.success) {
    throw new NothingIsRunning(`${file} cannot be read (${z.prettifyError(parsed.error)}): run \`npm start\` again.`);
  }
  if (!isAlive(parsed.data.pids.supervisor)) {
    throw new NothingIsRunning(
      `Nothing is running on ${dataDir}: the \`npm start\` of ${parsed.data.startedAt} was killed. Run \`npm start\` again.`,
    );
  }
  return parsed.data;
}

/** As `readEndpoints`, but undefined when nothing is running. */
export function findEndpoints(dataDir: string): Endpoints | undefined {
  try {
    return readEndpoints(dataDir);
  } catch (error) {
    if (error instanceof NothingIsRunning) return undefined;
    throw error;
  }
}

/**
 * The settings of a command that works on the running system: what the environment does not set is taken from
 * `endpoints.json`, so that a command started beside `npm start` needs no settings at all.
 */
export function withEndpoints(config: Config, endpoints: Endpoints | undefined): Config {
  if (endpoints === undefined) return config;
  const databaseUrls = { ...config.databaseUrls };
  for (const [name, url] of Object.entries(endpoints.databases)) {
    const key = name as keyof typeof endpoints.databases;
    databaseUrls[key] ??= url;
  }
  return {
    ...config,
    databaseUrls,
    gatewayUrl: config.gatewayUrl ?? endpoints.gateway,
    temporalUiUrl: config.temporalUiUrl ?? endpoints.temporalUi,
  };
}

/**
 * Temporal's standard environment for the running system, as `overrideEnvVars` of `@temporalio/envconfig` takes it;
 * undefined when the caller's own environment names a server or nothing is running, so that the usual rules apply.
 */
export function temporalEnvironment(
  config: Pick<Config, 'externalTemporal' | 'dataDir'>,
  endpoints: Endpoints | undefined,
): Record<string, string> | undefined {
  if (config.externalTemporal || endpoints === undefined) return undefined;
  return {
    TEMPORAL_ADDRESS: endpoints.temporalAddress,
    TEMPORAL_NAMESPACE: endpoints.namespace,
    TEMPORAL_CONFIG_FILE: join(config.dataDir, NO_PROFILE), // the user's own profile must not add TLS or a key
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema then says what is wrong
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // somebody else's process is alive too
  }
}
