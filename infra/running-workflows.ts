import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import proto from '@temporalio/proto';

import { UndecryptablePayload } from './payload-codec.ts';

const { WorkflowExecutionStatus: STATUS } = proto.temporal.api.enums.v1;

/** A state that we do not know, such as a paused run, is not an end. */
const CLOSED: ReadonlySet<string> = new Set(['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT']);

/** The same as the server says it. */
const CLOSED_THERE: readonly unknown[] = [
  STATUS.WORKFLOW_EXECUTION_STATUS_COMPLETED,
  STATUS.WORKFLOW_EXECUTION_STATUS_FAILED,
  STATUS.WORKFLOW_EXECUTION_STATUS_CANCELED,
  STATUS.WORKFLOW_EXECUTION_STATUS_TERMINATED,
  STATUS.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
];

/** Longest wait for one answer, milliseconds. */
const CALL_LIMIT_MS = 5_000;

/**
 * True while a workflow of this id runs. Asked by Describe: visibility lags behind, and an age proves nothing.
 *
 * @throws ServiceError when Temporal does not answer: that is no "no"
 */
export async function isRunning(client: Client, workflowId: string): Promise<boolean> {
  const { connection, workflow } = client;
  try {
    const { status } = await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () =>
      workflow.getHandle(workflowId).describe(),
    );
    return !CLOSED.has(status.name);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    if (error instanceof UndecryptablePayload) return isRunningUnread(client, workflowId);
    throw error;
  }
}

/** The SDK reads the memo as well. Whether a workflow runs can be told without the key that it was written with. */
async function isRunningUnread({ connection, workflowService, options }: Client, workflowId: string): Promise<boolean> {
  const asked = { namespace: options.namespace, execution: { workflowId } };
  const { workflowExecutionInfo: info } = await connection.withDeadline(Date.now() + CALL_LIMIT_MS, () =>
    workflowService.describeWorkflowExecution(asked),
  );
  return !CLOSED_THERE.includes(info?.status);
}
