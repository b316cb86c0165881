import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';

import { createGateway } from '../../gateway/app.ts';
import { readConfig } from '../../infra/config.ts';
import { type Databases, openGateway, openPayment } from '../../infra/databases.ts';
import type { TemporalClient } from '../../infra/temporal.ts';
import { openCheckoutWorker } from '../../workers/checkout-worker.ts';
import { openInventoryWorker } from '../../workers/inventory-worker.ts';
import { openOrderWorker } from '../../workers/order-worker.ts';
import { openPaymentWorker } from '../../workers/payment-worker.ts';
import { freshDatabases } from './databases.ts';
import { temporalServer } from './servers.ts';

/** Everything that a checkout needs, but the API. */
export type RunningSaga = Readonly<{
  temporal: TemporalClient;
  /** With its controls. It sends no webhooks. */
  gatewayUrl: string;
  payment: Databases['payment'];
  close: () => Promise<void>;
}>;

/** Real workers in this process, on the real servers, a seeded shop and the simulated gateway. */
export async function runningSaga(): Promise<RunningSaga> {
  const databases = await freshDatabases({ seed: true });
  const gateway = await listeningGateway(databases.urls.gateway);
  const { address } = await temporalServer();
  const connection = await Connection.connect({ address });
  const nativeConnection = await NativeConnection.connect({ address });
  const namespace = 'default';

  const config = readConfig({
    LOG_LEVEL: 'error',
    PLATFORM_DATABASE_URL: databases.urls.platform,
    ORDER_DATABASE_URL: databases.urls.order,
    PAYMENT_DATABASE_URL: databases.urls.payment,
    GATEWAY_URL: gateway.url,
  });
  const log = pino({ level: 'error' }, process.stderr);
  const context = { config, connection: nativeConnection, namespace, dataConverter: {}, log };
  const workers = await Promise.all(
    [openCheckoutWorker, openInventoryWorker, openOrderWorker, openPaymentWorker].map((open) => open(context)),
  );
  const running = Promise.all(workers.map(({ worker }) => worker.run()));

  const payment = openPayment(databases.urls.payment, { poolSize: 2 });
  return {
    gatewayUrl: gateway.url,
    payment,
    temporal: { client: new Client({ connection, namespace }), connection, namespace },
    close: async () => {
      for (const { worker } of workers) worker.shutdown();
      await running;
      await Promise.all(workers.map(({ close }) => close()));
      await gateway.close();
      await payment.$disconnect();
      await connection.close();
      await nativeConnection.close();
      await databases.drop();
    },
  };
}

async function listeningGateway(url: string): Promise<{ url: string; close: () => Promise<void> }> {
  const gateway = openGateway(url, { poolSize: 5 });
  const log = pino({ level: 'error' }, process.stderr);
  const server = createServer(createGateway({ databases: { gateway }, log, faultsEnabled: true }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      await gateway.$disconnect();
    },
  };
}
