import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import {
  proxySinks,
  type Sinks,
  type WorkflowInboundCallsInterceptor,
  workflowInfo,
  type WorkflowInterceptorsFactory,
} from '@temporalio/workflow';

/** As infra/temporal-tracing.ts writes it. */
const TRACE_HEADER = '_tracer-data';

/** What was done within a workflow for somebody whose trace is recorded. */
export type WorkflowWork = Readonly<{
  name: string;
  /** The header as it came. */
  carried: unknown;
  /** By the workflow's clock, milliseconds since 1970. */
  startedAt: number;
  failed: boolean;
}>;

export interface TracingSinks extends Sinks {
  tracing: { done(work: WorkflowWork): void };
}

const { tracing } = proxySinks<TracingSinks>();

/**
 * Hands the ids that a workflow was started with on to everything that it calls, and tells the worker of work that ended.
 * It makes no command, awaits nothing and asks for no random number, so it changes no history.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  let own: Headers = {};
  const onward = <T extends Readonly<{ headers: Headers }>>(input: T): T => ({
    ...input,
    headers: { ...own, ...input.headers },
  });
  const inbound: WorkflowInboundCallsInterceptor = {
    execute(input, next) {
      own = traceOf(input.headers);
      return told(`RunWorkflow ${workflowInfo().workflowType}`, own, () => next(input));
    },
    handleSignal: (input, next) => told(`HandleSignal ${input.signalName}`, input.headers, () => next(input)),
    handleUpdate: (input, next) => told(`HandleUpdate ${input.name}`, input.headers, () => next(input)),
  };
  return {
    inbound: [inbound],
    outbound: [
      {
        scheduleActivity: (input, next) => next(onward(input)),
        scheduleLocalActivity: (input, next) => next(onward(input)),
        startChildWorkflowExecution: (input, next) => next(onward(input)),
        signalWorkflow: (input, next) => next(onward(input)),
        continueAsNew: (input, next) => next(onward(input)),
        getLogAttributes: (input, next) => next({ ...logFieldsOf(own), ...input }),
      },
    ],
  };
};

/** Returns the very promise of the work: one that is made of it would settle a tick later, and that could be replayed otherwise. */
function told<T>(name: string, headers: Headers, work: () => Promise<T>): Promise<T> {
  const carried = carriedIn(headers);
  const running = work();
  if (!isRecorded(carried)) return running;
  const startedAt = Date.now();
  const done = (failed: boolean) => (): void => tracing.done({ name, carried, startedAt, failed });
  running.then(done(false), (error: unknown) => done(!isContinued(error))());
  return running;
}

const isContinued = (error: unknown): boolean => error instanceof Error && error.name === 'ContinueAsNew';

const traceOf = (headers: Headers): Headers => {
  const payload = headers[TRACE_HEADER];
  return payload === undefined ? {} : { [TRACE_HEADER]: payload };
};

type CarriedText = Readonly<{ traceparent?: unknown; requestid?: unknown }>;

/** Somebody else's header may be encoded as we cannot read it. That is no reason to stand still. */
function carriedIn(headers: Headers): CarriedText {
  const payload = headers[TRACE_HEADER];
  if (payload === undefined) return {};
  try {
    return defaultPayloadConverter.fromPayload<CarriedText | null>(payload) ?? {};
  } catch {
    return {};
  }
}

/** W3C's flag `sampled`. Where it is missing nobody wants a span. */
const isRecorded = ({ traceparent }: CarriedText): boolean =>
  typeof traceparent === 'string' && traceparent.endsWith('01');

/** As infra/trace-context.ts names them. */
function logFieldsOf(headers: Headers): Record<string, unknown> {
  const { traceparent, requestid } = carriedIn(headers);
  return {
    ...(typeof traceparent === 'string' && { trace_id: traceparent.slice(3, 35) }),
    ...(requestid !== undefined && { requestId: requestid }),
  };
}
