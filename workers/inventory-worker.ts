import { inventoryActivities } from '../activities/inventory/activities.ts';
import { inventoryReturnActivities } from '../activities/inventory/return-activities.ts';
import { databaseUrl } from '../infra/config.ts';
import { openPlatform } from '../infra/databases.ts';
import { QUEUES } from '../workflows/contract.ts';
import { createWorker, type OpenWorker, type WorkerContext } from './temporal-worker.ts';

/** Runs the steps of the inventory service, with the credentials of the platform database alone. */
export async function openInventoryWorker(context: WorkerContext): Promise<OpenWorker> {
  const { config } = context;
  const platform = openPlatform(databaseUrl(config, 'platform'), { poolSize: config.databasePoolSize });
  const activities = {
    ...inventoryActivities({ platform, limits: config.limits, holdMs: config.holdMs }),
    ...inventoryReturnActivities({ platform }),
  };
  const worker = await createWorker(context, { taskQueue: QUEUES.inventory, activities });
  return { worker, close: () => platform.$disconnect() };
}
