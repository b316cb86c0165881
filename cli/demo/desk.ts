import { setTimeout as sleep } from 'node:timers/promises';

import { type Answer, describe } from './shop.ts';
import { card, END_LIMIT_MS, ending, type Seen, timed, type Visit } from './visit.ts';

const POLL_MS = 500;

/** The gateway takes another amount than was asked: it gives it back, and a person at the desk has seen it. */
export async function wrongAmount(visit: Visit): Promise<Seen> {
  const bought = await buyTwoOfOne(visit, 'tok_wrong_amount');
  if (bought.orderId === undefined) return bought;
  const { shop, deskToken } = visit;
  const decision = { action: 'markDone', reason: 'seen in the demo' };
  const until = Date.now() + END_LIMIT_MS;
  for (;;) {
    const answer = await shop.admin(deskToken, `/v1/admin/orders/${bought.orderId}/resolve`, decision);
    // 409 until the step is parked: the money goes back first.
    if (answer.http === 200) return { ...bought, seen: `${bought.seen}, resolved` };
    if (answer.http !== 409 || Date.now() >= until) return { ...bought, seen: `resolve: ${describe(answer)}` };
    await sleep(POLL_MS);
  }
}

/** One of two pieces comes back and is sold again. */
export const returnOne = (visit: Visit): Promise<Seen> =>
  refunding(visit, { lines: [{ lineNo: 1, quantity: 1, restock: true }], reason: 'RETURN' });

/** Everything is paid back. */
export const refundAll = (visit: Visit): Promise<Seen> => refunding(visit, { reason: 'COMPLAINT' });

async function refunding(visit: Visit, refund: object): Promise<Seen> {
  const bought = await buyTwoOfOne(visit, 'tok_ok');
  const { shop, token, deskToken, key } = visit;
  if (bought.orderId === undefined || bought.seen !== 'PAID') return bought;
  const answer = await shop.admin(deskToken, `/v1/orders/${bought.orderId}/refunds`, refund, `${key}-refund`);
  if (answer.http !== 202) return { ...bought, seen: `refund: ${describe(answer)}` };
  const isBooked = ({ body: { status } }: Answer): boolean => status !== 'PAID';
  return { ...bought, seen: describe(await shop.until(token, bought.orderId, END_LIMIT_MS, isBooked)) };
}

async function buyTwoOfOne(visit: Visit, cardToken: string): Promise<Seen & Readonly<{ orderId: string | undefined }>> {
  const { productId, variantId, locationCode } = visit.random.pick(visit.shelves);
  const items = [{ productId, variantId, locationCode, quantity: 2 }];
  const body = JSON.stringify({ items, payment: card(cardToken) });
  const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, body));
  return { placedMs, orderId: answer.body.orderId, ...(await ending(visit, answer)) };
}
