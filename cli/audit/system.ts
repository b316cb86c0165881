import { audit, type Audited } from '../../infra/audit/audit.ts';
import type { EventTopics } from '../../infra/audit/events-on-kafka.ts';
import { INVARIANT_IDS, type InvariantId } from '../../infra/audit/finding.ts';
import { CannotLook } from '../../infra/audit/snapshot.ts';
import { temporalWorkflows } from '../../infra/audit/workflows.ts';
import { type Config, ConfigError } from '../../infra/config.ts';
import { findEndpoints, NothingIsRunning, withEndpoints } from '../../infra/endpoints.ts';
import type { KafkaSettings } from '../../infra/kafka-settings.ts';
import type { GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { openGatewayLedger } from '../../infra/payment-gateway/providers.ts';
import { openSystemTemporal } from '../../infra/system-temporal.ts';

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
  const config = withEndpoints(given, findEndpoints(given.dataDir));
  const { databaseUrls: urls, shopTimeZone: timeZone } = config;
  const { temporal = true, ...rest } = options;
  const { only = INVARIANT_IDS } = rest;
  const ledger = only.some((id) => id === 4 || id === 5) ? await ledgerOf(config) : undefined;
  const topics = config.kafka && (await topicsOf(config.kafka));
  if (!temporal) return audit({ urls, ledger, topics, timeZone, workflows: undefined }, rest);

  const { connection, client, address } = await systemTemporal(given);
  try {
    return await audit({ urls, ledger, topics, timeZone, workflows: temporalWorkflows(client, address) }, rest);
  } finally {
    await connection.close();
  }
}

/** Without it every order would look abandoned. */
async function systemTemporal(config: Config) {
  try {
    return await openSystemTemporal(config);
  } catch (error) {
    if (!(error instanceof NothingIsRunning)) throw error;
    throw new CannotLook(`${error.message} Or leave Temporal out: --no-temporal.`, { cause: error });
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
