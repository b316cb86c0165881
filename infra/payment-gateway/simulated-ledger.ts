import pRetry from 'p-retry';
import { z } from 'zod';

import { eachAtOnce } from './at-once.ts';
import { callOnce } from './http.ts';
import type { BookedCharge, GatewayLedger, LedgerQuery } from './ledger.ts';
import { GatewayOutage } from './outage.ts';

const CALLS_AT_ONCE = 8;
/** One call among thousands may fail without spoiling a long reading. */
const RETRIES = 2;
const FIRST_PAUSE_MS = 300;
/** A page of this many entries stays below the largest answer that is read. */
const PAGE = 150;

const page = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      providerId: z.string().min(1).max(255),
      orderId: z.string().min(1).max(100),
      type: z.enum(['CAPTURE', 'REFUND']),
      amount: z.object({ minor: z.int().positive(), currency: z.string().regex(/^[A-Z]{3}$/) }),
    }),
  ),
  next: z.string().max(100).nullable(),
});
type Entry = z.infer<typeof page>['items'][number];

/**
 * The ledger of the simulated gateway, read a page at a time; only one charge is held in memory.
 *
 * @param timeoutMs of one call, milliseconds
 */
export function simulatedLedger({ url, timeoutMs }: Readonly<{ url: string; timeoutMs: number }>): GatewayLedger {
  const base = `${url.replace(/\/+$/, '')}/ledger`;
  const readPages = (search: Readonly<Record<string, string>>, signal: AbortSignal | undefined) =>
    pagesOf((cursor) => {
      const query = new URLSearchParams({ ...search, order: 'charge', limit: String(PAGE), cursor });
      return readPage(`${base}?${query.toString()}`, timeoutMs, signal);
    });

  return {
    provider: 'simulated',
    async *charges({ since, orderIds, providerIds, say, signal }: LedgerQuery) {
      const search: Record<string, string> = since === undefined ? {} : { since: since.toISOString() };
      let entries = 0;
      const counted = (count: number): void => say?.((entries += count));
      const read = (more: Readonly<Record<string, string>> = {}) =>
        folded(readPages({ ...search, ...more }, signal), counted);
      if (orderIds === undefined && providerIds === undefined) {
        yield* read();
        return;
      }
      const [name, ids, among] =
        providerIds === undefined ? ['orderId', orderIds ?? []] : ['providerId', providerIds, orderIds];
      const wanted = among && new Set(among);
      for await (const charges of eachAtOnce(ids, CALLS_AT_ONCE, (id) => collected(read({ [name]: id })))) {
        for (const charge of charges) if (wanted === undefined || wanted.has(charge.orderId)) yield charge;
      }
    },
  };
}

async function* pagesOf(read: (cursor: string) => Promise<z.infer<typeof page>>): AsyncGenerator<readonly Entry[]> {
  for (let cursor: string | null = '0'; cursor !== null;) {
    const { items, next } = await read(cursor);
    yield items;
    cursor = next;
  }
}

/** Sums the entries of each charge, which come together. */
async function* folded(
  pages: AsyncIterable<readonly Entry[]>,
  counted: (entries: number) => void,
): AsyncGenerator<BookedCharge> {
  let charge: BookedCharge | undefined;
  for await (const entries of pages) {
    counted(entries.length);
    for (const entry of entries) {
      if (charge !== undefined && charge.providerId !== entry.providerId) {
        yield charge;
        charge = undefined;
      }
      charge = booked(charge, entry);
    }
  }
  if (charge !== undefined) yield charge;
}

function booked(known: BookedCharge | undefined, { providerId, orderId, type, amount }: Entry): BookedCharge {
  const charge = known ?? { providerId, orderId, captured: 0, refunded: 0, currency: amount.currency };
  const key = type === 'CAPTURE' ? 'captured' : 'refunded';
  // Two currencies in one charge are shown as such: they can equal nothing that a payment says.
  const currency = charge.currency === amount.currency ? charge.currency : `${charge.currency}+${amount.currency}`;
  return { ...charge, [key]: charge[key] + amount.minor, currency };
}

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** @throws GatewayOutage also when the answer is no ledger: what is asked for cannot be read */
async function readPage(url: string, timeoutMs: number, signal: AbortSignal | undefined) {
  return pRetry(
    async () => {
      const { status, body, retryAfterMs } = await callOnce({
        ...{ action: 'gateway ledger', url, method: 'GET', timeoutMs, signal },
      });
      if (status !== 200) throw new GatewayOutage(`gateway ledger: HTTP ${status}`, { retryAfterMs });
      const parsed = page.safeParse(body);
      if (!parsed.success) throw new GatewayOutage('gateway ledger: the answer is no ledger');
      return parsed.data;
    },
    { retries: RETRIES, minTimeout: FIRST_PAUSE_MS, shouldRetry: () => signal?.aborted !== true },
  );
}
