import { z } from 'zod';

import { eachAtOnce } from './at-once.ts';
import type { BookedCharge, GatewayLedger, LedgerQuery } from './ledger.ts';
import { type AskStripe, askStripe, reading, type StripeOptions, StripeRefusal } from './stripe-client.ts';
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
type Movement = z.infer<typeof movement>;

/** Stripe allows a hundred calls a second, and fewer in test mode; charges are made meanwhile. */
const CALLS_AT_ONCE = 8;

/**
 * Stripe's books, read from its payment intents; those without one of our order ids belong to somebody else and are left
 * out. With `since` they are the intents made since, a page at a time, and those that the account's balance transactions
 * name besides, so an old charge that was refunded today is among them. Without it every intent of the account is
 * listed, unless `providerIds` names them. `orderIds` only picks from that: Stripe can search by metadata, but its search
 * lags behind by up to a minute, and books must not.
 */
export function stripeLedger(options: StripeOptions): GatewayLedger {
  const ask = reading(askStripe(options));
  return {
    provider: 'stripe',

    async *charges({ since, orderIds, providerIds, say, signal }: LedgerQuery): AsyncIterable<BookedCharge> {
      const wanted = orderIds && new Set(orderIds);
      const named = providerIds && new Set(providerIds);
      let entries = 0;
      const book = async (intent: PaymentIntent): Promise<BookedCharge | undefined> => {
        const ours = orderId.safeParse(intent.metadata['order_id']);
        const isMeant = wanted === undefined || (ours.success && wanted.has(ours.data));
        if (!ours.success || !isMeant || intent.amount_received === 0) return undefined;
        return booked(ask, intent, ours.data, signal);
      };
      for await (const charge of eachAtOnce(counted(intentsOf(ask, { since, named }, signal)), CALLS_AT_ONCE, book)) {
        if (charge !== undefined) yield charge;
      }

      async function* counted(intents: AsyncIterable<PaymentIntent>): AsyncIterable<PaymentIntent> {
        for await (const intent of intents) {
          say?.(++entries);
          yield intent;
        }
      }
    },
  };
}

type Chosen = Readonly<{ since: Date | undefined; named: ReadonlySet<string> | undefined }>;

async function* intentsOf(
  ask: AskStripe,
  { since, named }: Chosen,
  signal?: AbortSignal,
): AsyncIterable<PaymentIntent> {
  const seconds = since && Math.floor(since.getTime() / 1_000);
  if (seconds === undefined) {
    // The few that are named are asked for by name.
    yield* named === undefined ? listed(ask, {}, signal) : known(ask, named, signal);
    return;
  }
  // The whole window must be looked at to know which of those that are named moved in it.
  for await (const intent of moved(ask, seconds, signal)) {
    if (named === undefined || named.has(intent.id)) yield intent;
  }
}

const listed = (ask: AskStripe, filter: Readonly<{ created?: { gte: number } }>, signal?: AbortSignal) =>
  itemsOf(
    ask,
    'stripe ledger',
    paymentIntent,
    PAGE,
    (stripe, page) => stripe.paymentIntents.list({ ...page, ...filter, expand: ['data.latest_charge'] }),
    signal,
  );

/**
 * Each intent once, however often money moved on it. The few that are older than the window are asked for one by one: a
 * balance transaction is about payouts and fees too, so what its source refers to cannot be expanded.
 */
async function* moved(ask: AskStripe, since: number, signal?: AbortSignal): AsyncIterable<PaymentIntent> {
  const created = { gte: since };
  const seen = new Set<string>();
  for await (const intent of listed(ask, { created }, signal)) {
    if (intent.amount_received === 0) continue; // if it is paid meanwhile, its movement is found below
    seen.add(intent.id);
    yield intent;
  }
  const movements = itemsOf(
    ask,
    'stripe ledger',
    movement,
    PAGE,
    (stripe, page) => stripe.balanceTransactions.list({ ...page, created, expand: ['data.source'] }),
    signal,
  );
  yield* eachAtOnce(others(movements, seen), CALLS_AT_ONCE, (id) => retrieve(ask, id, signal));
}

async function* others(movements: AsyncIterable<Movement>, seen: Set<string>): AsyncIterable<string> {
  for await (const { source } of movements) {
    const id = typeof source === 'object' ? source?.payment_intent : undefined;
    if (id == null || seen.has(id)) continue;
    seen.add(id);
    yield id;
  }
}

/** The intents of these ids. One that Stripe does not know is in no books: the caller sees that it is missing. */
async function* known(ask: AskStripe, ids: Iterable<string>, signal?: AbortSignal): AsyncIterable<PaymentIntent> {
  const found = eachAtOnce(ids, CALLS_AT_ONCE, (id) =>
    retrieve(ask, id, signal).catch((error: unknown) => {
      const refusal = error instanceof Error ? error.cause : undefined;
      if (refusal instanceof StripeRefusal && refusal.gatewayCode === 'resource_missing') return undefined;
      throw error;
    }),
  );
  for await (const intent of found) if (intent !== undefined) yield intent;
}

function retrieve(ask: AskStripe, id: string, signal?: AbortSignal): Promise<PaymentIntent> {
  const params = { expand: ['latest_charge'] };
  return ask('stripe ledger', paymentIntent, (stripe) => stripe.paymentIntents.retrieve(id, params), signal);
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
