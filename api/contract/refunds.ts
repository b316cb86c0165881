import { z } from 'zod';

import { currencyCode, money, plainText } from './fields.ts';
import type { Operation } from './operation.ts';
import { orderParams } from './orders.ts';

const MOST_LINES = 200;
/** Equal lines of a cart become one, so that a line may have more units than a cart's line. */
const MOST_UNITS = 999 * MOST_LINES;
const LONGEST_REASON = 100;

export const refundBody = z
  .strictObject({
    amount: z
      .strictObject({ minor: z.int().min(1), currency: currencyCode })
      .nullable()
      .default(null)
      .describe('All that is left when left out'),
    lines: z
      .array(
        z.strictObject({
          lineNo: z.int().min(1).max(MOST_LINES),
          quantity: z.int().min(1).max(MOST_UNITS),
          restock: z.boolean().default(false),
        }),
      )
      .max(MOST_LINES)
      .refine((lines) => new Set(lines.map(({ lineNo }) => lineNo)).size === lines.length, 'must name each line once')
      .default([])
      .describe('What came back, each line once'),
    reason: plainText(LONGEST_REASON),
  })
  .meta({
    id: 'NewRefund',
    examples: [
      {
        amount: { minor: 12_000, currency: 'KRW' },
        lines: [{ lineNo: 1, quantity: 1, restock: true }],
        reason: 'one mug came broken',
      },
    ],
  });

export const refundOrder = {
  id: 'refundOrder',
  method: 'post',
  path: '/v1/orders/{orderId}/refunds',
  tag: 'orders',
  summary: 'Gives money back, all that is left or a part of it',
  description: 'The same key never refunds twice: it tells how far the refund is, and why it failed.',
  access: ['admin'],
  params: orderParams,
  headers: ['Idempotency-Key'],
  body: refundBody,
  answers: {
    202: {
      description: 'The refund is on record, or may be.',
      headers: ['Location', 'Idempotent-Replayed'],
      body: z
        .object({
          refundId: z.guid(),
          status: z.enum(['PENDING', 'SUCCEEDED', 'FAILED']),
          failureCode: z.string().nullable().describe("The gateway's; null unless it has failed"),
          amount: money.nullable().describe('Null while it is not known'),
        })
        .meta({ id: 'Refund' }),
    },
  },
  refusals: [
    'AMOUNT_OUT_OF_RANGE',
    'ORDER_NOT_REFUNDABLE',
    'REFUND_EXCEEDS_CAPTURE',
    'REFUND_QUANTITY_EXCEEDED',
    'REFUND_REFUSED',
  ],
} as const satisfies Operation;
