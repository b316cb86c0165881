import type Stripe from 'stripe';

import type { PaymentChoice } from '../../domain/checkout.ts';
import type { Money } from '../../domain/money.ts';
import { GatewayOutage } from './outage.ts';
import { type Charge, type ChargeRequest, GatewayRefusal, type PaymentGateway } from './port.ts';
import { askStripe, type StripeOptions, StripeRefusal } from './stripe-client.ts';
import { toStripe } from './stripe-money.ts';
import { refundedOf, refundOnce } from './stripe-refunds.ts';
import { chargeOf, moneyOf, type PaymentIntent, paymentIntent, stripeObject } from './stripe-shapes.ts';

export type StripeGatewayOptions = StripeOptions &
  Readonly<{
    /** After this a charge that was asked for has landed or never will, milliseconds. */
    maxProcessingMs: number;
    /** Where the shopper's browser goes after confirming a card. Without it, cards that ask for that are declined. */
    returnUrl?: string | undefined;
  }>;

/** How Stripe takes a bank transfer, by currency. Any account in the euro area takes transfers from all of it. */
const BANK_TRANSFERS = {
  EUR: { type: 'eu_bank_transfer', eu_bank_transfer: { country: 'DE' } },
  GBP: { type: 'gb_bank_transfer' },
  JPY: { type: 'jp_bank_transfer' },
  MXN: { type: 'mx_bank_transfer' },
  USD: { type: 'us_bank_transfer' },
} as const;
const canBeTransferred = (currency: string): currency is keyof typeof BANK_TRANSFERS =>
  Object.hasOwn(BANK_TRANSFERS, currency);

/** The intent's charge comes with it, so that what was given back is known. */
const EXPAND = ['latest_charge'];

/**
 * Payment intents of Stripe, one attempt per call (docs/decisions/0018-the-stripe-adapter.md).
 *
 * @throws GatewayRefusal a final "no" to this very request
 * @throws GatewayOutage anything else: the outcome is in doubt
 */
export function stripeGateway(options: StripeGatewayOptions): PaymentGateway {
  const ask = askStripe(options);
  const chargeFor = async (action: string, intent: PaymentIntent, signal?: AbortSignal): Promise<Charge> => {
    const refunded = intent.status === 'succeeded' ? await refundedOf(ask, intent, signal) : 0;
    const { minor } = moneyOf(action, { amount: refunded, currency: intent.currency });
    return chargeOf(action, intent, minor);
  };

  const lookup = async (providerId: string, signal?: AbortSignal): Promise<Charge | undefined> => {
    const action = 'stripe lookup';
    const found = await ask(
      action,
      paymentIntent,
      (to) => to.paymentIntents.retrieve(providerId, { expand: EXPAND }),
      signal,
    ).catch((error: unknown) => {
      if (!(error instanceof StripeRefusal)) throw error;
      if (error.status === 404 && error.gatewayCode === 'resource_missing') return undefined;
      throw new GatewayOutage(error.message, { cause: error }); // a "no" to a question says nothing about money
    });
    return found && chargeFor(action, theOne(action, found, providerId), signal);
  };

  /** Stripe said no to something about this charge: what became of the charge itself is in its state. */
  const stateAfter = async (refusal: StripeRefusal, providerId: string, signal?: AbortSignal): Promise<Charge> => {
    const charge = await lookup(providerId, signal);
    // It gave us this id: unknown means that the key belongs to another account.
    if (charge === undefined) throw new GatewayOutage(`${refusal.message}, and the charge is not known`);
    return charge;
  };

  /** A token becomes a payment method first: an intent takes no tokens. It can be spent once, so the answer is kept. */
  const cardMethod = async (orderId: string, token: string, signal?: AbortSignal): Promise<string> => {
    if (!token.startsWith('tok_')) return token;
    const params = { type: 'card', card: { token } } satisfies Stripe.PaymentMethodCreateParams;
    const key = { idempotencyKey: `${orderId}:method` };
    return (await ask('stripe method', stripeObject, (to) => to.paymentMethods.create(params, key), signal)).id;
  };

  const confirmation = async (
    orderId: string,
    choice: PaymentChoice,
    signal?: AbortSignal,
  ): Promise<Stripe.PaymentIntentConfirmParams> => {
    if (choice.method === 'bank_transfer') return { expand: EXPAND };
    const method = { payment_method: await cardMethod(orderId, choice.token, signal), expand: EXPAND };
    const { returnUrl } = options;
    return returnUrl === undefined
      ? { ...method, error_on_requires_action: true }
      : { ...method, return_url: returnUrl };
  };

  return {
    provider: 'stripe',
    maxProcessingMs: options.maxProcessingMs,

    async prepare({ orderId, amount, method }: ChargeRequest, signal?: AbortSignal): Promise<string> {
      const asked = toStripe(amount);
      if (asked === undefined) throw cannotTake('amount_not_supported', amount);
      const metadata = { order_id: orderId };
      let how: Partial<Stripe.PaymentIntentCreateParams> = { allowed_payment_method_types: ['card'] };
      if (method === 'bank_transfer') {
        if (!canBeTransferred(amount.currency)) throw cannotTake('currency_not_supported', amount);
        // A customer of its own: what is transferred for one order can never pay for another.
        const cash_balance = { settings: { reconciliation_mode: 'automatic' } };
        const customer = { metadata, cash_balance } satisfies Stripe.CustomerCreateParams;
        const key = { idempotencyKey: `${orderId}:customer` };
        const { id } = await ask('stripe customer', stripeObject, (to) => to.customers.create(customer, key), signal);
        how = transferTo(id, BANK_TRANSFERS[amount.currency]);
      }
      const params = { ...how, ...asked, metadata };
      const key = { idempotencyKey: `${orderId}:prepare` };
      const send = ask('stripe prepare', paymentIntent, (to) => to.paymentIntents.create(params, key), signal);
      const intent = await send;
      if (intent.amount === asked.amount && intent.currency === asked.currency) return intent.id;
      throw new GatewayOutage('stripe prepare: the answer is about another amount');
    },

    async confirm(orderId: string, providerId: string, choice: PaymentChoice, signal?: AbortSignal): Promise<Charge> {
      const action = 'stripe confirm';
      try {
        const params = await confirmation(orderId, choice, signal);
        const key = { idempotencyKey: `${orderId}:confirm` };
        const send = ask(action, paymentIntent, (to) => to.paymentIntents.confirm(providerId, params, key), signal);
        return await chargeFor(action, theOne(action, await send, providerId), signal);
      } catch (error) {
        if (!(error instanceof StripeRefusal)) throw error;
        // Past a key's lifetime the "no" may be to a repetition of what was done: the charge's own state comes first.
        const charge = await stateAfter(error, providerId, signal);
        if (charge.status !== 'open') return charge;
        if (error.status !== 402) throw error;
        return { ...charge, status: 'declined', declineCode: error.declineCode ?? error.gatewayCode };
      }
    },

    lookup,

    async cancel(providerId: string, signal?: AbortSignal): Promise<Charge> {
      const action = 'stripe cancel';
      try {
        const params = { expand: EXPAND };
        const send = ask(action, paymentIntent, (to) => to.paymentIntents.cancel(providerId, params), signal);
        return await chargeFor(action, theOne(action, await send, providerId), signal);
      } catch (error) {
        if (!(error instanceof StripeRefusal)) throw error;
        const charge = await stateAfter(error, providerId, signal);
        // What is captured, closed or being processed cannot be cancelled: that is an answer. What is open can.
        if (charge.status === 'open' || charge.status === 'requires_confirmation') throw error;
        return charge;
      }
    },

    refund: (providerId, refundKey, amount, signal) => refundOnce(ask, { providerId, refundKey, amount }, signal),
  };
}

const transferTo = (
  customer: string,
  bankTransfer: Stripe.PaymentIntentCreateParams.PaymentMethodOptions.CustomerBalance.BankTransfer,
): Partial<Stripe.PaymentIntentCreateParams> => ({
  customer,
  allowed_payment_method_types: ['customer_balance'],
  payment_method_data: { type: 'customer_balance' },
  payment_method_options: { customer_balance: { funding_type: 'bank_transfer', bank_transfer: bankTransfer } },
});

function theOne(action: string, intent: PaymentIntent, providerId: string): PaymentIntent {
  if (intent.id === providerId) return intent;
  throw new GatewayOutage(`${action}: the answer is about another charge`);
}

const cannotTake = (code: string, { currency }: Money): GatewayRefusal =>
  new GatewayRefusal(code, `Stripe cannot take this amount of ${currency} by this method`);
