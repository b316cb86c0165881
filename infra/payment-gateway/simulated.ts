import { z } from 'zod';

import type { PaymentChoice } from '../../domain/checkout.ts';
import type { Money } from '../../domain/money.ts';
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
const chargeAnswer = z
  .object({
    providerId: z.string().min(1).max(255),
    status: z.enum(['open', 'processing', 'requires_confirmation', 'captured', 'declined', 'cancelled']),
    captured: money.nullable(),
    refundedMinor: z.int().nonnegative(),
    declineCode: z.string().max(50).nullable(),
    instructions: z.null().default(null),
  })
  .refine(({ status, captured }) => (status === 'captured') === (captured !== null))
  .refine(({ captured, refundedMinor }) => refundedMinor <= (captured?.minor ?? 0));
const noAnswer = z.object({ code: z.string().max(100), message: z.string().max(1_000) });

/**
 * The "no" that cannot become a "yes", and that says nothing was done. A key that was used for another request is
 * not among them: that other request may have charged.
 */
const FINAL = new Set([
  'invalid_request',
  'invalid_payment_method',
  'unknown_charge',
  'not_captured',
  'currency_mismatch',
  'refund_exceeds_capture',
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

    async prepare({ orderId, amount }: ChargeRequest, signal?: AbortSignal): Promise<string> {
      const body = { orderId, amount };
      const answer = await post('gateway prepare', `${base}/charges`, `${orderId}:prepare`, body, signal);
      return readCharge('gateway prepare', answer).providerId;
    },

    async confirm(orderId: string, providerId: string, choice: PaymentChoice, signal?: AbortSignal): Promise<Charge> {
      const to = `${chargeUrl(providerId)}/confirm`;
      const answer = await post(
        'gateway confirm',
        to,
        `${orderId}:confirm`,
        choice.method === 'card' ? { token: choice.token } : {},
        signal,
      );
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

    async refund(providerId: string, refundKey: string, amount: Money, signal?: AbortSignal): Promise<GatewayRefund> {
      const answer = await post('gateway refund', `${chargeUrl(providerId)}/refunds`, refundKey, { amount }, signal);
      readCharge('gateway refund', answer, providerId);
      return { status: 'succeeded', failureCode: null };
    },
  };
}

/** Believes only a whole charge, and only the one that was asked about. */
function readCharge(action: string, answer: HttpAnswer, providerId?: string): Charge {
  const { status, body, retryAfterMs } = answer;
  if (status !== 200 && status !== 201) {
    const code = codeOf(answer);
    if (status >= 400 && status < 500 && code !== undefined && FINAL.has(code)) {
      throw new GatewayRefusal(code, `${action}: refused with ${code}`);
    }
    throw new GatewayOutage(`${action}: HTTP ${status}${code === undefined ? '' : ` ${code}`}`, { retryAfterMs });
  }
  const parsed = chargeAnswer.safeParse(body);
  if (!parsed.success) {
    const fields = parsed.error.issues.map(({ path }) => path.join('.') || 'charge');
    throw new GatewayOutage(`${action}: the answer is not a charge (${fields.join(', ')})`);
  }
  if (providerId !== undefined && parsed.data.providerId !== providerId) {
    throw new GatewayOutage(`${action}: the answer is about another charge`);
  }
  return parsed.data;
}

/** A code is repeated in messages and logs, so only one that looks like a code is taken. */
function codeOf({ body }: HttpAnswer): string | undefined {
  const parsed = noAnswer.safeParse(body);
  return parsed.success && /^[a-z_]+$/.test(parsed.data.code) ? parsed.data.code : undefined;
}
