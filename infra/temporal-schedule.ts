import { isDeepStrictEqual } from 'node:util';

import {
  isGrpcServiceError,
  ScheduleAlreadyRunning,
  type ScheduleDescription,
  type ScheduleHandle,
  ScheduleOverlapPolicy,
} from '@temporalio/client';

import type { Logger } from './log.ts';
import type { TemporalClient } from './temporal.ts';

/** A workflow that Temporal starts again and again, never a second one beside a running one. */
export type WantedSchedule = Readonly<{
  scheduleId: string;
  /** Milliseconds from one start to the next. */
  everyMs: number;
  workflowType: string;
  taskQueue: string;
  args: readonly unknown[];
  /** After this a run is ended by the server, milliseconds: one that hangs must not keep the next from starting. */
  runTimeoutMs: number;
}>;

/** Starts that were missed for longer are dropped: the next one does the same work. Milliseconds. */
const CATCH_UP_MS = 60_000;

/** `correct: false`: one that is there is left as it is. */
export type EnsureOptions = Readonly<{ correct?: boolean }>;

/**
 * Makes the Schedule, or corrects one that differs; who paused it has paused it. Repeat-safe, also for several workers
 * that start at once. A server that refuses Schedules is named in the log with what to do, and false is returned.
 *
 * @throws ServiceError when the server cannot be asked at all
 */
export async function ensureSchedule(
  { client }: Pick<TemporalClient, 'client'>,
  wanted: WantedSchedule,
  log: Logger,
  { correct = true }: EnsureOptions = {},
): Promise<boolean> {
  const { scheduleId } = wanted;
  try {
    try {
      await client.schedule.create({ scheduleId, ...optionsOf(wanted) });
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      if (correct) await becomeAsWanted(client.schedule.getHandle(scheduleId), wanted);
    }
    return true;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (!isGrpcServiceError(cause) || !NOT_OURS_TO_MAKE.includes(cause.code)) throw error;
    log.error(
      { err: error },
      `this server refuses Schedules: start the workflow ${wanted.workflowType} by other means`,
    );
    return false;
  }
}

/** gRPC's UNIMPLEMENTED and PERMISSION_DENIED. */
const NOT_OURS_TO_MAKE: readonly number[] = [12, 7];

async function becomeAsWanted(handle: ScheduleHandle, wanted: WantedSchedule): Promise<void> {
  if (isAsWanted(await handle.describe(), wanted)) return;
  await handle.update(({ state }) => ({ ...optionsOf(wanted), state }));
}

function optionsOf({ scheduleId, everyMs, workflowType, taskQueue, args, runTimeoutMs }: WantedSchedule) {
  return {
    spec: { intervals: [{ every: everyMs }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCH_UP_MS },
    action: {
      type: 'startWorkflow' as const,
      workflowType,
      workflowId: scheduleId, // the server adds the instant
      taskQueue,
      args: [...args],
      workflowRunTimeout: runTimeoutMs,
    },
  };
}

function isAsWanted({ spec, policies, action }: ScheduleDescription, wanted: WantedSchedule): boolean {
  const { everyMs, workflowType, taskQueue, args, runTimeoutMs } = wanted;
  const found = [
    spec.intervals?.map(({ every }) => every),
    [policies.overlap, policies.catchupWindow],
    [action.workflowType, action.taskQueue, action.args ?? [], action.workflowRunTimeout],
  ];
  return isDeepStrictEqual(found, [
    [everyMs],
    [ScheduleOverlapPolicy.SKIP, CATCH_UP_MS],
    [workflowType, taskQueue, args, runTimeoutMs],
  ]);
}
