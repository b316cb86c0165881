import { join } from 'node:path';

import { type Config, ConfigError, type DatabaseName, DATABASES } from '../../config.ts';
import { NO_PROFILE } from '../../endpoints.ts';
import { inheritedEnvironment } from '../../inherited-environment.ts';

export type DatabaseUrls = Readonly<Partial<Record<DatabaseName, string>>>;

/** Where a Temporal server is, for the processes that use it. */
export type TemporalPlace = Readonly<{
  /** Absent for an external server: its address stays in the environment, with all that belongs to it. */
  embeddedAddress?: string;
  uiUrl?: string;
}>;

/**
 * The databases that the environment names: all that are needed, or none.
 *
 * @returns undefined when none is set, so that the embedded PostgreSQL is wanted
 * @throws ConfigError naming those that are missing when only some are set
 */
export function externalDatabases(config: Config): Readonly<Record<DatabaseName, string | undefined>> | undefined {
  const urls = config.databaseUrls;
  if (DATABASES.every((name) => urls[name] === undefined)) return undefined;
  const simulated = config.paymentProvider === 'simulated' && config.gatewayUrl === undefined;
  const needed = DATABASES.filter((name) => name !== 'gateway' || simulated);
  const missing = needed.filter((name) => urls[name] === undefined).map(variableOf);
  if (missing.length === 0) return urls;
  const given = DATABASES.filter((name) => urls[name] !== undefined).map(variableOf);
  throw new ConfigError(
    `${given.join(', ')} set, but not ${missing.join(', ')}: set all of them, or none to use the embedded PostgreSQL.`,
  );
}

/**
 * The environment of one of our processes: what everybody inherits, and the credentials of its own databases alone.
 *
 * @param own databases that this process works on
 * @throws ConfigError when one of them has no URL
 */
export function partEnvironment(
  config: Config,
  { databases, temporal }: Readonly<{ databases: DatabaseUrls; temporal: TemporalPlace }>,
  own: readonly DatabaseName[],
  more: Readonly<Record<string, string>>,
): Record<string, string> {
  const credentials = own.map((name) => {
    const url = databases[name];
    if (url === undefined) throw new ConfigError(`${variableOf(name)} is not set.`);
    return [variableOf(name), url] as const;
  });
  return {
    ...withTemporal(inheritedEnvironment(), temporal, config),
    DATA_DIR: config.dataDir,
    HOST: config.host,
    OTEL_EXPORTER_OTLP_HEADERS: config.tracing.headers ?? '',
    ...Object.fromEntries(credentials),
    ...more,
  };
}

/** Temporal's standard environment. For the embedded server the user's own profile must not add TLS or a key. */
function withTemporal(
  inherited: Record<string, string>,
  { embeddedAddress, uiUrl }: TemporalPlace,
  { dataDir }: Config,
) {
  const ui: Record<string, string> = uiUrl === undefined ? {} : { TEMPORAL_UI_URL: uiUrl };
  if (embeddedAddress === undefined) return { ...inherited, ...ui };
  const others = Object.entries(inherited).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return {
    ...Object.fromEntries(others),
    ...ui,
    TEMPORAL_ADDRESS: embeddedAddress,
    TEMPORAL_NAMESPACE: EMBEDDED_NAMESPACE,
    TEMPORAL_CONFIG_FILE: join(dataDir, NO_PROFILE),
  };
}

export const EMBEDDED_NAMESPACE = 'default';

const variableOf = (name: DatabaseName): string => `${name.toUpperCase()}_DATABASE_URL`;
