import { z } from 'zod';

import { ERROR_CODES } from '../../domain/errors.ts';
import { databaseId, money } from './fields.ts';

/** A code of the registry; what each one means is in `docs/errors.md`. */
export const errorCode = z
  .enum(ERROR_CODES)
  .meta({ id: 'ErrorCode', description: 'Stable: a code, once released, is never renamed.' });

const wrongField = z
  .object({
    pointer: z.string().describe('JSON Pointer (RFC 6901) into the body, or the name of a parameter after a slash'),
    message: z.string(),
  })
  .meta({ id: 'WrongField' });

/** `asked` and `available` where the line was refused for want of stock. */
const refusedLine = z
  .object({
    lineNo: z.int(),
    productId: databaseId.optional(),
    variantId: databaseId.nullable().optional(),
    asked: z.int().optional(),
    available: z.int().optional(),
  })
  .meta({ id: 'RefusedLine' });

/** Every error of the API (RFC 9457). A program looks at `code` alone: texts may change. */
export const problem = z
  .object({
    type: z.string().meta({ format: 'uri-reference', examples: ['/problems/out-of-stock'] }),
    title: z.string(),
    status: z.int(),
    code: errorCode,
    detail: z.string(),
    instance: z.string().optional().describe('The order that the refusal belongs to').meta({ format: 'uri-reference' }),
    errors: z.array(wrongField).optional().describe('With INVALID_REQUEST'),
    lines: z.array(refusedLine).optional().describe('With OUT_OF_STOCK, UNKNOWN_PRODUCT and PRODUCT_NOT_FOR_SALE'),
    total: money.optional().describe('With PRICE_CHANGED: the total as it is now'),
    methods: z.array(z.string()).optional().describe('With PAYMENT_METHOD_INVALID: the methods there are'),
    left: money.optional().describe('With REFUND_EXCEEDS_CAPTURE: what can still be given back'),
  })
  .meta({ id: 'Problem', description: 'An error (RFC 9457). Look at `code` alone: texts may change.' });
