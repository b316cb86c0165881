import pLimit from 'p-limit';
import pRetry from 'p-retry';
import { z } from 'zod';

import { callOnce } from '../payment-gateway/http.ts';
import { GatewayOutage } from '../payment-gateway/outage.ts';
import { CannotLook } from './snapshot.ts';

/** What the gateway's books say happened to one charge. Amounts are minor units of `currency`. */
export type BookedCharge = Readonly<{
  providerId: string;
  orderId: string;
  captured: number;
  refunded: number;
  currency: string;
}>;

/** The gateway whose ledger is read: what a payment captured at any other provider cannot be checked. */
export const LEDGER_PROVIDER = 'simulated';

const CALL_LIMIT_MS = 20_000;
const CALLS_AT_ONCE = 8;
/** One call among thousands may fail without spoiling a long audit. */
const RETRIES = 2;
const FIRST_PAUSE_MS = 300;
/** A page of this many entries stays below the largest answer that is read. */
const PAGE = 200;

const page = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      providerId: z.string(),
      orderId: z.string(),
      type: z.enum(['CAPTURE', 'REFUND']),
      amount: z.object({ minor: z.int(), currency: z.string() }),
    }),
  ),
  next: z.string().nullable(),
});
type Entry = z.infer<typeof page>['items'][number];

/**
 * Folds the whole ledger to one sum for each charge whose order id `wanted` takes; the caller bounds memory with it.
 *
 * @param entriesRead told after every page how many entries were read
 * @throws CannotLook when the gateway does not answer with a ledger
 */
export async function bookedCharges(
  gatewayUrl: string,
  wanted: (orderId: string) => boolean,
  entriesRead: (count: number) => void,
): Promise<Map<string, BookedCharge>> {
  const charges = new Map<string, BookedCharge>();
  for (let cursor: string | null = '0'; cursor !== null;) {
    const { items, next }: z.infer<typeof page> = await readPage(gatewayUrl, { cursor });
    for (const entry of items) if (wanted(entry.orderId)) book(charges, entry);
    entriesRead(items.length);
    cursor = next;
  }
  return charges;
}

/** The same for a few orders, one call for each, some at once. */
export async function bookedChargesOf(
  gatewayUrl: string,
  orderIds: readonly string[],
): Promise<Map<string, BookedCharge>> {
  const charges = new Map<string, BookedCharge>();
  const limit = pLimit(CALLS_AT_ONCE);
  const readAll = async (orderId: string): Promise<void> => {
    for (let cursor: string | null = '0'; cursor !== null;) {
      const { items, next }: z.infer<typeof page> = await readPage(gatewayUrl, { orderId, cursor });
      for (const entry of items) book(charges, entry);
      cursor = next;
    }
  };
  await Promise.all(orderIds.map((orderId) => limit(() => readAll(orderId))));
  return charges;
}

/** @throws CannotLook when nothing answers there, or something that is no ledger */
async function readPage(
  gatewayUrl: string,
  query: Readonly<{ orderId?: string; cursor: string }>,
): Promise<z.infer<typeof page>> {
  const search = new URLSearchParams({ ...query, limit: String(PAGE) });
  const url = `${gatewayUrl.replace(/\/+$/, '')}/ledger?${search.toString()}`;
  try {
    const body = await pRetry(() => getOnce(url), {
      retries: RETRIES,
      minTimeout: FIRST_PAUSE_MS,
      shouldRetry: ({ error }) => error instanceof GatewayOutage,
    });
    return page.parse(body);
  } catch (error) {
    const why =
      error instanceof z.ZodError ? 'the answer is no ledger' : error instanceof Error ? error.message : error;
    throw new CannotLook(
      `The ledger of the payment gateway at ${gatewayUrl} cannot be read: ${String(why)}. Start it, or correct GATEWAY_URL.`,
      { cause: error },
    );
  }
}

async function getOnce(url: string): Promise<unknown> {
  const { status, body } = await callOnce({
    ...{ action: 'gateway ledger', url, method: 'GET', timeoutMs: CALL_LIMIT_MS, signal: undefined },
  });
  if (status === 429 || status >= 500) throw new GatewayOutage(`it answers HTTP ${status}`);
  if (status !== 200) throw new Error(`it answers HTTP ${status}`);
  return body;
}

function book(charges: Map<string, BookedCharge>, { providerId, orderId, type, amount }: Entry): void {
  const known = charges.get(providerId);
  const charge = known ?? { providerId, orderId, captured: 0, refunded: 0, currency: amount.currency };
  const key = type === 'CAPTURE' ? 'captured' : 'refunded';
  // Two currencies in one charge are shown as such: they can equal nothing that a payment says.
  const currency = charge.currency === amount.currency ? charge.currency : `${charge.currency}+${amount.currency}`;
  charges.set(providerId, { ...charge, [key]: charge[key] + amount.minor, currency });
}
