import { sagaActivities } from '../activities/sagas/activities.ts';
import { isRunning } from '../infra/running-workflows.ts';
import { QUEUES } from '../workflows/contract.ts';
import { clientOf, createWorker, type OpenWorker, type WorkerContext, workflowCode } from './temporal-worker.ts';

/** Runs the workflows, and answers what they ask about each other. It needs no database at all. */
export async function openCheckoutWorker(context: WorkerContext): Promise<OpenWorker> {
  const client = clientOf(context);
  const activities = sagaActivities({ isRunning: (workflowId) => isRunning(client, workflowId) });
  const worker = await createWorker(context, { taskQueue: QUEUES.checkout, activities, ...workflowCode() });
  return { worker, close: async () => {} };
}
