import { isDeepStrictEqual } from 'node:util';

import {
  type Client,
  isGrpcServiceError,
  ScheduleAlreadyRunning,
  type ScheduleDescription,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import type { Payload } from '@temporalio/common';

import type { Logger } from './log.ts';
import { UndecryptablePayload } from './payload-codec.ts';
import type { TemporalClient } from './temporal.ts';
import { payloadsIn } from './temporal-payloads.ts';

/** `dailyAt`: by the clock of an IANA time zone. A night that has no such time, because clocks go forward, is left out. */
export type When =
  Readonly<{ everyMs: number }> | Readonly<{ dailyAt: Readonly<{ hour: number; minute: number }>; timeZone: string }>;

/** A workflow that Temporal starts again and again, never a second one beside a running one. */
export type WantedSchedule = Readonly<{
  scheduleId: string;
  when: When;
  workflowType: string;
  taskQueue: string;
  args: readonly unknown[];
  /** After this a run is ended by the server, milliseconds: one that hangs must not keep the next from starting. */
  runTimeoutMs: number;
}>;

/** Starts that were missed for longer are dropped: the next one does the same work, and comes soon. Milliseconds. */
const CATCH_UP_MS = 60_000;
/** What is done once in a night is made up for during the day. Milliseconds. */
const DAILY_CATCH_UP_MS = 12 * 3_600_000;

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
      if (correct) await becomeAsWanted(client, wanted);
    }
    return true;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (!isAnswer(cause, NOT_OURS_TO_MAKE)) throw error;
    log.error(
      { err: error },
      `this server refuses Schedules: start the workflow ${wanted.workflowType} by other means`,
    );
    return false;
  }
}

/** gRPC's UNIMPLEMENTED and PERMISSION_DENIED. */
const NOT_OURS_TO_MAKE: readonly number[] = [12, 7];
/** gRPC's NOT_FOUND. */
const NOT_FOUND: readonly number[] = [5];

const isAnswer = (error: unknown, codes: readonly number[]): boolean =>
  isGrpcServiceError(error) && codes.includes(error.code);

async function becomeAsWanted(client: Client, wanted: WantedSchedule): Promise<void> {
  const handle = client.schedule.getHandle(wanted.scheduleId);
  try {
    const found = await handle.describe();
    if (isAsWanted(found, wanted) && (await isWrittenAsNow(client, found))) return;
    await handle.update(({ state }) => ({ ...optionsOf(wanted), state }));
  } catch (error) {
    if (!(error instanceof UndecryptablePayload)) throw error;
    await makeAgain(client, wanted);
  }
}

/** When the key is lost that its arguments were written with: nobody could run it, and the SDK reads before it writes. */
async function makeAgain(client: Client, wanted: WantedSchedule): Promise<void> {
  const { scheduleId } = wanted;
  const { namespace } = client.options;
  try {
    const { schedule } = await client.workflowService.describeSchedule({ namespace, scheduleId });
    const { paused, notes } = schedule?.state ?? {};
    const state = { paused: paused === true, ...(notes && { note: notes }) };
    await client.schedule.getHandle(scheduleId).delete();
    await client.schedule.create({ scheduleId, ...optionsOf(wanted), state });
  } catch (error) {
    // Another worker is making it again as well: one of us has made it, or is about to.
    const isGone = error instanceof ScheduleNotFoundError || isAnswer(error, NOT_FOUND);
    if (!isGone && !(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}

/** A Schedule outlives keys of payloads: its arguments are written again once another key is the first. */
async function isWrittenAsNow({ options }: Client, { raw }: ScheduleDescription): Promise<boolean> {
  const found = payloadsIn(raw.schedule?.action?.startWorkflow?.input).map(({ payload }) => payload);
  let now = found;
  for (const codec of options.loadedDataConverter.payloadCodecs) now = await codec.encode(await codec.decode(now));
  return isDeepStrictEqual(now.map(howWritten), found.map(howWritten));
}

/** Encoding and key. */
const howWritten = ({ metadata }: Payload) =>
  Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString()]);

function optionsOf({ scheduleId, when, workflowType, taskQueue, args, runTimeoutMs }: WantedSchedule) {
  return {
    spec: 'everyMs' in when ? { intervals: [{ every: when.everyMs }] } : dailySpec(when),
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: catchUpMs(when) },
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

const dailySpec = ({ dailyAt, timeZone }: Extract<When, { dailyAt: unknown }>) => ({
  calendars: [dailyAt],
  timezone: timeZone,
});

const catchUpMs = (when: When): number => ('everyMs' in when ? CATCH_UP_MS : DAILY_CATCH_UP_MS);

function isAsWanted({ spec, policies, action }: ScheduleDescription, wanted: WantedSchedule): boolean {
  const { when, workflowType, taskQueue, args, runTimeoutMs } = wanted;
  const found = [
    whenOf(spec),
    [policies.overlap, policies.catchupWindow],
    [action.workflowType, action.taskQueue, action.args ?? [], action.workflowRunTimeout],
  ];
  return isDeepStrictEqual(found, [
    when,
    [ScheduleOverlapPolicy.SKIP, catchUpMs(when)],
    [workflowType, taskQueue, args, runTimeoutMs],
  ]);
}

/** @returns undefined for what we would never ask for */
function whenOf({ intervals = [], calendars = [], timezone }: ScheduleDescription['spec']): When | undefined {
  const [interval] = intervals;
  const [calendar] = calendars;
  if (intervals.length + calendars.length !== 1) return undefined;
  if (interval !== undefined) return { everyMs: interval.every };
  const [hour, minute] = [calendar?.hour?.[0]?.start, calendar?.minute?.[0]?.start];
  if (hour === undefined || minute === undefined || timezone === undefined) return undefined;
  return { dailyAt: { hour, minute }, timeZone: timezone };
}
