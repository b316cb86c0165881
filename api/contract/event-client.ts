import type { z } from 'zod';

import { type AnyRequest, type ClientOptions, fitting, heard, isProblem, NoAnswer, refusedIn, send } from './client.ts';
import type { Problem, RequestOf } from './client-types.ts';
import type { Operation } from './operation.ts';
import { EventParser, type SentEvent } from './sent-events.ts';

type Schemas = Readonly<Record<string, z.ZodType>>;
/** An event of a stream, by its name. `id`: of it, or of the last one before it that had one. */
export type StreamedEvent<S extends Schemas> = {
  [N in keyof S & string]: Readonly<{ event: N; id: string; data: z.output<S[N]> }>;
}[keyof S & string];

/** The stream was refused, and to come back would not help. */
export class StreamRefused extends Error {
  override readonly name = 'StreamRefused';
  readonly status: number;
  readonly problem: Problem;

  constructor(operation: Operation, status: number, problem: Problem) {
    super(`${operation.id}: ${problem.code} (${problem.detail})`);
    this.status = status;
    this.problem = problem;
  }
}

/** Without a byte, a comment included, for so long the stream is taken for lost, milliseconds. */
const SILENCE_MS = 45_000;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 15_000;
/** So many times in a row that the stream could not be had. */
const ATTEMPTS = 8;

/** Where a follower is: the last event that was seen, and how long to wait before coming back. */
type Place = { lastId: string; pauseMs: number; failures: number; over: boolean };

/**
 * The events of a stream, each once and in order: a lost stream is resumed behind the last event that was seen. Ends with an
 * event that says `last`, or when the server says that nothing follows.
 *
 * @param schemas of the events that are wanted, by name; others are passed over
 * @throws StreamRefused · NoAnswer when it cannot be had again and again · UnexpectedAnswer for data that do not fit
 */
export async function* streamEvents<const O extends Operation, const S extends Schemas>(
  options: ClientOptions,
  operation: O,
  request: RequestOf<O>,
  schemas: S,
): AsyncGenerator<StreamedEvent<S>, void, undefined> {
  const place: Place = { lastId: '', pauseMs: FIRST_PAUSE_MS, failures: 0, over: false };
  for (;;) {
    try {
      for await (const sent of connection(options, operation, request, place)) {
        const schema = schemas[sent.event];
        if (schema === undefined) continue;
        const data = fitting(operation, `its event ${sent.event}`, schema, sent.data);
        place.over = isLast(data);
        yield { event: sent.event, id: sent.id, data } as StreamedEvent<S>; // its schema belongs to its name
        if (place.over) return;
      }
      if (place.over) return;
    } catch (error) {
      if (!(error instanceof NoAnswer) || ++place.failures >= ATTEMPTS) throw error;
    }
    await pause(Math.min(place.pauseMs, LONGEST_PAUSE_MS), request.signal);
  }
}

/** What comes on one connection, until it ends or is lost. @throws StreamRefused · NoAnswer, to come back from */
async function* connection(
  options: ClientOptions,
  operation: Operation,
  request: AnyRequest,
  place: Place,
): AsyncGenerator<SentEvent, void, undefined> {
  const guard = silenceGuard(options.timeoutMs ?? SILENCE_MS, request.signal);
  const hear = <T>(work: () => Promise<T>): Promise<T> => heard(operation, options.url, request, work);
  try {
    const response = await send(operation, resumed(request, place.lastId), options, guard.signal);
    if (response.status === 204) return void (place.over = true);
    if (response.status !== 200 || response.body === null) {
      throw notNow(operation, response, await hear(() => response.text()), place);
    }
    place.failures = 0;
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const parser = new EventParser(place.lastId);
    for (;;) {
      const { done, value } = await hear(() => reader.read());
      if (done) return;
      guard.hear();
      for (const sent of parser.read(value)) {
        place.lastId = sent.id;
        yield sent;
      }
      place.pauseMs = parser.retryMs ?? place.pauseMs;
    }
  } finally {
    guard.end();
  }
}

function notNow(operation: Operation, response: Response, text: string, place: Place): Error {
  // A proxy's own page, while the process behind it is exchanged for another.
  if (response.status >= 500 && !isProblem(response)) return new NoAnswer(operation, `${response.status} on the way`);
  const { status, problem } = refusedIn(operation, response, text);
  if (status !== 503 && status !== 429) return new StreamRefused(operation, status, problem);
  place.pauseMs = Number(response.headers.get('retry-after')) * 1_000 || place.pauseMs;
  return new NoAnswer(operation, `${problem.code} (${problem.detail})`);
}

function resumed({ headers, ...request }: AnyRequest, lastId: string): AnyRequest {
  const resume = lastId === '' ? {} : { 'Last-Event-ID': lastId };
  return { ...request, headers: { Accept: 'text/event-stream', ...(headers as object | undefined), ...resume } };
}

const isLast = (data: unknown): boolean =>
  typeof data === 'object' && data !== null && 'last' in data && data.last === true;

/** Ends a connection on which nothing comes any more, or that nobody wants any more. */
function silenceGuard(limitMs: number, caller: AbortSignal | undefined) {
  const own = new AbortController();
  const silent = () => own.abort(new Error(`nothing came for ${limitMs} ms`));
  let timer = setTimeout(silent, limitMs);
  return {
    signal: caller === undefined ? own.signal : AbortSignal.any([caller, own.signal]),
    hear: (): void => {
      clearTimeout(timer);
      timer = setTimeout(silent, limitMs);
    },
    end: (): void => {
      clearTimeout(timer);
      own.abort();
    },
  };
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted === true) stop();
    signal?.addEventListener('abort', stop, { once: true });
  });
}
