import type { Bank } from './bank.ts';
import type { Random } from './random.ts';
import { type Checkout, describe, orderIn, type Placed, type Shelf, type Shop } from './shop.ts';

/** Longest that one order may take to end: the gateway may hang for some of its time-outs. Milliseconds. */
export const END_LIMIT_MS = 180_000;
export const MORE_THAN_ANY_SHELF = 999;

/** What one shopper needs. `key` is new for every shopper. */
export type Visit = Readonly<{
  shop: Shop;
  /** What happens outside of the shop. */
  bank: Bank;
  token: string;
  /** Of an administrator: the people at the desk. */
  deskToken: string;
  key: string;
  random: Random;
  /** Well filled, all of one currency. */
  shelves: readonly Shelf[];
  scarce: Shelf;
}>;

/** How a visit went: `seen` is compared with what the scenario expects. */
export type Seen = Readonly<{ seen: string; placedMs: number; link?: string | undefined }>;

export const card = (token: string) => ({ method: 'card', token }) as const;

/** One to three different things, one or two of each. */
export function cart(visit: Visit, payment: Checkout['payment']): Checkout {
  const { random, shelves } = visit;
  const chosen = random.shuffled(shelves).slice(0, random.between(1, 3));
  const items = chosen.map(({ productId, variantId, locationCode }) => {
    return { productId, variantId, locationCode, quantity: random.between(1, 2) };
  });
  return { items, payment };
}

/** Waits for the end of an order that was placed or may be; a refusal is an end already. */
export async function ending({ shop, token }: Visit, answer: Placed): Promise<Omit<Seen, 'placedMs'>> {
  const orderId = answer.body?.orderId;
  if (orderId === undefined) return { seen: describe(answer) };
  const order = await shop.watch(token, orderId, END_LIMIT_MS);
  return { seen: describe(order), link: orderIn(order)?.links.temporal };
}

export async function timed<T>(work: () => Promise<T>): Promise<{ answer: T; placedMs: number }> {
  const since = performance.now();
  const answer = await work();
  return { answer, placedMs: performance.now() - since };
}
