import { Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';

import type { Config } from '../../infra/config.ts';
import { type Endpoints, temporalEnvironment } from '../../infra/endpoints.ts';

const LIMIT_MS = 5_000;

/** The server that commands would use, and a question that only a living one with our namespace answers. */
export function loadTemporal(config: Config, running: Endpoints | undefined) {
  const variables = temporalEnvironment(config, running);
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig(
    variables === undefined ? {} : { overrideEnvVars: variables },
  );
  return {
    address: connectionOptions.address ?? '127.0.0.1:7233',
    check: async (): Promise<void> => {
      const connection = Connection.lazy(connectionOptions);
      try {
        await connection.withDeadline(Date.now() + LIMIT_MS, () =>
          connection.workflowService.describeNamespace({ namespace }),
        );
      } finally {
        await connection.close();
      }
    },
  };
}
