import { createHash } from 'node:crypto';

import type { Request } from 'express';
import { z } from 'zod';

import { GatewayError } from './answers.ts';

export const ROUTES = ['prepare', 'confirm', 'lookup', 'cancel', 'refund'] as const;
export type Route = (typeof ROUTES)[number];

/** An opaque reference of the shop's: printable, and safe in a key. */
const orderId = z.string().regex(/^[\w.:-]{1,100}$/);
const money = z.strictObject({
  minor: z.int().positive(),
  currency: z.string().regex(/^[A-Z]{3}$/),
});
const page = { cursor: z.string().regex(/^\d{1,18}$/), limit: z.coerce.number().int().min(1).max(1_000) };

export const prepareBody = z.strictObject({ orderId, amount: money });
export const confirmBody = z.strictObject({ token: z.string().min(1).max(255) });
export const cancelBody = z.strictObject({}).optional();
export const refundBody = z.strictObject({ amount: money });
export const ledgerQuery = z.strictObject({
  orderId: orderId.optional(),
  cursor: page.cursor.default('0'),
  limit: page.limit.default(100),
});
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
  script('hold', ROUTES, { ms: MS.default(60_000) }),
  script('invalid_json', ROUTES, {}),
  script('status', ROUTES, {
    status: z.union([429, 500, 502, 503].map((status) => z.literal(status))),
    retryAfterSeconds: z.int().min(0).max(3_600).optional(),
  }),
  script('key_in_use', ['prepare', 'confirm', 'refund'], {}),
  script('not_found', ['lookup'], {}),
  script('wrong_amount', ['confirm'], {}),
  script('wrong_currency', ['confirm'], {}),
  script('land_late', ['confirm'], { ms: MS }),
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
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new GatewayError('invalid_request', 'Idempotency-Key: 1 to 255 printable characters without spaces');
}

/** SHA-256, hexadecimal, over what makes two requests the same. */
export const hashOf = (...parts: readonly (string | number)[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex');
