import type { Random } from './random.ts';
import type { Answer, Shelf, Shop } from './shop.ts';

/** Longest that one order may take to end: the gateway may hang for some of its time-outs. Milliseconds. */
const END_LIMIT_MS = 180_000;
const MORE_THAN_ANY_SHELF = 999;

/** What one shopper needs. `key` is new for every shopper. */
export type Visit = Readonly<{
  shop: Shop;
  token: string;
  key: string;
  random: Random;
  /** Well filled, all of one currency. */
  shelves: readonly Shelf[];
  scarce: Shelf;
}>;

/** How a visit went: `seen` is compared with what the scenario expects. */
export type Seen = Readonly<{ seen: string; placedMs: number; link?: string | undefined }>;

export type Scenario = Readonly<{
  name: string;
  /** Of 100 visits. */
  share: number;
  expected: string;
  visit: (visit: Visit) => Promise<Seen>;
}>;

const PAID = 'PAID';
const DECLINED = 'FAILED (PAYMENT_DECLINED)';

/** What happens in a shop, with its shares. They add up to 100. */
export const SCENARIOS: readonly Scenario[] = [
  { name: 'paid', share: 38, expected: PAID, visit: buying('tok_ok') },
  { name: 'card declined', share: 10, expected: DECLINED, visit: buying('tok_declined') },
  { name: 'insufficient funds', share: 8, expected: DECLINED, visit: buying('tok_insufficient_funds') },
  { name: 'out of stock', share: 8, expected: 'OUT_OF_STOCK', visit: buyTooMuch },
  { name: 'slow gateway', share: 6, expected: PAID, visit: buying('tok_slow') },
  { name: 'gateway error, then success', share: 6, expected: PAID, visit: buying('tok_error_500') },
  { name: 'time-out after the charge', share: 6, expected: PAID, visit: buying('tok_timeout_after_charge') },
  { name: 'cancelled', share: 6, expected: 'CANCELLED', visit: buyAndCancel },
  { name: 'same key repeated', share: 6, expected: 'one order, PAID', visit: buyTwice },
  { name: 'malformed request', share: 6, expected: 'refused', visit: buyNonsense },
];

/** So many scenarios as visits, by share: the largest remainders get what rounding leaves. */
export function mixOf(visits: number): Scenario[] {
  const exact = SCENARIOS.map((scenario) => ({ scenario, quota: (scenario.share * visits) / 100 }));
  const counts = new Map(exact.map(({ scenario, quota }) => [scenario, Math.floor(quota)]));
  const left = visits - [...counts.values()].reduce((sum, count) => sum + count, 0);
  const byRemainder = exact.sort((a, b) => (b.quota % 1) - (a.quota % 1)).slice(0, left);
  for (const { scenario } of byRemainder) counts.set(scenario, (counts.get(scenario) ?? 0) + 1);
  return [...counts].flatMap(([scenario, count]) => Array<Scenario>(count).fill(scenario));
}

function buying(card: string) {
  return async (visit: Visit): Promise<Seen> => {
    const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, cart(visit, card)));
    return { placedMs, ...(await ending(visit, answer)) };
  };
}

async function buyTooMuch(visit: Visit): Promise<Seen> {
  const { productId, variantId, locationCode } = visit.scarce;
  const item = { productId, variantId, locationCode, quantity: MORE_THAN_ANY_SHELF };
  const body = JSON.stringify({ items: [item], payment: card('tok_ok') });
  const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, body));
  return { placedMs, ...(await ending(visit, answer)) };
}

async function buyAndCancel(visit: Visit): Promise<Seen> {
  const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, cart(visit, 'tok_slow')));
  const { orderId } = answer.body;
  if (orderId === undefined) return { placedMs, ...(await ending(visit, answer)) };
  const cancelled = await visit.shop.cancel(visit.token, orderId);
  if (cancelled.http >= 300) return { placedMs, seen: `cancel: ${describe(cancelled)}` };
  return { placedMs, ...(await ending(visit, answer)) };
}

/** Two clicks at once and one afterwards: a shopper who does not trust the button. */
async function buyTwice(visit: Visit): Promise<Seen> {
  const body = cart(visit, 'tok_ok');
  const click = () => visit.shop.buy(visit.token, visit.key, body);
  const { answer: both, placedMs } = await timed(() => Promise.all([click(), click()]));
  const { seen, link } = await ending(visit, both[0]);
  const later = await click();
  const ids = new Set([...both, later].map(({ body: { orderId } }) => orderId));
  if (ids.size > 1) return { placedMs, seen: `${ids.size} orders`, link };
  return { placedMs, seen: later.replayed ? `one order, ${seen}` : 'not marked as replayed', link };
}

async function buyNonsense(visit: Visit): Promise<Seen> {
  const good = JSON.parse(cart(visit, 'tok_ok')) as object;
  const nonsense = visit.random.pick<Readonly<{ key?: string; body: string }>>([
    { body: JSON.stringify(good) },
    { key: visit.key, body: '{"items": [' },
    { key: visit.key, body: JSON.stringify({ ...good, total: { minor: 1, currency: 'KRW' } }) },
    { key: visit.key, body: JSON.stringify({ ...good, items: [] }) },
    { key: visit.key, body: JSON.stringify({ ...good, payment: { method: 'cheque' } }) },
  ]);
  const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, nonsense.key, nonsense.body));
  const refused = (answer.http === 400 || answer.http === 422) && answer.body.code !== undefined;
  return { placedMs, seen: refused ? 'refused' : describe(answer) };
}

const card = (token: string) => ({ method: 'card', token });

/** One to three different things, one or two of each. */
function cart({ random, shelves }: Visit, cardToken: string): string {
  const chosen = random.shuffled(shelves).slice(0, random.between(1, 3));
  const items = chosen.map(({ productId, variantId, locationCode }) => {
    return { productId, variantId, locationCode, quantity: random.between(1, 2) };
  });
  return JSON.stringify({ items, payment: card(cardToken) });
}

/** Waits for the end of an order that was placed or may be; a refusal is an end already. */
async function ending({ shop, token }: Visit, answer: Answer): Promise<{ seen: string; link?: string | undefined }> {
  const { orderId } = answer.body;
  if (orderId === undefined) return { seen: describe(answer) };
  const order = await shop.watch(token, orderId, END_LIMIT_MS);
  return { seen: describe(order), link: order.body.links?.temporal };
}

const describe = ({ http, body: { code, status, failure } }: Answer): string => {
  if (code !== undefined) return code;
  if (status === 'FAILED') return `FAILED (${failure?.code ?? 'no reason'})`;
  return typeof status === 'string' ? status : `HTTP ${http}`;
};

async function timed<T>(work: () => Promise<T>): Promise<{ answer: T; placedMs: number }> {
  const since = performance.now();
  const answer = await work();
  return { answer, placedMs: performance.now() - since };
}
