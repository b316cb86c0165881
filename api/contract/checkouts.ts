import { z } from 'zod';

import { isCardNumber } from '../../domain/card-number.ts';
import { currencyCode, databaseId, locationCode } from './fields.ts';
import type { Operation } from './operation.ts';
import { order, pendingOrder, placedOrder, UNPLACED } from './orders.ts';

const MOST_LINES = 200;
const MOST_UNITS = 999;
/** Of a bank transfer: a shopper who wants to pay sooner than the shop's hold allows. Seconds. */
const SHORTEST_HOLD_S = 10;
const LONGEST_HOLD_S = 86_400;

export const checkoutBody = z
  .strictObject({
    items: z
      .array(
        z.strictObject({
          productId: databaseId,
          variantId: databaseId.nullable().default(null),
          quantity: z.int().min(1).max(MOST_UNITS),
          locationCode: locationCode.default('MAIN'),
        }),
      )
      .min(1)
      .max(MOST_LINES),
    payment: z.discriminatedUnion('method', [
      z.strictObject({
        method: z.literal('card'),
        token: z
          .string()
          .regex(/^[\w.:-]{1,255}$/, 'must be the token that the payment provider gave')
          .refine((token) => !isCardNumber(token), 'must be a token: numbers of cards are taken by the provider alone'),
      }),
      z.strictObject({
        method: z.literal('bank_transfer'),
        holdSeconds: z.int().min(SHORTEST_HOLD_S).max(LONGEST_HOLD_S).optional(),
      }),
    ]),
    expectedTotal: z
      .strictObject({ minor: z.int().min(0), currency: currencyCode })
      .nullable()
      .default(null)
      .describe('What the shopper was shown; another total is refused with PRICE_CHANGED'),
  })
  .meta({
    id: 'NewCheckout',
    examples: [
      {
        items: [{ productId: '101', variantId: '1011', quantity: 2 }],
        payment: { method: 'card', token: 'tok_ok' },
        expectedTotal: { minor: 24_000, currency: 'KRW' },
      },
    ],
  });

export const placeCheckout = {
  id: 'placeCheckout',
  method: 'post',
  path: '/v1/checkouts',
  tag: 'checkout',
  summary: 'Buys what is in the cart, once for each Idempotency-Key',
  description:
    'Answers when stock is set aside and the order is made; payment goes on. `Prefer: respond-async` does not wait for ' +
    'that, and `Prefer: wait=N` (at most 30 seconds) waits until the order is paid, refused or waits for the shopper. The ' +
    'same key with the same body never buys twice: it gets the answer of the first request. A refusal is final for its key.',
  access: ['customer'],
  headers: ['Idempotency-Key', 'Prefer'],
  body: checkoutBody,
  answers: {
    200: {
      description: 'A repeated request with `Prefer: wait`: the order as it is now.',
      headers: ['Location', 'Read-After', 'Idempotent-Replayed', 'Preference-Applied'],
      body: order,
    },
    201: {
      description:
        'The order as it was placed, also to a repeated request; with `Prefer: wait`, the order as it is now.',
      headers: ['Location', 'Read-After', 'Idempotent-Replayed', 'Preference-Applied'],
      body: z.union([order, placedOrder]),
    },
    202: {
      description:
        'The checkout may have started: its location tells how it went, and so does a repeat with the same key.',
      headers: ['Location', 'Idempotent-Replayed', 'Preference-Applied'],
      body: pendingOrder,
    },
  },
  refusals: [...UNPLACED, 'HOLD_EXPIRED', 'PAYMENT_AMOUNT_MISMATCH', 'PAYMENT_DECLINED', 'PAYMENT_METHOD_INVALID'],
} as const satisfies Operation;
