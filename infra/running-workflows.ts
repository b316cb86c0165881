import { type Client, WorkflowNotFoundError } from '@temporalio/client';

/** A state that we do not know, such as a paused run, is not an end. */
const CLOSED: ReadonlySet<string> = new Set(['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT']);

/** Longest wait for one answer, milliseconds. */
const CALL_LIMIT_MS = 5_000;

/**
 * True while a workflow of this id runs. Asked by Describe: visibility lags behind, and an age proves nothing.
 *
 * @throws ServiceError when Temporal does not answer: that is no "no"
 */
export async function isRunning({ connection, workflow }: Client, workflowId: string): Promise<boolean> {
  try {
    const { status } = await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () =>
      workflow.getHandle(workflowId).describe(),
    );
    return !CLOSED.has(status.name);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
