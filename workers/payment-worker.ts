import { cancellationSignal, heartbeat } from '@temporalio/activity';

import { paymentActivities } from '../activities/payments/activities.ts';
import type { PageInput } from '../activities/payments/contract.ts';
import { paymentFinders } from '../activities/payments/find.ts';
import { refundActivities } from '../activities/payments/refund-activities.ts';
import { webhookActivities } from '../activities/payments/webhook-activities.ts';
import { openWebhooks } from '../activities/payments/webhook-store.ts';
import { databaseUrl } from '../infra/config.ts';
import { openPayment } from '../infra/databases.ts';
import { openGatewayLedger, openPaymentGateway } from '../infra/payment-gateway/providers.ts';
import { QUEUES } from '../workflows/contract.ts';
import { clientOf, createWorker, type OpenWorker, type WorkerContext } from './temporal-worker.ts';
import { paymentUpkeep } from './upkeep.ts';
import { startWebhookPoller } from './webhook-poller.ts';

/** Runs the steps of the payment service, with the credentials of the payment database and the gateway alone. */
export async function openPaymentWorker(context: WorkerContext): Promise<OpenWorker> {
  const { config } = context;
  const [gateway, ledger] = [await openPaymentGateway(config), await openGatewayLedger(config)];
  const payment = openPayment(databaseUrl(config, 'payment'), { poolSize: config.databasePoolSize });
  const deps = { payment, gateway, ledger, holdMs: config.holdMs, signal: cancellationSignal };
  const activities = {
    ...paymentActivities(deps),
    ...refundActivities(deps),
    ...webhookActivities(deps),
    ...paymentFinders({ ...deps, beat: () => heartbeat() }),
    ...paymentUpkeep(config, { payment }, context.log),
  };
  const worker = await createWorker(context, { taskQueue: QUEUES.payments, activities });
  const find = (page: PageInput) => openWebhooks(payment, page);
  const poller = startWebhookPoller({ client: clientOf(context), find, log: context.log });
  return {
    worker,
    async close() {
      await poller.stop();
      await payment.$disconnect();
    },
  };
}
