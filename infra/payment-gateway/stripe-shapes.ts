import { z } from 'zod';

import type { Money } from '../../domain/money.ts';
import type { Charge, PaymentInstructions } from '../../domain/payment.ts';
import { GatewayOutage } from './outage.ts';
import { codeIn } from './stripe-client.ts';
import { fromStripe, type StripeAmount } from './stripe-money.ts';

const id = z.string().regex(/^[a-z]+_\w{1,200}$/i);
const amount = z.int().nonnegative();
const currency = z.string().regex(/^[a-z]{3}$/);
const metadata = z.record(z.string(), z.string());
const text = z.string().min(1).max(200);

/** Any object with an id: a customer, a payment method. */
export const stripeObject = z.object({ id });

const address = z.object({
  type: z.string(),
  aba: z.object({ bank_name: text, account_number: text, routing_number: text }).optional(),
  iban: z.object({ bic: text, iban: text }).optional(),
  sort_code: z.object({ sort_code: text, account_number: text }).optional(),
  spei: z.object({ bank_name: text, clabe: text }).optional(),
  zengin: z
    .object({
      bank_name: text.nullable(),
      branch_name: text.nullable(),
      account_type: text.nullable(),
      account_number: text.nullable(),
    })
    .optional(),
});
type Address = z.infer<typeof address>;

const nextAction = z.object({
  type: z.string(),
  redirect_to_url: z
    .object({
      url: z
        .url({ protocol: /^https?$/ })
        .max(2_000)
        .nullable(),
    })
    .nullish(),
  display_bank_transfer_instructions: z
    .object({ reference: text.nullable(), financial_addresses: z.array(address).default([]) })
    .nullish(),
});

/** What we believe of a payment intent; everything else in it is left where it is. */
export const paymentIntent = z.object({
  object: z.literal('payment_intent'),
  id,
  amount,
  amount_received: amount,
  currency,
  status: z.enum([
    'requires_payment_method',
    'requires_confirmation',
    'requires_action',
    'processing',
    'requires_capture',
    'succeeded',
    'canceled',
  ]),
  latest_charge: z.union([z.object({ amount_refunded: amount, currency }), z.string(), z.null()]),
  last_payment_error: z
    .object({ type: z.string(), code: z.string().optional(), decline_code: z.string().optional() })
    .nullable(),
  next_action: nextAction.nullable(),
  metadata,
});
export type PaymentIntent = z.infer<typeof paymentIntent>;

/** One refund. `requires_action`: the shopper must first tell Stripe where the money goes. */
export const refund = z.object({
  object: z.literal('refund'),
  id,
  amount,
  currency,
  status: z.enum(['pending', 'requires_action', 'succeeded', 'failed', 'canceled']),
  failure_reason: z.string().optional(),
  payment_intent: id.nullable(),
  metadata: metadata.nullable(),
});
export type Refund = z.infer<typeof refund>;

/** One page of a list. */
export const pageOf = <T>(item: z.ZodType<T>) =>
  z.object({ object: z.literal('list'), has_more: z.boolean(), data: z.array(item) });

/** Stripe's amount in our unit. @throws GatewayOutage when it cannot be said exactly: it is not believed then */
export function moneyOf(action: string, given: StripeAmount): Money {
  const money = fromStripe(given);
  if (money === undefined) throw new GatewayOutage(`${action}: an amount of ${given.currency} that we cannot count`);
  return money;
}

/** The intent as the shop sees a charge. `refundedMinor`: in our unit, what was given back or is on its way. */
export function chargeOf(action: string, intent: PaymentIntent, refundedMinor: number): Charge {
  const charge = { providerId: intent.id, captured: null, refundedMinor: 0, declineCode: null, instructions: null };
  switch (intent.status) {
    case 'succeeded': {
      const captured = moneyOf(action, { amount: intent.amount_received, currency: intent.currency });
      return { ...charge, status: 'captured', captured, refundedMinor };
    }
    case 'processing':
      return { ...charge, status: 'processing' };
    case 'canceled':
      return { ...charge, status: 'cancelled' };
    case 'requires_action': {
      // An action that we cannot show to a shopper leaves the charge open: nothing is taken, and it can be closed.
      const instructions = instructionsOf(intent);
      return instructions === undefined
        ? { ...charge, status: 'open' }
        : { ...charge, status: 'requires_confirmation', instructions };
    }
    case 'requires_payment_method': {
      const failed = intent.last_payment_error;
      if (failed === null) return { ...charge, status: 'open' };
      const declineCode = codeIn(failed.decline_code) ?? codeIn(failed.code) ?? codeIn(failed.type) ?? null;
      return { ...charge, status: 'declined', declineCode };
    }
    case 'requires_confirmation':
    case 'requires_capture': // we never ask for an authorisation alone; closing it releases the money
      return { ...charge, status: 'open' };
  }
}

function instructionsOf({ next_action: action }: PaymentIntent): PaymentInstructions | undefined {
  if (typeof action?.redirect_to_url?.url === 'string') return { type: 'redirect', url: action.redirect_to_url.url };
  const transfer = action?.display_bank_transfer_instructions;
  if (transfer == null) return undefined;
  const [account] = transfer.financial_addresses.flatMap((one) => accountOf(one) ?? []);
  // Not every country has a reference: there the account belongs to this order alone.
  return account && { type: 'bank_transfer', ...account, reference: transfer.reference ?? account.account };
}

function accountOf({ aba, iban, sort_code, spei, zengin }: Address): { bank: string; account: string } | undefined {
  if (iban) return { bank: iban.bic, account: iban.iban };
  if (sort_code) return { bank: `sort code ${sort_code.sort_code}`, account: sort_code.account_number };
  if (spei) return { bank: spei.bank_name, account: spei.clabe };
  if (aba) return { bank: `${aba.bank_name}, routing number ${aba.routing_number}`, account: aba.account_number };
  if (zengin?.bank_name == null || zengin.account_number === null) return undefined;
  const { bank_name, branch_name, account_type, account_number } = zengin;
  return { bank: [bank_name, branch_name, account_type].filter(Boolean).join(' '), account: account_number };
}
