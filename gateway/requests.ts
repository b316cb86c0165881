import { createHash } from 'node:crypto';

import type { Request } from 'express';
import { z } from 'zod';

import { PAYMENT_METHODS } from '../domain/payment.ts';
import { GatewayError } from './answers.ts';

export const ROUTES = ['prepare', 'confirm', 'lookup', 'cancel', 'refund', 'list_refunds'] as const;
export type Route = (typeof ROUTES)[number];

/** An opaque reference of the shop's: printable, and safe in a key. */
const orderId = z.string().regex(/^[\w.:-]{1,100}$/);
const money = z.strictObject({
  minor: z.int().positive(),
  currency: z.string().regex(/^[A-Z]{3}$/),
});
const KEY = /^[\x21-\x7e]{1,255}$/;

export const prepareBody = z.strictObject({ orderId, amount: money, method: z.enum(PAYMENT_METHODS).default('card') });
/** A card needs its token; a transfer has none. */
export const confirmBody = z.strictObject({ token: z.string().min(1).max(255).optional() });
export const cancelBody = z.strictObject({}).optional();
export const refundBody = z.strictObject({ amount: money });
export const refundsQuery = z.strictObject({ refundKey: z.string().regex(KEY) });
/**
 * `since`: charges with an entry at or after it, with all their entries. `order`: as the entries were committed, or
 * all entries of a charge together. A cursor is only good for the query that it came from.
 */
export const ledgerQuery = z.strictObject({
  orderId: orderId.optional(),
  /** Any text: an id that is none has no entries. */
  providerId: z.string().min(1).max(255).optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  order: z.enum(['commit', 'charge']).default('commit'),
  cursor: z
    .string()
    .regex(/^(ch_[0-9a-f-]{36}\.)?\d{1,18}$/)
    .default('0'),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});
export type LedgerQuery = z.infer<typeof ledgerQuery>;
/** What the shopper's bank sends; nothing means the amount that was asked for. */
export const transferBody = z.strictObject({ amount: money.optional() }).optional();
/** A bank knows the account alone. `late`: the money comes although the account is closed by now. */
export const transferToBody = z.strictObject({
  account: z.string().min(1).max(50),
  amount: money.optional(),
  late: z.boolean().default(false),
});
export const authorizeBody = z.strictObject({ outcome: z.enum(['approve', 'decline']) });
export const expireBody = z.strictObject({}).optional();
export const keysQuery = z.strictObject({ orderId: orderId.optional() });

const MS = z
  .int()
  .min(0)
  .max(10 * 60_000);
const script = <K extends string, F extends z.core.$ZodLooseShape>(kind: K, routes: readonly Route[], fields: F) =>
  z.strictObject({
    kind: z.literal(kind),
    route: z.enum(routes),
    orderId: orderId.optional(),
    times: z.int().min(1).max(1_000).default(1),
    ...fields,
  });

/** Script of the next `times` calls of a route, for one order or for any. Every duration in milliseconds. */
export const faultBody = z.discriminatedUnion('kind', [
  script('delay', ROUTES, { ms: MS }),
  script('drop_before', ROUTES, { ms: MS.default(0) }),
  script('drop_after', ROUTES, { ms: MS.default(0) }),
  script('hang_before', ROUTES, {}),
  script('hang_after', ROUTES, {}),
  script('hold', ROUTES, { ms: MS.default(60_000) }),
  script('invalid_json', ROUTES, {}),
  script('status', ROUTES, {
    status: z.union([429, 500, 502, 503].map((status) => z.literal(status))),
    retryAfterSeconds: z.int().min(0).max(3_600).optional(),
  }),
  script('key_in_use', ['prepare', 'confirm', 'refund'], {}),
  script('not_found', ['lookup', 'list_refunds'], {}),
  script('wrong_amount', ['confirm'], {}),
  script('wrong_currency', ['confirm'], {}),
  script('land_late', ['confirm'], { ms: MS }),
  script('land_anyway', ['confirm'], { ms: MS }),
  script('refuse', ['cancel', 'refund'], {}),
  script('pending', ['refund'], { ms: MS, mode: z.enum(['succeeded', 'failed']).default('succeeded') }),
  z.strictObject({
    kind: z.literal('webhook'),
    route: z.literal('webhook').default('webhook'),
    mode: z.enum(['duplicate', 'delay', 'lose', 'reorder']),
    orderId: orderId.optional(),
    times: z.int().min(1).max(1_000).default(1),
    /** Of a delay; of a reorder the longest wait for another event. */
    ms: MS.default(1_000),
    /** How often a duplicate is sent at once. */
    copies: z.int().min(2).max(20).default(2),
  }),
]);
export type FaultScript = z.infer<typeof faultBody>;

/** @throws GatewayError invalid_request, naming the fields but never their values: one of them is a card token */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map(({ path, code }) => `${path.join('.') || 'request'}: ${code}`);
  throw new GatewayError('invalid_request', fields.slice(0, 10).join('; '));
}

/** @throws GatewayError unknown_charge for a path that cannot name a charge */
export function providerIdOf(req: Request): string {
  const { id } = req.params;
  if (typeof id === 'string' && /^ch_[0-9a-f-]{36}$/.test(id)) return id;
  throw new GatewayError('unknown_charge', 'there is no such charge');
}

/** @throws GatewayError when the header is missing or is no key */
export function idempotencyKeyOf(req: Request): string {
  const key = req.get('idempotency-key');
  if (key === undefined) throw new GatewayError('idempotency_key_missing', 'the header Idempotency-Key is required');
  if (KEY.test(key)) return key;
  throw new GatewayError('invalid_request', 'Idempotency-Key: 1 to 255 printable characters without spaces');
}

/** SHA-256, hexadecimal, over what makes two requests the same. */
export const hashOf = (...parts: readonly (string | number)[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex');
