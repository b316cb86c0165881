import { z } from 'zod';

import type { PaymentChoice } from '../../domain/checkout.ts';
import { type Money, sameMoney } from '../../domain/money.ts';
import { callOnce, type HttpAnswer, type HttpCall } from './http.ts';
import { GatewayOutage } from './outage.ts';
import { type Charge, type ChargeRequest, type GatewayRefund, GatewayRefusal, type PaymentGateway } from './port.ts';

export type SimulatedGatewayOptions = Readonly<{
  url: string;
  /** Limit of one call, from sending to the last byte of its answer, milliseconds. */
  timeoutMs: number;
  /** After this a charge that was asked for has landed or never will, milliseconds. */
  maxProcessingMs: number;
}>;

const money = z.object({ minor: z.int().nonnegative(), currency: z.string().regex(/^[A-Z]{3}$/) });
/** Shown to a shopper and stored with the order, so their size and their letters are limited. */
const line = z.string().regex(/^[\p{L}\p{N} .,:/_-]{1,100}$/u);
const instructions = z.discriminatedUnion('type', [
  z.object({ type: z.literal('bank_transfer'), bank: line, account: line, reference: line }),
  z.object({ type: z.literal('redirect'), url: z.url({ protocol: /^https?$/ }).max(2_000) }),
]);
const chargeAnswer = z
  .object({
    providerId: z.string().min(1).max(255),
    status: z.enum(['open', 'processing', 'requires_confirmation', 'captured', 'declined', 'cancelled']),
    captured: money.nullable(),
    refundedMinor: z.int().nonnegative(),
    declineCode: z.string().max(50).nullable(),
    instructions: instructions.nullable(),
  })
  .refine(({ status, instructions }) => (status === 'requires_confirmation') === (instructions !== null))
  .refine(({ status, captured }) => (status === 'captured') === (captured !== null))
  .refine(({ captured, refundedMinor }) => refundedMinor <= (captured?.minor ?? 0));
const refundAnswer = z
  .object({
    providerId: z.string().min(1).max(255),
    refundKey: z.string().min(1).max(255),
    amount: money,
    status: z.enum(['succeeded', 'pending', 'failed']),
    failureCode: z
      .string()
      .regex(/^\w{1,50}$/)
      .nullable(),
  })
  .refine(({ status, failureCode }) => (status === 'failed') === (failureCode !== null));
const refundsAnswer = z.object({ items: z.array(refundAnswer).max(100) });
const noAnswer = z.object({ code: z.string().max(100), message: z.string().max(1_000) });

/**
 * The "no" that cannot become a "yes", and that says nothing was done. A key that was used for another request is
 * not among them: that other request may have charged.
 */
const FINAL = new Set([
  'cancel_refused',
  'currency_mismatch',
  'invalid_payment_method',
  'invalid_request',
  'not_captured',
  'refund_exceeds_capture',
  'refund_refused',
  'unknown_charge',
]);

/**
 * The payment gateway over HTTP, one attempt per call.
 *
 * @throws GatewayRefusal a final "no" to this very request
 * @throws GatewayOutage anything else: the outcome is in doubt
 */
export function simulatedGateway({ url, timeoutMs, maxProcessingMs }: SimulatedGatewayOptions): PaymentGateway {
  const base = url.replace(/\/+$/, '');
  const chargeUrl = (providerId: string) => `${base}/charges/${encodeURIComponent(providerId)}`;
  const call = (request: Omit<HttpCall, 'timeoutMs'>) => callOnce({ ...request, timeoutMs });
  const post = (action: string, to: string, key: string | undefined, body: unknown, signal: AbortSignal | undefined) =>
    call({ action, url: to, method: 'POST', idempotencyKey: key, body, signal });

  return {
    provider: 'simulated',
    maxProcessingMs,

    async prepare({ orderId, amount, method }: ChargeRequest, signal?: AbortSignal): Promise<string> {
      const body = { orderId, amount, method };
      const answer = await post('gateway prepare', `${base}/charges`, `${orderId}:prepare`, body, signal);
      return readCharge('gateway prepare', answer).providerId;
    },

    async confirm(orderId: string, providerId: string, choice: PaymentChoice, signal?: AbortSignal): Promise<Charge> {
      const to = `${chargeUrl(providerId)}/confirm`;
      const body = choice.method === 'card' ? { token: choice.token } : {};
      const answer = await post('gateway confirm', to, `${orderId}:confirm`, body, signal);
      return readCharge('gateway confirm', answer, providerId);
    },

    async lookup(providerId: string, signal?: AbortSignal): Promise<Charge | undefined> {
      const answer = await call({ action: 'gateway lookup', url: chargeUrl(providerId), method: 'GET', signal });
      if (answer.status === 404 && codeOf(answer) === 'unknown_charge') return undefined;
      return readCharge('gateway lookup', answer, providerId);
    },

    async cancel(providerId: string, signal?: AbortSignal): Promise<Charge> {
      const answer = await post('gateway cancel', `${chargeUrl(providerId)}/cancel`, undefined, {}, signal);
      return readCharge('gateway cancel', answer, providerId);
    },

    /** Looks first: a key that the gateway has forgotten would be paid a second time. */
    async refund(providerId: string, refundKey: string, amount: Money, signal?: AbortSignal): Promise<GatewayRefund> {
      const to = `${chargeUrl(providerId)}/refunds`;
      const asked = { providerId, refundKey, amount };
      const search = new URLSearchParams({ refundKey });
      const known = await call({ action: 'gateway refunds', url: `${to}?${search.toString()}`, method: 'GET', signal });
      const [earlier] = readRefunds('gateway refunds', known, asked);
      if (earlier !== undefined) return earlier;

      const answer = await post('gateway refund', to, refundKey, { amount }, signal);
      return readRefund('gateway refund', answer, asked);
    },
  };
}

type AskedRefund = Readonly<{ providerId: string; refundKey: string; amount: Money }>;

/** Believes only a whole charge, and only the one that was asked about. */
function readCharge(action: string, answer: HttpAnswer, providerId?: string): Charge {
  const charge = read(action, answer, chargeAnswer, 'charge');
  if (providerId !== undefined && charge.providerId !== providerId) {
    throw new GatewayOutage(`${action}: the answer is about another charge`);
  }
  return charge;
}

/**
 * The refunds that the gateway has under one key, oldest first.
 *
 * @throws GatewayOutage also for a "no": a question that is refused does not say that nothing was given back
 */
function readRefunds(action: string, answer: HttpAnswer, asked: AskedRefund): GatewayRefund[] {
  if (answer.status !== 200) throw outageOf(action, answer);
  return read(action, answer, refundsAnswer, 'list of refunds').items.map((refund) => expected(action, refund, asked));
}

function readRefund(action: string, answer: HttpAnswer, asked: AskedRefund): GatewayRefund {
  return expected(action, read(action, answer, z.object({ refund: refundAnswer }), 'refund').refund, asked);
}

/** Another amount under our key is no answer to what was asked. */
function expected(action: string, refund: z.infer<typeof refundAnswer>, asked: AskedRefund): GatewayRefund {
  const same = refund.providerId === asked.providerId && refund.refundKey === asked.refundKey;
  if (!same || !sameMoney(refund.amount, asked.amount)) {
    throw new GatewayOutage(`${action}: the answer is about another refund`);
  }
  return { status: refund.status, failureCode: refund.failureCode };
}

function read<T>(action: string, answer: HttpAnswer, schema: z.ZodType<T>, what: string): T {
  const { status, body } = answer;
  if (status !== 200 && status !== 201) {
    const code = codeOf(answer);
    if (status >= 400 && status < 500 && code !== undefined && FINAL.has(code)) {
      throw new GatewayRefusal(code, `${action}: refused with ${code}`);
    }
    throw outageOf(action, answer);
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map(({ path }) => path.join('.') || what);
  throw new GatewayOutage(`${action}: the answer is not a ${what} (${fields.join(', ')})`);
}

function outageOf(action: string, answer: HttpAnswer): GatewayOutage {
  const { status, retryAfterMs } = answer;
  const code = codeOf(answer);
  return new GatewayOutage(`${action}: HTTP ${status}${code === undefined ? '' : ` ${code}`}`, { retryAfterMs });
}

/** A code is repeated in messages and logs, so only one that looks like a code is taken. */
function codeOf({ body }: HttpAnswer): string | undefined {
  const parsed = noAnswer.safeParse(body);
  return parsed.success && /^[a-z_]+$/.test(parsed.data.code) ? parsed.data.code : undefined;
}
