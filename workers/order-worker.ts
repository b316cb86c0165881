import { orderActivities } from '../activities/orders/activities.ts';
import { orderMoneyActivities } from '../activities/orders/money-activities.ts';
import { databaseUrl } from '../infra/config.ts';
import { openOrder } from '../infra/databases.ts';
import { QUEUES } from '../workflows/contract.ts';
import { createWorker, type OpenWorker, type WorkerContext } from './temporal-worker.ts';

/** Runs the steps of the order service, with the credentials of the order database alone. */
export async function openOrderWorker(context: WorkerContext): Promise<OpenWorker> {
  const { config } = context;
  const order = openOrder(databaseUrl(config, 'order'), { poolSize: config.databasePoolSize });
  const activities = { ...orderActivities({ order }), ...orderMoneyActivities({ order }) };
  const worker = await createWorker(context, { taskQueue: QUEUES.orders, activities });
  return { worker, close: () => order.$disconnect() };
}
