import { createHash } from 'node:crypto';

import type { Request } from 'express';
import type { z } from 'zod';

import { CheckoutError } from '../domain/errors.ts';

/** Longest `Prefer: wait`, seconds. A longer wish is shortened to it. */
export const LONGEST_WAIT_S = 30;
const LONGEST_KEY = 255;
const MOST_FIELD_ERRORS = 20;

/**
 * The body, query or path as the schema describes it, defaults filled in.
 *
 * @throws CheckoutError INVALID_REQUEST with one entry per wrong field
 */
export function parsed<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues
    .slice(0, MOST_FIELD_ERRORS)
    .map((issue) => ({ pointer: `/${issue.path.map(String).join('/')}`, message: messageOf(issue) }));
  throw new CheckoutError('INVALID_REQUEST', 'the request has fields that cannot be used', { errors });
}

/** Repeats of what was sent only what may be the name of a field: a key that nobody knows may be a person's address. */
const messageOf = (issue: z.core.$ZodIssue): string =>
  issue.code === 'unrecognized_keys'
    ? `has fields that are not known here: ${issue.keys.map((key) => (/^\w{1,40}$/.test(key) && !/\d{3}/.test(key) ? key : '…')).join(', ')}`
    : issue.message;

/**
 * The Idempotency-Key, bare or as a structured-field string: `abc` and `"abc"` are the same key.
 *
 * @throws CheckoutError IDEMPOTENCY_KEY_MISSING, or MALFORMED_REQUEST for one that cannot be a key
 */
export function idempotencyKeyOf(req: Request): string {
  const [value, ...others] = req.headersDistinct['idempotency-key'] ?? [];
  if (value === undefined || value === '') {
    throw new CheckoutError(
      'IDEMPOTENCY_KEY_MISSING',
      'send a header Idempotency-Key, a new one per purchase or change',
    );
  }
  const key = value.startsWith('"') ? unquoted(value) : value;
  if (others.length > 0 || key === undefined || !/^[\x20-\x7e]+$/.test(key) || key.length > LONGEST_KEY) {
    throw new CheckoutError(
      'MALFORMED_REQUEST',
      `Idempotency-Key must be one value of 1 to ${LONGEST_KEY} printable ASCII characters`,
    );
  }
  return key;
}

/** RFC 9651, 4.2.5: only `\"` and `\\` are escapes, and nothing may follow the closing quote. */
const unquoted = (value: string): string | undefined =>
  /^"(?:[^"\\]|\\["\\])*"$/.test(value) ? value.slice(1, -1).replace(/\\(["\\])/g, '$1') : undefined;

/**
 * The versions in `If-Match`, or null where any will do. What is no version of ours matches none, as RFC 9110 asks for a
 * weak tag, too.
 */
export function expectedVersionsOf(req: Request): readonly number[] | null {
  const header = req.get('if-match');
  if (header === undefined || header.trim() === '*') return null;
  return header.split(',').flatMap((tag) => {
    const version = /^"(\d{1,15})"$/.exec(tag.trim())?.[1];
    return version === undefined ? [] : [Number(version)];
  });
}

/** What the caller wants to wait for: the placed order (default), the start, or the end for some seconds. */
export type Preference = 'placed' | 'respond-async' | Readonly<{ waitSeconds: number }>;

/** Reads `Prefer` (RFC 7240). What we do not know is ignored, as the RFC asks; `wait` wins over `respond-async`. */
export function preferenceOf(req: Request): Preference {
  const wishes = (req.get('prefer') ?? '').split(',').map((wish) => wish.trim().toLowerCase());
  const wait = wishes.map((wish) => /^wait\s*=\s*"?(\d{1,6})"?$/.exec(wish)?.[1]).find((n) => n !== undefined);
  if (wait !== undefined) return { waitSeconds: Math.min(Number(wait), LONGEST_WAIT_S) };
  return wishes.includes('respond-async') ? 'respond-async' : 'placed';
}

/** `Preference-Applied` for a preference; undefined when none was applied. */
export const preferenceApplied = (preference: Preference): string | undefined =>
  typeof preference === 'object'
    ? `wait=${preference.waitSeconds}`
    : preference === 'respond-async'
      ? 'respond-async'
      : undefined;

/** SHA-256 of the body with sorted keys, hexadecimal: equal for every spelling of the same request. */
export const requestHashOf = (body: unknown): string => createHash('sha256').update(canonical(body)).digest('hex');

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
}
