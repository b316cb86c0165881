import { describe } from './shop.ts';
import { card, cart, ending, MORE_THAN_ANY_SHELF, type Seen, timed, type Visit } from './visit.ts';

/** Pays with this card, and waits for the end. */
export function buying(cardToken: string) {
  return async (visit: Visit): Promise<Seen> => {
    const body = cart(visit, card(cardToken));
    const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, body));
    return { placedMs, ...(await ending(visit, answer)) };
  };
}

export async function buyTooMuch(visit: Visit): Promise<Seen> {
  const { productId, variantId, locationCode } = visit.scarce;
  const item = { productId, variantId, locationCode, quantity: MORE_THAN_ANY_SHELF };
  const body = { items: [item], payment: card('tok_ok') };
  const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, body));
  return { placedMs, ...(await ending(visit, answer)) };
}

export async function buyAndCancel(visit: Visit): Promise<Seen> {
  const body = cart(visit, card('tok_slow'));
  const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, body));
  const orderId = answer.body?.orderId;
  if (orderId === undefined) return { placedMs, ...(await ending(visit, answer)) };
  const cancelled = await visit.shop.cancel(visit.token, orderId);
  if (cancelled.problem !== undefined) return { placedMs, seen: `cancel: ${describe(cancelled)}` };
  return { placedMs, ...(await ending(visit, answer)) };
}

/** Two clicks at once and one afterwards: a shopper who does not trust the button. */
export async function buyTwice(visit: Visit): Promise<Seen> {
  const body = cart(visit, card('tok_ok'));
  const click = () => visit.shop.buy(visit.token, visit.key, body);
  const { answer: both, placedMs } = await timed(() => Promise.all([click(), click()]));
  const { seen, link } = await ending(visit, both[0]);
  const later = await click();
  const ids = new Set([...both, later].map(({ body }) => body?.orderId));
  if (ids.size > 1) return { placedMs, seen: `${ids.size} orders`, link };
  return {
    placedMs,
    seen: later.headers.get('idempotent-replayed') === 'true' ? `one order, ${seen}` : 'not marked as replayed',
    link,
  };
}

export async function buyNonsense(visit: Visit): Promise<Seen> {
  const good = cart(visit, card('tok_ok'));
  const nonsense = visit.random.pick<Readonly<{ key?: string; body: string }>>([
    { body: JSON.stringify(good) },
    { key: visit.key, body: '{"items": [' },
    { key: visit.key, body: JSON.stringify({ ...good, total: { minor: 1, currency: 'KRW' } }) },
    { key: visit.key, body: JSON.stringify({ ...good, items: [] }) },
    { key: visit.key, body: JSON.stringify({ ...good, payment: { method: 'cheque' } }) },
  ]);
  const { answer, placedMs } = await timed(() => visit.shop.sendNonsense(visit.token, nonsense.key, nonsense.body));
  const refused = (answer.status === 400 || answer.status === 422) && answer.problem !== undefined;
  return { placedMs, seen: refused ? 'refused' : describe(answer) };
}
