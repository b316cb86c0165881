import type Stripe from 'stripe';

import { readLimited, TooLarge } from './http.ts';

/** A page of a list holds at most this; one charge is a few thousand. */
const LARGEST_ANSWER_BYTES = 1024 * 1024;

/** The headers of an answer that mean something to us; the library prints some of the others. */
const KEPT = ['retry-after', 'request-id', 'idempotent-replayed'] as const;

/** Why there is no whole answer. The library passes it on as the `detail` of its connection error. */
export class NoAnswer extends Error {}

/**
 * How the Stripe library sends: one attempt, limited from the first byte sent to the last byte read, in time and in size.
 * Its own client limits only silence, and repeats a call whose connection was closed even when it is told not to.
 */
export const limitedHttp = (timeoutMs: number, signal: AbortSignal | undefined): Stripe.HttpClient => ({
  getClientName: () => 'fetch',

  async makeRequest(host, port, path, method, headers, body, protocol) {
    const limit = AbortSignal.timeout(timeoutMs);
    try {
      const response = await fetch(`${protocol}://${host}:${port}${path}`, {
        method,
        headers: sendable(headers),
        body: method === 'POST' ? body : null,
        redirect: 'error',
        signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
      });
      return answerOf(response, readJson(await readLimited(response, LARGEST_ANSWER_BYTES), response.status));
    } catch (error) {
      if (error instanceof NoAnswer) throw error;
      const why = limit.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error, signal);
      throw new NoAnswer(why, { cause: error });
    }
  },
});

/** fetch counts the length itself. */
function sendable(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const sent = Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'content-length');
  return Object.fromEntries(sent.map(([name, value]) => [name, String(value)]));
}

/** The library takes any JSON without `error` for a success, whatever its status: such an answer must not get to it. */
function readJson(text: string, status: number): object {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new NoAnswer(`the answer is not JSON after HTTP ${status}`);
  }
  if (typeof json !== 'object' || json === null) throw new NoAnswer(`the answer is no object after HTTP ${status}`);
  const error = 'error' in json ? json.error : undefined;
  const isError = typeof error === 'object' && error !== null;
  if (isError === (status >= 200 && status < 300)) {
    throw new NoAnswer(`HTTP ${status} ${isError ? 'with' : 'without'} an error in it`);
  }
  return json;
}

function answerOf(response: Response, json: object): Stripe.HttpClientResponse {
  const kept = KEPT.flatMap((name) => {
    const value = response.headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  return {
    getStatusCode: () => response.status,
    getHeaders: () => Object.fromEntries(kept),
    getRawResponse: () => ({}),
    toStream: () => {
      throw new Error('streams are not asked for');
    },
    toJSON: () => Promise.resolve(json),
  };
}

function reasonOf(error: unknown, callers: AbortSignal | undefined): string {
  if (callers?.aborted === true) return 'the caller gave up';
  return error instanceof TooLarge ? error.message : 'the connection failed';
}
