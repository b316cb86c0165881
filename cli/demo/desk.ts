import { setTimeout as sleep } from 'node:timers/promises';

import type { z } from 'zod';

import { type resolveBody, resolveParked } from '../../api/contract/admin.ts';
import { type refundBody, refundOrder } from '../../api/contract/refunds.ts';
import { tellsHowToPay } from './later.ts';
import { type Answer, describe, orderIn, type Watched } from './shop.ts';
import { card, cart, END_LIMIT_MS, ending, type Seen, timed, type Visit } from './visit.ts';

const POLL_MS = 500;

/** The gateway takes another amount than was asked: it gives it back, and a person at the desk has seen it. */
export async function wrongAmount(visit: Visit): Promise<Seen> {
  const bought = await buyTwoOfOne(visit, 'tok_wrong_amount');
  if (bought.orderId === undefined) return bought;
  const answer = await resolve(visit, bought.orderId, { action: 'markDone', reason: 'seen in the demo' });
  return {
    ...bought,
    seen: answer.problem === undefined ? `${bought.seen}, resolved` : `resolve: ${describe(answer)}`,
  };
}

/**
 * The shopper cancels, and the gateway refuses for good to close the account: that undo is parked, until a person at the
 * desk lets it be tried again. The cancel is over when it is done.
 */
export async function undoRefused(visit: Visit): Promise<Seen> {
  const { shop, bank, token } = visit;
  const body = cart(visit, { method: 'bank_transfer' });
  const { answer, placedMs } = await timed(() => shop.buy(token, visit.key, body));
  const orderId = answer.body?.orderId;
  if (orderId === undefined) return { placedMs, seen: describe(answer) };
  const asked = await shop.until(token, orderId, END_LIMIT_MS, tellsHowToPay);
  const link = orderIn(asked)?.links.temporal;
  await bank.refuseNext('cancel', orderId);
  const cancel = () => shop.cancel(token, orderId);
  const decision = { action: 'retry', reason: 'the gateway was asked in the demo' } as const;
  const [cancelled, resolved] = await Promise.all([cancel(), resolve(visit, orderId, decision)]);
  if (cancelled.problem !== undefined) return { placedMs, link, seen: `cancel: ${describe(cancelled)}` };
  if (resolved.problem !== undefined) return { placedMs, link, seen: `resolve: ${describe(resolved)}` };
  const over = await asking(cancel, ({ status }) => status === 202);
  return { placedMs, link, seen: `${describe(over)}, resolved` };
}

/** A decision about what is parked. 409 until something is: what comes before it, such as giving money back, is first. */
const resolve = ({ shop, deskToken }: Visit, orderId: string, decision: z.input<typeof resolveBody>) =>
  asking(
    () => shop.desk(deskToken).call(resolveParked, { params: { orderId }, body: decision }),
    ({ status }) => status === 409,
  );

/** One of two pieces comes back and is sold again. */
export const returnOne = (visit: Visit): Promise<Seen> =>
  refunding(visit, { lines: [{ lineNo: 1, quantity: 1, restock: true }], reason: 'RETURN' });

/** Everything is paid back. */
export const refundAll = (visit: Visit): Promise<Seen> => refunding(visit, { reason: 'COMPLAINT' });

async function refunding(visit: Visit, refund: Refund): Promise<Seen> {
  const bought = await buyTwoOfOne(visit, 'tok_ok');
  const { shop, token, deskToken, key } = visit;
  if (bought.orderId === undefined || bought.seen !== 'PAID') return bought;
  const answer = await shop.desk(deskToken).call(refundOrder, refundOf(bought.orderId, key, refund));
  if (answer.problem !== undefined) return { ...bought, seen: `refund: ${describe(answer)}` };
  const isBooked = ({ body }: Watched): boolean => body?.status !== 'PAID';
  return { ...bought, seen: describe(await shop.until(token, bought.orderId, END_LIMIT_MS, isBooked)) };
}

/** The gateway refuses the refund for good: the order stays paid, and its history says so at the desk. */
export async function refundRefused(visit: Visit): Promise<Seen> {
  const bought = await buyTwoOfOne(visit, 'tok_ok');
  const { shop, bank, deskToken, key } = visit;
  const { orderId } = bought;
  if (orderId === undefined || bought.seen !== 'PAID') return bought;
  await bank.refuseNext('refund', orderId);
  const refund = { reason: 'COMPLAINT' };
  const answer = await asking(
    () => shop.desk(deskToken).call(refundOrder, refundOf(orderId, key, refund)),
    ({ body }) => body?.status === 'PENDING',
  );
  const order = await shop.until(deskToken, orderId, END_LIMIT_MS, tellsOfFailure);
  const told = tellsOfFailure(order) ? '' : ', not told';
  return { ...bought, seen: `${describe(order)}, refund ${describe(answer)}${told}` };
}

type Refund = z.input<typeof refundBody>;

/** Asked again, it is the same refund. */
const refundOf = (orderId: string, key: string, body: Refund) => ({
  params: { orderId },
  headers: { 'Idempotency-Key': `${key}-refund` },
  body,
});

const tellsOfFailure = (answer: Watched): boolean =>
  orderIn(answer)?.history.some(({ reason }) => reason?.startsWith('REFUND_FAILED') === true) === true;

/** Asks again while it is too early for the answer. */
async function asking<A extends Answer>(ask: () => Promise<A>, isTooEarly: (answer: A) => boolean): Promise<A> {
  const until = Date.now() + END_LIMIT_MS;
  for (;;) {
    const answer = await ask();
    if (!isTooEarly(answer) || Date.now() >= until) return answer;
    await sleep(POLL_MS);
  }
}

async function buyTwoOfOne(visit: Visit, cardToken: string): Promise<Seen & Readonly<{ orderId: string | undefined }>> {
  const { productId, variantId, locationCode } = visit.random.pick(visit.shelves);
  const items = [{ productId, variantId, locationCode, quantity: 2 }];
  const body = { items, payment: card(cardToken) };
  const { answer, placedMs } = await timed(() => visit.shop.buy(visit.token, visit.key, body));
  return { placedMs, orderId: answer.body?.orderId, ...(await ending(visit, answer)) };
}
