import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';

import { audit, type Audited } from '../../infra/audit/audit.ts';
import type { EventTopics } from '../../infra/audit/events-on-kafka.ts';
import { INVARIANT_IDS, type InvariantId } from '../../infra/audit/finding.ts';
import { CannotLook } from '../../infra/audit/snapshot.ts';
import { temporalWorkflows } from '../../infra/audit/workflows.ts';
import { type Config, ConfigError } from '../../infra/config.ts';
import { findEndpoints, temporalEnvironment, withEndpoints } from '../../infra/endpoints.ts';
import type { KafkaSettings } from '../../infra/kafka-settings.ts';
import type { GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { openGatewayLedger } from '../../infra/payment-gateway/providers.ts';

export type SystemAuditOptions = Readonly<{
  only?: readonly InvariantId[];
  /** False: Temporal is not asked. */
  temporal?: boolean;
  say?: (what: string) => void;
}>;

/**
 * Audits the system that the environment names, or else the one that `npm start` runs.
 *
 * @throws CannotLook when a database, the gateway or Temporal cannot be reached, or nobody says where Temporal is
 */
export async function auditSystem(given: Config, options: SystemAuditOptions = {}): Promise<Audited> {
  const running = findEndpoints(given.dataDir);
  const config = withEndpoints(given, running);
  const { databaseUrls: urls, shopTimeZone: timeZone } = config;
  const { temporal = true, ...rest } = options;
  const { only = INVARIANT_IDS } = rest;
  const ledger = only.some((id) => id === 4 || id === 5) ? await ledgerOf(config) : undefined;
  const topics = config.kafka && (await topicsOf(config.kafka));
  if (!temporal) return audit({ urls, ledger, topics, timeZone, workflows: undefined }, rest);

  const variables = temporalEnvironment(given, running);
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig(
    variables === undefined ? {} : { overrideEnvVars: variables },
  );
  const { address } = connectionOptions;
  // The SDK would ask 127.0.0.1:7233, whoever's server that is, and every order would look abandoned.
  if (address === undefined) {
    throw new CannotLook(
      `Nothing is running on ${given.dataDir}: run \`npm start\`, or set TEMPORAL_ADDRESS (or use --no-temporal).`,
    );
  }
  const connection = Connection.lazy(connectionOptions);
  try {
    const workflows = temporalWorkflows(new Client({ connection, namespace }), address);
    return await audit({ urls, ledger, topics, timeZone, workflows }, rest);
  } finally {
    await connection.close();
  }
}

/** Kafka's client is loaded by whoever has Kafka, and by nobody else. */
async function topicsOf(settings: KafkaSettings): Promise<EventTopics> {
  const [{ kafkaOptions }, { kafkaHistory }] = await Promise.all([
    import('../../events/bus/kafka.ts'),
    import('../../events/bus/kafka-history.ts'),
  ]);
  const options = kafkaOptions(settings);
  return kafkaHistory(options, options);
}

/** @throws CannotLook naming what is not set */
async function ledgerOf(config: Config): Promise<GatewayLedger> {
  try {
    return await openGatewayLedger(config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CannotLook(`${error.message} Or run \`npm start\`, or leave out invariants 4 and 5 with --only.`, {
      cause: error,
    });
  }
}
