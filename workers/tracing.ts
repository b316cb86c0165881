import { type Context, context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import type { ActivityInterceptorsFactory, InjectedSinks } from '@temporalio/worker';

import { contextIn } from '../infra/temporal-tracing.ts';
import { inSpan, logFields, pastSpans } from '../infra/trace-context.ts';
import type { TracingSinks } from '../workflows/tracing.ts';

/** Runs every step in the trace of what asked for it, each attempt as a span, and puts its ids into the lines of its log. */
export const activityTracing: ActivityInterceptorsFactory = ({ info }) => {
  let within: Context = ROOT_CONTEXT;
  return {
    inbound: {
      execute(input, next) {
        const attributes = {
          'temporal.activity.attempt': info.attempt,
          ...(info.workflowExecution && { 'temporal.workflow.id': info.workflowExecution.workflowId }),
        };
        const options = { kind: SpanKind.CONSUMER, attributes, parent: contextIn(input.headers) };
        return inSpan(`RunActivity ${info.activityType}`, options, () => {
          within = context.active();
          return next(input);
        });
      },
    },
    outbound: { getLogAttributes: (input, next) => next({ ...logFields(within), ...input }) },
  };
};

/** Takes what workflows tell (workflows/tracing.ts), once and not again when they are replayed. */
export const workflowSpans = (): InjectedSinks<TracingSinks> => ({
  tracing: {
    done: {
      fn({ workflowId }, work) {
        pastSpans([work], work.startedAt, ({ name, carried, failed }) => ({
          ...{ name, carried, kind: SpanKind.CONSUMER },
          attributes: { 'temporal.workflow.id': workflowId, ...(failed && { 'error.type': 'failed' }) },
        }));
      },
      callDuringReplay: false,
    },
  },
});
