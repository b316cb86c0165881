import type Stripe from 'stripe';

import type { Money } from '../../domain/money.ts';
import { GatewayOutage } from './outage.ts';
import { type GatewayRefund, GatewayRefusal } from './port.ts';
import { type AskStripe, codeIn, StripeRefusal } from './stripe-client.ts';
import { type StripeAmount, toStripe } from './stripe-money.ts';
import { itemsOf } from './stripe-pages.ts';
import { type PaymentIntent, type Refund, refund } from './stripe-shapes.ts';

const PAGE = 100;
/** How often a refund that Stripe has refused may be asked for again within a day. */
const MOST_ATTEMPTS = 10;

export type RefundOrder = Readonly<{ providerId: string; refundKey: string; amount: Money }>;

/**
 * Gives money back once per refund key. Stripe forgets idempotency keys after a day, so the key is written on the refund
 * itself and looked for first; the idempotency key holds off a copy that asks at the same moment.
 *
 * @throws GatewayRefusal when Stripe refuses; a later call asks again
 */
export async function refundOnce(ask: AskStripe, order: RefundOrder, signal?: AbortSignal): Promise<GatewayRefund> {
  const { providerId, refundKey } = order;
  const asked = toStripe(order.amount);
  if (asked === undefined) {
    throw new GatewayRefusal('amount_not_supported', `Stripe cannot give back this amount of ${order.amount.currency}`);
  }
  for await (const known of refundsOf(ask, providerId, signal)) {
    if (known.metadata?.['refund_key'] === refundKey) return standingOf(known, providerId, asked);
  }
  const metadata = { refund_key: refundKey };
  const params = { payment_intent: providerId, amount: asked.amount, metadata } satisfies Stripe.RefundCreateParams;
  for (let attempt = 1; ; attempt++) {
    // Within a day a key answers a "no" again without trying. Whatever it refused was not done, so the next key is free.
    const idempotencyKey = attempt === 1 ? refundKey : `${refundKey}:${attempt}`;
    try {
      const send = ask('stripe refund', refund, (to) => to.refunds.create(params, { idempotencyKey }), signal);
      return standingOf(await send, providerId, asked);
    } catch (error) {
      const isRepeatedNo = error instanceof StripeRefusal && error.replayed;
      if (!isRepeatedNo || attempt === MOST_ATTEMPTS) throw error;
    }
  }
}

/** In Stripe's unit, what was given back of an intent or is on its way. A refund that failed counts no longer. */
export async function refundedOf(ask: AskStripe, intent: PaymentIntent, signal?: AbortSignal): Promise<number> {
  const charge = intent.latest_charge;
  if (typeof charge === 'object' && charge !== null && charge.amount_refunded === 0) return 0;
  let sum = 0;
  for await (const { status, amount, currency } of refundsOf(ask, intent.id, signal)) {
    if (currency !== intent.currency) throw new GatewayOutage('stripe refunds: a refund in another currency');
    if (status !== 'failed' && status !== 'canceled') sum += amount;
  }
  return sum;
}

const refundsOf = (ask: AskStripe, providerId: string, signal?: AbortSignal): AsyncIterable<Refund> =>
  itemsOf(
    ask,
    'stripe refunds',
    refund,
    PAGE,
    (stripe, page) => stripe.refunds.list({ payment_intent: providerId, ...page }),
    signal,
  );

/** Believed only when it is the refund that was asked for. */
function standingOf(given: Refund, providerId: string, asked: StripeAmount): GatewayRefund {
  const isOurs = given.payment_intent === providerId;
  if (!isOurs || given.amount !== asked.amount || given.currency !== asked.currency) {
    throw new GatewayOutage('stripe refund: the answer is about another refund');
  }
  switch (given.status) {
    case 'succeeded':
      return { status: 'succeeded', failureCode: null };
    case 'pending':
    case 'requires_action':
      return { status: 'pending', failureCode: null };
    case 'failed':
    case 'canceled':
      return { status: 'failed', failureCode: codeIn(given.failure_reason) ?? given.status };
  }
}
