import { type Context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import type { WorkflowClientInterceptor } from '@temporalio/client';
import { defaultPayloadConverter, type Headers } from '@temporalio/common';

import { carriedNow, contextOf, inSpan } from './trace-context.ts';

/** The name that Temporal's own OpenTelemetry interceptors use, in every language. */
export const TRACE_HEADER = '_tracer-data';

/** Hands the ids of a request on to what it starts, signals and updates. Headers are stored in clear: they hold ids only. */
export const tracedClient: WorkflowClientInterceptor = {
  startWithDetails: (input, next) =>
    inSpan(`StartWorkflow ${input.workflowType}`, client(input.options.workflowId), () =>
      next({ ...input, headers: withIds(input.headers) }),
    ),
  signal: (input, next) =>
    inSpan(`SignalWorkflow ${input.signalName}`, client(input.workflowExecution.workflowId), () =>
      next({ ...input, headers: withIds(input.headers) }),
    ),
  signalWithStart: (input, next) =>
    inSpan(`SignalWithStartWorkflow ${input.workflowType}`, client(input.options.workflowId), () =>
      next({ ...input, headers: withIds(input.headers) }),
    ),
  startUpdate: (input, next) =>
    inSpan(`UpdateWorkflow ${input.updateName}`, client(input.workflowExecution.workflowId), () =>
      next({ ...input, headers: withIds(input.headers) }),
    ),
  startUpdateWithStart: (input, next) =>
    inSpan(`UpdateWithStartWorkflow ${input.updateName}`, client(input.workflowStartOptions.workflowId), () =>
      next({
        ...input,
        workflowStartHeaders: withIds(input.workflowStartHeaders),
        updateHeaders: withIds(input.updateHeaders),
      }),
    ),
};

const client = (workflowId: string | undefined) => ({
  kind: SpanKind.CLIENT,
  attributes: { ...(workflowId !== undefined && { 'temporal.workflow.id': workflowId }) },
});

function withIds(headers: Headers): Headers {
  const carried = carriedNow();
  return Object.keys(carried).length === 0
    ? headers
    : { ...headers, [TRACE_HEADER]: defaultPayloadConverter.toPayload(carried) };
}

/** What a header hands on. One that somebody else encoded as we cannot read it counts as absent. */
export function contextIn(headers: Headers): Context {
  const payload = headers[TRACE_HEADER];
  if (payload === undefined) return ROOT_CONTEXT;
  try {
    return contextOf(defaultPayloadConverter.fromPayload(payload));
  } catch {
    return ROOT_CONTEXT;
  }
}
