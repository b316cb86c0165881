import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';

import { audit, type Audited } from '../../infra/audit/audit.ts';
import type { InvariantId } from '../../infra/audit/finding.ts';
import { CannotLook } from '../../infra/audit/snapshot.ts';
import { temporalWorkflows } from '../../infra/audit/workflows.ts';
import type { Config } from '../../infra/config.ts';
import { findEndpoints, temporalEnvironment, withEndpoints } from '../../infra/endpoints.ts';

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
  const { databaseUrls: urls, gatewayUrl } = withEndpoints(given, running);
  const { temporal = true, ...rest } = options;
  if (!temporal) return audit({ urls, gatewayUrl, workflows: undefined }, rest);

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
    return await audit({ urls, gatewayUrl, workflows }, rest);
  } finally {
    await connection.close();
  }
}
