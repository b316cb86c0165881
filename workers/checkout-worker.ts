import { QUEUES } from '../workflows/contract.ts';
import { createWorker, type OpenWorker, type WorkerContext, workflowCode } from './temporal-worker.ts';

/** Runs the workflows. It needs no database at all. */
export async function openCheckoutWorker(context: WorkerContext): Promise<OpenWorker> {
  const worker = await createWorker(context, { taskQueue: QUEUES.checkout, ...workflowCode() });
  return { worker, close: async () => {} };
}
