import type { Client } from '@temporalio/client';
import { decodeOptionalFailureToOptionalError } from '@temporalio/common/lib/internal-non-workflow/codec-helpers.js';
import type proto from '@temporalio/proto';

import { isErrorCode } from '../domain/errors.ts';
import { UndecryptablePayload } from '../infra/payload-codec.ts';
import type { StoryEntry, WORKFLOW_KINDS } from './contract/story.ts';

type HistoryEvent = proto.temporal.api.history.v1.IHistoryEvent;
type Failure = proto.temporal.api.failure.v1.IFailure;
type Timestamp = proto.google.protobuf.ITimestamp;
type StepEntry = Extract<StoryEntry, { kind: 'step' }>;
type Moment = Extract<StoryEntry, { kind: 'workflow' }>['what'];

export type StoryWorkflow = Readonly<{ workflow: (typeof WORKFLOW_KINDS)[number]; workflowId: string }>;
/** `truncated`: the history is longer than what was read of it. */
export type WorkflowStory = Readonly<{ entries: readonly StoryEntry[]; truncated: boolean }>;

const PAGE_EVENTS = 500;
const MOST_PAGES = 4;

/**
 * What a workflow did: when it began and ended, and its steps with their attempts, as its history in Temporal has them, and
 * what runs now. Of several runs under one id the newest. Messages of failures are decrypted where they are asked for.
 *
 * @throws WorkflowNotFoundError's cause, a ServiceError, when Temporal does not know it or does not answer
 */
export async function readWorkflowStory(
  client: Client,
  named: StoryWorkflow,
  { messages }: Readonly<{ messages: boolean }>,
): Promise<WorkflowStory> {
  const { events, truncated } = await readHistory(client, named.workflowId);
  const reader = new HistoryReader(named);
  for (const event of events) reader.take(event);
  if (reader.running) await addPending(client, named.workflowId, reader);
  const entries = [...reader.moments];
  for (const { entry, failure } of reader.steps.values()) {
    const message = messages && failure !== undefined ? await messageOf(client, failure) : undefined;
    const told = failure === undefined ? null : { code: codeOf(failure), ...(message !== undefined && { message }) };
    entries.push({ ...entry, failure: told });
  }
  return { entries, truncated };
}

async function readHistory(client: Client, workflowId: string) {
  const { namespace } = client.options;
  const events: HistoryEvent[] = [];
  let nextPageToken: Uint8Array | null | undefined;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await client.workflowService.getWorkflowExecutionHistory({
      ...{ namespace, execution: { workflowId }, maximumPageSize: PAGE_EVENTS },
      ...(nextPageToken && { nextPageToken }),
    });
    events.push(...(answer.history?.events ?? []));
    nextPageToken = answer.nextPageToken;
    if (!nextPageToken?.length) return { events, truncated: false };
  }
  return { events, truncated: true };
}

/** Attempts of what runs are in no history yet. */
async function addPending(client: Client, workflowId: string, reader: HistoryReader): Promise<void> {
  const { namespace } = client.options;
  const { pendingActivities } = await client.workflowService.describeWorkflowExecution({
    ...{ namespace, execution: { workflowId } },
  });
  for (const { activityId, attempt, lastFailure } of pendingActivities ?? []) {
    for (const step of reader.steps.values()) {
      if (step.activityId === activityId && step.entry.outcome === 'RUNNING') {
        reader.set(step, { attempts: attempt ?? 0 }, lastFailure);
      }
    }
  }
}

type Step = { readonly activityId: string; entry: StepEntry; failure: Failure | undefined };

/** Puts the events of one history together, in their order. */
class HistoryReader {
  readonly moments: StoryEntry[] = [];
  /** By the id of the event that asked for them. */
  readonly steps = new Map<string, Step>();
  readonly #named: StoryWorkflow;

  constructor(named: StoryWorkflow) {
    this.#named = named;
  }

  get running(): boolean {
    return [...this.steps.values()].some(({ entry }) => entry.outcome === 'RUNNING');
  }

  take(event: HistoryEvent): void {
    const at = isoOf(event.eventTime);
    const moment = momentOf(event);
    if (moment !== undefined) this.moments.push({ kind: 'workflow', at, ...this.#named, what: moment });
    if (event.activityTaskScheduledEventAttributes) this.#ask(event, at);
    const started = event.activityTaskStartedEventAttributes;
    if (started) this.#change(started.scheduledEventId, { attempts: started.attempt ?? 0 }, started.lastFailure);
    const { activityTaskCompletedEventAttributes: done, activityTaskFailedEventAttributes: failed } = event;
    const { activityTaskTimedOutEventAttributes: late, activityTaskCanceledEventAttributes: cancelled } = event;
    if (done) this.#change(done.scheduledEventId, { outcome: 'DONE', endedAt: at });
    if (failed) this.#change(failed.scheduledEventId, { outcome: 'FAILED', endedAt: at }, failed.failure);
    if (late) this.#change(late.scheduledEventId, { outcome: 'TIMED_OUT', endedAt: at }, late.failure);
    if (cancelled) this.#change(cancelled.scheduledEventId, { outcome: 'CANCELLED', endedAt: at });
  }

  set(step: Step, changes: Partial<StepEntry>, failure?: Failure | null): void {
    step.entry = { ...step.entry, ...changes };
    if (failure) step.failure = failure;
  }

  #ask({ eventId, activityTaskScheduledEventAttributes: asked }: HistoryEvent, at: string): void {
    const step = asked?.activityType?.name ?? '';
    const open = { outcome: 'RUNNING', endedAt: null, attempts: 0, failure: null } as const;
    const entry: StepEntry = { kind: 'step', at, ...this.#named, step, ...open };
    this.steps.set(String(eventId), { activityId: asked?.activityId ?? '', entry, failure: undefined });
  }

  #change(scheduledEventId: unknown, changes: Partial<StepEntry>, failure?: Failure | null): void {
    const step = this.steps.get(String(scheduledEventId));
    if (step !== undefined) this.set(step, changes, failure);
  }
}

function momentOf(event: HistoryEvent): Moment | undefined {
  if (event.workflowExecutionStartedEventAttributes) return 'STARTED';
  if (event.workflowExecutionCompletedEventAttributes) return 'COMPLETED';
  if (event.workflowExecutionFailedEventAttributes) return 'FAILED';
  if (event.workflowExecutionCanceledEventAttributes) return 'CANCELLED';
  if (event.workflowExecutionTerminatedEventAttributes) return 'TERMINATED';
  if (event.workflowExecutionTimedOutEventAttributes) return 'TIMED_OUT';
  return event.workflowExecutionContinuedAsNewEventAttributes ? 'CONTINUED' : undefined;
}

/** The refusal that ended an attempt; whatever else it was, an outage. */
function codeOf(failure: Failure): string {
  for (let at: Failure | null | undefined = failure; at; at = at.cause) {
    const type = at.applicationFailureInfo?.type;
    if (isErrorCode(type)) return type;
  }
  return 'TEMPORARILY_UNAVAILABLE';
}

/** What is encrypted and cannot be read here is no reason to tell nothing: the log has why. */
async function messageOf({ options }: Client, failure: Failure): Promise<string> {
  try {
    const error = await decodeOptionalFailureToOptionalError(options.loadedDataConverter, failure);
    return error?.message ?? '';
  } catch (error) {
    if (!(error instanceof UndecryptablePayload)) throw error;
    return '(encrypted under a key that is missing here)';
  }
}

const isoOf = (at: Timestamp | null | undefined): string =>
  new Date(Number(at?.seconds ?? 0) * 1_000 + Math.floor((at?.nanos ?? 0) / 1_000_000)).toISOString();
