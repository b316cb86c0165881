import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

import { Command } from 'commander';

import { type Config, ConfigError, databaseUrl } from '../infra/config.ts';
import { openGateway } from '../infra/databases.ts';
import { runProcess } from '../infra/process.ts';
import { createGateway } from './app.ts';
import { releaseDeliveries } from './deliveries.ts';
import { releaseClaims } from './keys.ts';
import { startSender, type WebhookEndpoint } from './sender.ts';

const DEFAULT_PORT = 4242;
/** What a call in flight may still take at the end, milliseconds. A held or hanging one is cut then. */
const DRAIN_MS = 1_000;

new Command('npm run gateway --')
  .description('Runs the simulated payment gateway. Its settings are in the environment; see README.md.')
  .parse();
await runProcess('gateway', async (config, log) => {
  const endpoint = endpointOf(config);
  const gateway = openGateway(databaseUrl(config, 'gateway'), { poolSize: config.databasePoolSize });
  await releaseClaims(gateway);
  await releaseDeliveries(gateway);

  const faultsEnabled = config.mode !== 'production';
  const sender = startSender({ db: gateway, log, endpoint, faultsEnabled });
  const deps = { databases: { gateway }, log, faultsEnabled, settings: config.gateway, changed: sender.wake };
  const server = createServer(createGateway(deps));
  server.listen(config.ports.gateway ?? DEFAULT_PORT, config.host);
  await once(server, 'listening');

  return {
    url: urlOf(server, config.host),
    close: async () => {
      await closeServer(server);
      await sender.close();
      await gateway.$disconnect();
    },
  };
});

/** @throws ConfigError for an address without a secret: nobody could tell our webhooks from forged ones */
function endpointOf({ webhookUrl, webhookSecrets }: Config): WebhookEndpoint | undefined {
  if (webhookUrl === undefined) return undefined;
  const [secret] = webhookSecrets;
  if (secret !== undefined) return { url: webhookUrl, secret };
  throw new ConfigError('GATEWAY_WEBHOOK_URL is set, but GATEWAY_WEBHOOK_SECRETS, which signs the webhooks, is not.');
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the gateway listens on no port');
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const limit = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  await closed;
  clearTimeout(limit);
}
