import {
  type Attributes,
  type Context,
  context,
  createContextKey,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';

import { isCardNumber } from '../domain/card-number.ts';

/**
 * What goes from process to process with the work: ids, and nothing that somebody wrote. `traceparent` is that of W3C
 * Trace Context; `tracestate` and `baggage` are not carried on, because callers may put any text there.
 */
export type Carried = Readonly<{ traceparent?: string; requestid?: string }>;

const REQUEST_ID = createContextKey('request id');
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const tracer = trace.getTracer('commerce-saga');

/** Ids of the work that this code belongs to; none outside of any. For headers of Temporal and attributes of events. */
export function carriedNow(of: Context = context.active()): Carried {
  const span = trace.getSpanContext(of);
  const requestid = requestIdOf(of);
  return {
    ...(span && isSpanContextValid(span) && { traceparent: traceparentOf(span) }),
    ...(requestid !== undefined && { requestid }),
  };
}

const traceparentOf = ({ traceId, spanId, traceFlags }: ReturnType<Span['spanContext']>): string =>
  `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, '0')}`;

/** The context that somebody handed on. What is not what it should be counts as absent. */
export function contextOf(carried: unknown): Context {
  const { traceparent, requestid } = (carried ?? {}) as Readonly<Record<keyof Carried, unknown>>;
  const [, traceId = '', spanId = '', flags = '0'] =
    TRACEPARENT.exec(typeof traceparent === 'string' ? traceparent : '') ?? [];
  const span = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  const traced = isSpanContextValid(span) ? trace.setSpanContext(ROOT_CONTEXT, span) : ROOT_CONTEXT;
  return typeof requestid === 'string' && isRequestId(requestid) ? withRequestId(traced, requestid) : traced;
}

/**
 * Whether a caller's request id may be repeated in answers, logs and events. One of digits alone is not, nor one with the
 * number of a card in it: it could be somebody's telephone, or card.
 */
export const isRequestId = (text: string): boolean =>
  /^[\w-]{1,64}$/.test(text) &&
  !/^(?:[_-]*\d){7,}[_-]*$/.test(text) &&
  !(text.match(/\d{13,19}/g) ?? []).some(isCardNumber);

export const withRequestId = (of: Context, requestId: string): Context => of.setValue(REQUEST_ID, requestId);

export function requestIdOf(of: Context): string | undefined {
  const value = of.getValue(REQUEST_ID);
  return typeof value === 'string' ? value : undefined;
}

/** For a line of the log: by these the lines of all processes about one request are found. */
export function logFields(of: Context = context.active()): Readonly<{ trace_id?: string; requestId?: string }> {
  const traceId = trace.getSpanContext(of)?.traceId;
  const requestId = requestIdOf(of);
  return { ...(traceId !== undefined && { trace_id: traceId }), ...(requestId !== undefined && { requestId }) };
}

export type SpanOptions = Readonly<{ kind: SpanKind; attributes?: Attributes; parent?: Context }>;

/** A span that is ended by hand, and the context of the work within it. */
export function openSpan(name: string, { parent = context.active(), ...options }: SpanOptions) {
  const span = tracer.startSpan(name, options, parent);
  return { span, within: trace.setSpan(parent, span) };
}

/** Runs work as a span. Of an error it tells the kind alone: messages may repeat what somebody sent. */
export async function inSpan<T>(name: string, options: SpanOptions, run: (span: Span) => Promise<T>): Promise<T> {
  const { span, within } = openSpan(name, options);
  try {
    return await context.with(within, run, undefined, span);
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR }).setAttribute('error.type', kindOf(error));
    throw error;
  } finally {
    span.end();
  }
}

/** A code of ours, or the name of the class. */
function kindOf(error: unknown): string {
  const type: unknown = error instanceof Error && 'type' in error ? error.type : undefined;
  if (typeof type === 'string' && /^[A-Z][A-Z_]{1,60}$/.test(type)) return type;
  return error instanceof Error ? error.name : typeof error;
}

/**
 * Spans of what was done to several things at once, each in the trace of its own cause. Costs nothing where that is not
 * recorded.
 *
 * @param startedAt milliseconds since 1970
 */
export function pastSpans<T>(
  things: readonly T[],
  startedAt: number,
  describe: (thing: T) => Readonly<{ name: string; carried: unknown; kind: SpanKind; attributes: Attributes }>,
): void {
  for (const thing of things) {
    const { name, carried, kind, attributes } = describe(thing);
    const parent = contextOf(carried);
    const flags = trace.getSpanContext(parent)?.traceFlags ?? 0;
    if ((flags & TraceFlags.SAMPLED) !== 0)
      tracer.startSpan(name, { kind, attributes, startTime: startedAt }, parent).end();
  }
}
