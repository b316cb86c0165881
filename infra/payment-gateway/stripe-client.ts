import Stripe from 'stripe';
import type { z } from 'zod';

import { readRetryAfter } from './http.ts';
import { GatewayOutage } from './outage.ts';
import { GatewayRefusal } from './port.ts';
import { limitedHttp, NoAnswer } from './stripe-http.ts';

/** The version of Stripe's API that this code and its tests are written for; an account's default is never used. */
const API_VERSION = '2026-10-28.endive';
const OWN_ADDRESS = 'https://api.stripe.com';

export type StripeOptions = Readonly<{
  secretKey: string;
  /** Instead of Stripe's own address, for example that of stripe-mock. */
  apiUrl?: string | undefined;
  /** Limit of one call, from sending to the last byte of its answer, milliseconds. */
  timeoutMs: number;
}>;

/** A final "no" of Stripe, with what decides how to go on. Its message repeats codes, never Stripe's own words. */
export class StripeRefusal extends GatewayRefusal {
  /** HTTP status; 402 is a card's decline. */
  readonly status: number;
  /** The issuer's reason, for a card's decline. */
  readonly declineCode: string | undefined;
  /** The parameter that was wrong. */
  readonly param: string | undefined;
  /** True when Stripe repeats what it has answered to the same idempotency key before: nothing was tried this time. */
  readonly replayed: boolean;

  constructor(action: string, code: string, error: Stripe.errors.StripeError) {
    super(code, `${action}: refused with ${code}`);
    this.status = error.statusCode ?? 0;
    this.declineCode = codeIn(error.decline_code);
    this.param = error.param;
    this.replayed = headerOf(error, 'idempotent-replayed') === 'true';
  }
}

/**
 * One call to Stripe whose answer has the shape of `schema`: the library's types promise it, they do not check it.
 *
 * @throws StripeRefusal a final "no" to this very request
 * @throws GatewayOutage anything else: the outcome is in doubt
 */
export type AskStripe = <T>(
  action: string,
  schema: z.ZodType<T>,
  send: (stripe: Stripe) => Promise<unknown>,
  signal?: AbortSignal,
) => Promise<T>;

export function askStripe({ secretKey, apiUrl = OWN_ADDRESS, timeoutMs }: StripeOptions): AskStripe {
  const { protocol, hostname, port } = new URL(apiUrl);
  const isPlain = protocol === 'http:';
  // The library knows no abort signal, so each call gets a client of its own with its signal in it; they share sockets.
  const clientFor = (signal: AbortSignal | undefined): Stripe =>
    new Stripe(secretKey, {
      apiVersion: API_VERSION,
      maxNetworkRetries: 0,
      telemetry: false,
      protocol: isPlain ? 'http' : 'https',
      host: hostname,
      port: port === '' ? (isPlain ? '80' : '443') : port,
      httpClient: limitedHttp(timeoutMs, signal),
    });

  return async (action, schema, send, signal) => {
    let answer: unknown;
    try {
      answer = await send(clientFor(signal));
    } catch (error) {
      throw translated(action, error);
    }
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    const fields = parsed.error.issues.map(({ path }) => path.join('.') || 'answer');
    throw new GatewayOutage(`${action}: the answer is not what Stripe promises (${[...new Set(fields)].join(', ')})`);
  };
}

/**
 * The same for calls that only read: a "no" to a question says nothing about money, so nobody may take it for one.
 *
 * @throws GatewayOutage also where Stripe refuses
 */
export const reading =
  (ask: AskStripe): AskStripe =>
  async (action, schema, send, signal) => {
    try {
      return await ask(action, schema, send, signal);
    } catch (error) {
      throw error instanceof StripeRefusal ? new GatewayOutage(error.message, { cause: error }) : error;
    }
  };

/** Codes of a 4xx that say "not now": another call holds the lock, or the key belongs to another request. */
const NOT_NOW = new Set([
  'idempotency_key_in_use',
  'lock_timeout',
  'rate_limit',
  'api_key_expired',
  'platform_api_key_expired',
]);

function translated(action: string, error: unknown): Error {
  if (!(error instanceof Stripe.errors.StripeError)) {
    return error instanceof Error ? error : new Error(`${action}: ${String(error)}`);
  }
  if (error.detail instanceof NoAnswer) {
    return new GatewayOutage(`${action}: ${error.detail.message}`, { cause: error.detail.cause });
  }
  const { statusCode: status, rawType: type } = error;
  const code = codeIn(error.code);
  const isNo =
    (status === 402 && type === 'card_error') ||
    ((status === 400 || status === 402 || status === 404) && type === 'invalid_request_error');
  if (isNo && !NOT_NOW.has(code ?? '')) return new StripeRefusal(action, code ?? type ?? 'refused', error);

  const retryAfterMs = readRetryAfter(headerOf(error, 'retry-after') ?? null);
  return new GatewayOutage(`${action}: HTTP ${status}${code === undefined ? '' : ` ${code}`}`, { retryAfterMs });
}

function headerOf({ headers }: Stripe.errors.StripeError, name: string): string | undefined {
  const value: unknown = headers?.[name];
  return typeof value === 'string' ? value : undefined;
}

/** A code is repeated in messages and stored with payments, so only what looks like a code is one. */
export const codeIn = (value: unknown): string | undefined =>
  typeof value === 'string' && /^[a-z0-9_]{1,50}$/.test(value) ? value : undefined;
