import { z } from 'zod';

import { isDatabaseId } from '../../domain/ids.ts';

/** An id of the databases: a digit string within `bigint`, never a number, which would lose digits. */
export const databaseId = z
  .string()
  .refine(isDatabaseId, 'must be an id: digits in a string')
  .meta({ pattern: String.raw`^[1-9]\d{0,18}$` });

export const locationCode = z.string().regex(/^[A-Z0-9][A-Z0-9_-]{0,49}$/, 'must be a location code such as MAIN');

/** Text that a person wrote, without control characters, which PostgreSQL or a terminal may choke on. */
export const plainText = (longest: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(longest)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must be text without control characters');

export const currencyCode = z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code');

/** Minor units, so 1 is ₩1 and 100 is $1.00. */
export const money = z.object({ minor: z.int(), currency: currencyCode }).meta({ id: 'Money' });

/** How far a view may be behind, milliseconds; null for one that was never up to date. */
export const viewLagMs = z.int().nullable();

/** Of a cursor of ours, characters. */
const LONGEST_CURSOR = 128;

/** Of the answer before: where its page ended. Opaque. */
export const cursor = (longest = LONGEST_CURSOR) => z.string().max(longest).describe('`next` of the page before');

/** Of a list: entries of one page, 1 to 100. */
export const pageSize = z.coerce.number<number | string>().int().min(1).max(100).default(20);

/** A moment as answers tell it, ISO 8601 in UTC. */
export const instant = z.iso.datetime();

/** Null on the last page. */
export const next = z.string().nullable();

/** Where a workflow is in Temporal Web, where this system knows its Temporal Web. */
export const temporalLink = z.url().optional();
