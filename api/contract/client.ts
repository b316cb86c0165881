import { z } from 'zod';

import type { AnswerOf, Problem, Refused, RequestOf } from './client-types.ts';
import { problem } from './errors.ts';
import type { Operation } from './operation.ts';

export type ClientOptions = Readonly<{
  /** Of the API; may have a path, where a proxy puts one before it. */
  url: string;
  /** Bearer token, or what gives one for each request. Left out: only what is public is answered. */
  token?: string | (() => string | Promise<string>) | undefined;
  fetch?: typeof globalThis.fetch;
  /** Longest wait for a whole answer, milliseconds. */
  timeoutMs?: number;
}>;

export type ApiClient = Readonly<{
  /**
   * Sends one request, once. What came of a request without an answer is not known: what has an `Idempotency-Key` may be
   * sent again with the same one.
   *
   * @throws NoAnswer when none came, or not in time · UnexpectedAnswer for one that the contract does not have
   */
  call: <const O extends Operation>(operation: O, request: RequestOf<O>) => Promise<AnswerOf<O>>;
}>;

/** No answer came: the API cannot be reached, the connection was lost, or it took too long. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
  /** Where and why, without the operation. */
  readonly reason: string;

  constructor(operation: Operation, reason: string, options?: ErrorOptions) {
    super(`${operation.id}: ${reason}`, options);
    this.reason = reason;
  }
}

/** An answer that is not one of the operation's: another API, a proxy's own page, or a broken contract. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
}

/** For one purchase or change: made once, kept, and sent again with every repeat of it. */
export const newIdempotencyKey = (): string => crypto.randomUUID();

/** Longer than the 30 seconds that a checkout may be waited for. */
const TIMEOUT_MS = 45_000;

/** The API as typed calls. It keeps nothing between them; it runs in Node and in a browser. */
export function apiClient(options: ClientOptions): ApiClient {
  const { timeoutMs = TIMEOUT_MS } = options;
  return {
    async call<const O extends Operation>(operation: O, request: RequestOf<O>): Promise<AnswerOf<O>> {
      const { signal: caller } = request;
      const limit = AbortSignal.timeout(timeoutMs);
      const signal = caller === undefined ? limit : AbortSignal.any([caller, limit]);
      const response = await send(operation, request, options, signal);
      const text = await heard(operation, options.url, request, () => response.text());
      return answerIn(operation, response, text) as AnswerOf<O>; // each schema belongs to its status
    },
  };
}

/** What `RequestOf` says of every operation. */
export type AnyRequest = Readonly<{
  params?: unknown;
  query?: unknown;
  body?: unknown;
  headers?: unknown;
  signal?: AbortSignal;
}>;

/**
 * Sends the request and gives the response as it begins.
 *
 * @param signal ends it, also while the body is read
 * @throws NoAnswer · TypeError for what cannot be a part of a path
 */
export async function send(
  operation: Operation,
  request: AnyRequest,
  { url, token, fetch: fetched = globalThis.fetch }: ClientOptions,
  signal: AbortSignal,
): Promise<Response> {
  const { params, query, body, headers: given } = request;
  const target = urlOf(operation, url, params, query);
  const headers = new Headers((given ?? {}) as Record<string, string>);
  const bearer = typeof token === 'function' ? await token() : token;
  if (bearer !== undefined) headers.set('Authorization', `Bearer ${bearer}`);
  if (body !== undefined) headers.set('Content-Type', 'application/json');
  const init: RequestInit = {
    ...{ method: operation.method.toUpperCase(), headers, signal, redirect: 'error', cache: 'no-store' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
  return heard(operation, url, request, () => fetched(target, init));
}

function urlOf({ path }: Operation, base: string, params: unknown, query: unknown): URL {
  const named = (params ?? {}) as Readonly<Record<string, unknown>>;
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = named[name];
    if (typeof value !== 'string' || /^\.{0,2}$/.test(value)) throw new TypeError(`${name} of ${path} is missing`);
    return encodeURIComponent(value);
  });
  const url = new URL(filled.slice(1), base.endsWith('/') ? base : `${base}/`);
  for (const [name, value] of Object.entries((query ?? {}) as Readonly<Record<string, string | number | undefined>>)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}

/** @throws NoAnswer with a reason that a person can use · what the caller gave up with */
export async function heard<T>(
  operation: Operation,
  url: string,
  { signal: caller }: AnyRequest,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    caller?.throwIfAborted();
    throw new NoAnswer(operation, `${new URL(url).origin} cannot be used (${reasonOf(error)})`, { cause: error });
  }
}

/** What fetch says by itself is "fetch failed". */
function reasonOf(error: unknown): string {
  const { cause = error } = error instanceof Error ? error : {};
  if (!(cause instanceof Error)) return String(cause);
  return cause.message === '' ? cause.name : cause.message;
}

function answerIn(operation: Operation, response: Response, text: string): unknown {
  const { status, headers } = response;
  if (isProblem(response)) return refusedIn(operation, response, text);
  const declared = operation.answers[status];
  if (declared === undefined)
    throw new UnexpectedAnswer(`${operation.id}: ${status} ${mediaTypeOf(response)} is no answer`);
  if (declared.body === undefined) return { status, headers, body: undefined };
  return { status, headers, body: fitting(operation, `the body of its ${status}`, declared.body, text) };
}

const PROBLEM = 'application/problem+json';
const mediaTypeOf = ({ headers }: Response): string => (headers.get('content-type') ?? '').split(';')[0]?.trim() ?? '';
/** Of the API itself, not of something on the way to it. */
export const isProblem = (response: Response): boolean => mediaTypeOf(response) === PROBLEM;

/** @throws UnexpectedAnswer */
export function refusedIn(operation: Operation, { status, headers }: Response, text: string): Refused {
  return { status, headers, problem: fitting(operation, `the body of its ${status}`, lenientProblem, text) };
}

const lenientProblem = problem.extend({ code: z.custom<Problem['code']>((code) => typeof code === 'string') });

/** @throws UnexpectedAnswer naming the operation, what did not fit, and where */
export function fitting<T extends z.ZodType>({ id }: Operation, what: string, schema: T, text: string): z.output<T> {
  const result = schema.safeParse(jsonIn(text));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue === undefined ? '' : ` at /${issue.path.map(String).join('/')}: ${issue.message}`;
  throw new UnexpectedAnswer(`${id}: ${what} is not as declared${where}`, { cause: result.error });
}

/** Undefined, which no schema of a body takes, for what is no JSON. */
function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
