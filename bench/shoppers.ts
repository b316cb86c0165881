import { setTimeout as sleep } from 'node:timers/promises';

import { placeCheckout } from '../api/contract/checkouts.ts';
import { apiClient, newIdempotencyKey } from '../api/contract/client.ts';
import { products, stock, type StockSeed, users } from '../prisma/seed/catalogue.ts';
import type { TestSystem } from '../test/support/system.ts';

/** What shoppers did: how many orders came to their end within so many seconds, and what else was answered. */
export type Flow = Readonly<{ orders: number; seconds: number; refused: readonly string[] }>;

/** Sends one shopper, who waits until the order is paid or declined. @returns what was answered instead of that */
export type Shop = () => Promise<string | undefined>;

/** Each may have ten orders open. */
const CUSTOMERS = 40;
const WELL_FILLED = 100;
const LONGEST_WAIT_S = 30;
/** One in so many has a card that is declined, so that stock is given back. */
const DECLINED_OF = 10;
/** So many orders under way are more than a rate that a machine holds leaves open. */
const MOST_OPEN = 300;

/** Carts of one to three lines, of the won products of the seed that are well filled. */
export async function openShop(system: Pick<TestSystem, 'shop' | 'tokenOf'>): Promise<Shop> {
  const customers = users().filter(({ id, status }) => status === 'ACTIVE' && id > 2);
  const bearers = await Promise.all(customers.slice(0, CUSTOMERS).map(({ id }) => system.tokenOf(String(id))));
  const clients = bearers.map((token) => apiClient({ url: system.shop.url, token }));
  const shelves = wellFilled();
  let n = 0;
  return async () => {
    n += 1;
    // Steps that have no divisor in common with the number of shelves bring every shelf in turn.
    const items = Array.from({ length: 1 + (n % 3) }, (_, line) => shelves[(n * 7 + line * 31) % shelves.length]);
    const declined = n % DECLINED_OF === 0;
    const quantity = 1 + (n % 2);
    const answer = await clients[n % clients.length]?.call(placeCheckout, {
      headers: { 'Idempotency-Key': newIdempotencyKey(), Prefer: `wait=${LONGEST_WAIT_S}` },
      body: {
        items: items.flatMap((item) => (item === undefined ? [] : [{ ...item, quantity }])),
        payment: { method: 'card', token: declined ? 'tok_declined' : 'tok_ok' },
      },
    });
    if (answer === undefined) throw new Error('the seed has no customers');
    const seen = answer.problem?.code ?? answer.body?.status;
    return seen === (declined ? 'PAYMENT_DECLINED' : 'PAID') ? undefined : `${answer.status} ${seen}`;
  };
}

function wellFilled() {
  const catalogue = products();
  const sold = new Set(
    catalogue.filter((one) => one.status === 'ACTIVE' && one.currency === 'KRW').map(({ id }) => id),
  );
  const rows = stock(catalogue).filter(({ productId, available }) => sold.has(productId) && available >= WELL_FILLED);
  return rows.map(({ productId, variantId, locationCode }: StockSeed) => ({
    productId: String(productId),
    ...(variantId !== null && { variantId: String(variantId) }),
    locationCode,
  }));
}

type Tell = (done: number, total: number) => void;

/** So many orders a second, evenly, whether those before have ended or not. */
export async function atRate(
  shop: Shop,
  { perSecond, seconds }: Readonly<{ perSecond: number; seconds: number }>,
  signal: AbortSignal,
  tell: Tell,
): Promise<Flow> {
  const startedAt = performance.now();
  const refused: string[] = [];
  const open = new Set<Promise<void>>();
  const wanted = Math.max(1, Math.round(perSecond * seconds));
  let sent = 0;
  for (; sent < wanted && open.size < MOST_OPEN; sent++) {
    await sleep(Math.max(0, startedAt + (sent * 1_000) / perSecond - performance.now()), undefined, { signal });
    const one: Promise<void> = visit(shop, refused).finally(() => open.delete(one));
    open.add(one);
    tell(sent + 1, wanted);
  }
  await Promise.all(open);
  signal.throwIfAborted();
  if (sent < wanted) refused.push(`${MOST_OPEN} orders were open at once: this machine does not hold the rate`);
  return { orders: sent, seconds: (performance.now() - startedAt) / 1_000, refused };
}

/** So many shoppers, each of whom begins again when the order has ended: as fast as the system goes. */
export async function atOnce(
  shop: Shop,
  { shoppers, seconds }: Readonly<{ shoppers: number; seconds: number }>,
  signal: AbortSignal,
  tell: Tell,
): Promise<Flow> {
  const startedAt = performance.now();
  const passed = (): number => (performance.now() - startedAt) / 1_000;
  const refused: string[] = [];
  let orders = 0;
  const going = Array.from({ length: shoppers }, async () => {
    while (passed() < seconds && !signal.aborted) {
      await visit(shop, refused);
      orders += 1;
      tell(Math.min(seconds, Math.floor(passed())), seconds);
    }
  });
  await Promise.all(going);
  signal.throwIfAborted();
  return { orders, seconds: passed(), refused };
}

async function visit(shop: Shop, refused: string[]): Promise<void> {
  try {
    const answer = await shop();
    if (answer !== undefined) refused.push(answer);
  } catch (error) {
    refused.push(error instanceof Error ? error.message : String(error));
  }
}
