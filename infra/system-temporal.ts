import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';

import type { Config } from './config.ts';
import { findEndpoints, NothingIsRunning, temporalEnvironment } from './endpoints.ts';
import type { TemporalClient } from './temporal.ts';
import { temporalConverter } from './temporal-converter.ts';

/**
 * For a command: connects to the Temporal that the environment names, or else to that of the system which `npm start` runs
 * on the same data. Close the connection afterwards.
 *
 * @returns also its address, to be named when it does not answer
 * @throws NothingIsRunning when there is neither: the SDK would ask 127.0.0.1:7233, whoever's server that is
 * @throws ConfigError when payloads are to be encrypted and there is no key
 */
export async function openSystemTemporal(config: Config): Promise<TemporalClient & Readonly<{ address: string }>> {
  const overrideEnvVars = temporalEnvironment(config, findEndpoints(config.dataDir));
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig(overrideEnvVars && { overrideEnvVars });
  const { address } = connectionOptions;
  if (address === undefined || address === '') {
    throw new NothingIsRunning(`Nothing is running on ${config.dataDir}: run \`npm start\`, or set TEMPORAL_ADDRESS.`);
  }
  const dataConverter = await temporalConverter(config);
  const connection = Connection.lazy(connectionOptions);
  return { client: new Client({ connection, namespace, dataConverter }), connection, namespace, address };
}
