import { cancellationSignal } from '@temporalio/activity';

import { paymentActivities } from '../activities/payments/activities.ts';
import { type Config, ConfigError, databaseUrl } from '../infra/config.ts';
import { openPayment } from '../infra/databases.ts';
import { simulatedGateway } from '../infra/payment-gateway/simulated.ts';
import { QUEUES } from '../workflows/contract.ts';
import { createWorker, type OpenWorker, type WorkerContext } from './temporal-worker.ts';

/** Runs the steps of the payment service, with the credentials of the payment database and the gateway alone. */
export async function openPaymentWorker(context: WorkerContext): Promise<OpenWorker> {
  const { config } = context;
  const gateway = simulatedGateway({
    url: gatewayUrl(config),
    timeoutMs: config.gatewayTimeoutMs,
    maxProcessingMs: config.gatewayMaxProcessingMs,
  });
  const payment = openPayment(databaseUrl(config, 'payment'), { poolSize: config.databasePoolSize });
  const activities = paymentActivities({ payment, gateway, holdMs: config.holdMs, signal: cancellationSignal });
  const worker = await createWorker(context, { taskQueue: QUEUES.payments, activities });
  return { worker, close: () => payment.$disconnect() };
}

/** @throws ConfigError saying which variable to set */
export function gatewayUrl({ gatewayUrl: url }: Config): string {
  if (url !== undefined) return url;
  throw new ConfigError('GATEWAY_URL is not set. Set it, for example GATEWAY_URL=http://127.0.0.1:4242.');
}
