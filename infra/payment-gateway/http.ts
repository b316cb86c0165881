import { GatewayOutage } from './outage.ts';

export type HttpCall = Readonly<{
  /** What is being done, for error messages. */
  action: string;
  url: string;
  method: 'GET' | 'POST';
  idempotencyKey?: string | undefined;
  body?: unknown;
  timeoutMs: number;
  signal: AbortSignal | undefined;
}>;

export type HttpAnswer = Readonly<{ status: number; body: unknown; retryAfterMs: number | undefined }>;

const LARGEST_ANSWER_BYTES = 64 * 1024;
const LONGEST_WAIT_MS = 60 * 60_000;

/**
 * One attempt over HTTP, limited in time and in size.
 *
 * @throws GatewayOutage when no whole JSON answer came, whatever its status
 */
export async function callOnce(call: HttpCall): Promise<HttpAnswer> {
  const limit = AbortSignal.timeout(call.timeoutMs);
  const signal = call.signal === undefined ? limit : AbortSignal.any([limit, call.signal]);
  let status: number | undefined;
  let retryAfterMs: number | undefined;
  try {
    const response = await fetch(call.url, {
      method: call.method,
      headers: headersOf(call),
      body: call.body === undefined ? null : JSON.stringify(call.body),
      redirect: 'error',
      signal,
    });
    status = response.status;
    retryAfterMs = readRetryAfter(response.headers.get('retry-after'));
    return { status, retryAfterMs, body: JSON.parse(await readLimited(response)) };
  } catch (error) {
    const why = limit.aborted ? `no answer within ${call.timeoutMs} ms` : reasonOf(error, call.signal);
    const seen = status === undefined ? '' : ` after HTTP ${status}`;
    throw new GatewayOutage(`${call.action}: ${why}${seen}`, { retryAfterMs, cause: causeOf(error) });
  }
}

function headersOf({ idempotencyKey, body }: HttpCall): Record<string, string> {
  return {
    accept: 'application/json',
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
  };
}

/**
 * Reads as it comes and stops above the limit: the length that a header promises proves nothing.
 *
 * @throws TooLarge above `limitBytes`
 */
export async function readLimited(response: Response, limitBytes = LARGEST_ANSWER_BYTES): Promise<string> {
  const stream: AsyncIterable<Uint8Array> | null = response.body;
  if (stream === null) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop early cancels the rest of the stream.
  for await (const chunk of stream) {
    bytes += chunk.byteLength;
    if (bytes > limitBytes) throw new TooLarge(`the answer is larger than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Thrown for an answer above the limit. */
export class TooLarge extends Error {}

function reasonOf(error: unknown, callers: AbortSignal | undefined): string {
  if (callers?.aborted === true) return 'the caller gave up';
  if (error instanceof TooLarge) return error.message;
  if (error instanceof SyntaxError) return 'the answer is not JSON';
  return 'the connection failed';
}

/** A syntax error quotes the answer it could not read, so it is not handed on. */
const causeOf = (error: unknown): unknown => (error instanceof SyntaxError ? undefined : error);

/** Seconds or an HTTP date, RFC 9110 10.2.3, as milliseconds; at most an hour. */
export function readRetryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_WAIT_MS);
}
