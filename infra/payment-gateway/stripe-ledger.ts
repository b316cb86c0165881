import { z } from 'zod';

import type { BookedCharge, GatewayLedger, LedgerQuery } from './ledger.ts';
import { type AskStripe, askStripe, reading, type StripeOptions } from './stripe-client.ts';
import { itemsOf } from './stripe-pages.ts';
import { refundedOf } from './stripe-refunds.ts';
import { moneyOf, type PaymentIntent, paymentIntent } from './stripe-shapes.ts';

/** An intent with its charge is up to ten thousand bytes. */
const PAGE = 50;

const orderId = z.uuid();
/** Money that moved on the account; its source is the charge, refund or dispute that moved it. */
const movement = z.object({
  object: z.literal('balance_transaction'),
  id: z.string().min(1),
  source: z.union([z.object({ payment_intent: z.string().nullish() }), z.string(), z.null()]),
});

/**
 * Stripe's books, read from its payment intents; those without one of our order ids belong to somebody else and are left
 * out. With `since` they are found through the account's balance transactions, so an old charge that was refunded today
 * is among them; without it every intent of the account is listed. `orderIds` only picks from that: Stripe can search by
 * metadata, but its search lags behind by up to a minute, and books must not.
 */
export function stripeLedger(options: StripeOptions): GatewayLedger {
  const ask = reading(askStripe(options));
  return {
    provider: 'stripe',

    async *charges({ since, orderIds, say, signal }: LedgerQuery): AsyncIterable<BookedCharge> {
      const wanted = orderIds && new Set(orderIds);
      let entries = 0;
      for await (const intent of since === undefined ? allIntents(ask, signal) : movedSince(ask, since, signal)) {
        say?.(++entries);
        const ours = orderId.safeParse(intent.metadata['order_id']);
        if (!ours.success || intent.amount_received === 0) continue;
        if (wanted === undefined || wanted.has(ours.data)) yield await booked(ask, intent, ours.data, signal);
      }
    },
  };
}

const allIntents = (ask: AskStripe, signal?: AbortSignal): AsyncIterable<PaymentIntent> =>
  itemsOf(
    ask,
    'stripe ledger',
    paymentIntent,
    PAGE,
    (stripe, page) => stripe.paymentIntents.list({ ...page, expand: ['data.latest_charge'] }),
    signal,
  );

/** Each intent once, however often money moved on it. */
async function* movedSince(ask: AskStripe, since: Date, signal?: AbortSignal): AsyncIterable<PaymentIntent> {
  const created = { gte: Math.floor(since.getTime() / 1_000) };
  const seen = new Set<string>();
  const movements = itemsOf(
    ask,
    'stripe ledger',
    movement,
    PAGE,
    (stripe, page) => stripe.balanceTransactions.list({ ...page, created, expand: ['data.source'] }),
    signal,
  );
  for await (const { source } of movements) {
    const id = typeof source === 'object' ? source?.payment_intent : undefined;
    if (id == null || seen.has(id)) continue;
    seen.add(id);
    const params = { expand: ['latest_charge'] };
    yield await ask('stripe ledger', paymentIntent, (stripe) => stripe.paymentIntents.retrieve(id, params), signal);
  }
}

async function booked(
  ask: AskStripe,
  intent: PaymentIntent,
  order: string,
  signal?: AbortSignal,
): Promise<BookedCharge> {
  const inOurUnit = (amount: number) => moneyOf('stripe ledger', { amount, currency: intent.currency });
  const { minor: captured, currency } = inOurUnit(intent.amount_received);
  const { minor: refunded } = inOurUnit(await refundedOf(ask, intent, signal));
  return { providerId: intent.id, orderId: order, captured, refunded, currency };
}
