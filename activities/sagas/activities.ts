import pLimit from 'p-limit';

/** @param isRunning asks Temporal itself; it throws when Temporal does not answer */
export type SagaDeps = Readonly<{ isRunning: (workflowId: string) => Promise<boolean> }>;

const QUESTIONS_AT_ONCE = 16;

/** What workflows ask about other workflows (task queue `checkout`). */
export const sagaActivities = ({ isRunning }: SagaDeps) => ({
  /** Those of the workflow ids that do not run now, in the order in which they were given. Reads only. */
  async findNotRunning({ workflowIds }: Readonly<{ workflowIds: readonly string[] }>): Promise<string[]> {
    const limit = pLimit(QUESTIONS_AT_ONCE);
    const running = await Promise.all(workflowIds.map((workflowId) => limit(() => isRunning(workflowId))));
    return workflowIds.filter((_, index) => running[index] !== true);
  },
});

export type SagaActivities = ReturnType<typeof sagaActivities>;
