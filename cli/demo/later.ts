import { type Checkout, describe, orderIn, type Watched } from './shop.ts';
import { card, cart, END_LIMIT_MS, ending, type Seen, timed, type Visit } from './visit.ts';

/** The shortest that a shopper may ask for, seconds. */
const SHORT_HOLD_S = 10;

/** Orders by bank transfer, and does what the instructions say. */
export async function transferInTime(visit: Visit): Promise<Seen> {
  return waiting(visit, { method: 'bank_transfer' }, ({ account }) => visit.bank.transfer(account));
}

/** Orders by bank transfer, and forgets about it. */
export async function transferNever(visit: Visit): Promise<Seen> {
  return waiting(visit, { method: 'bank_transfer', holdSeconds: SHORT_HOLD_S }, () => Promise.resolve());
}

/** The money comes when the stock is no longer held: it goes back, and the order's history says so. */
export async function transferTooLate(visit: Visit): Promise<Seen> {
  const { shop, bank, token } = visit;
  const payment = { method: 'bank_transfer', holdSeconds: SHORT_HOLD_S } as const;
  const { answer, placedMs } = await timed(() => shop.buy(token, visit.key, cart(visit, payment)));
  const orderId = answer.body?.orderId;
  if (orderId === undefined) return { placedMs, seen: describe(answer) };
  const asked = await shop.until(token, orderId, END_LIMIT_MS, tellsHowToPay);
  const over = await shop.watch(token, orderId, END_LIMIT_MS);
  const link = orderIn(over)?.links.temporal;
  const instructions = orderIn(asked)?.payment.instructions;
  if (instructions?.type !== 'bank_transfer') return { placedMs, seen: describe(over), link };
  await bank.transfer(instructions.account, true);
  const after = await shop.until(token, orderId, END_LIMIT_MS, wasGivenBack);
  return { placedMs, seen: wasGivenBack(after) ? `${describe(after)}, given back` : describe(after), link };
}

/** The card's bank asks its owner, who presses this button. */
export function confirming(button: 'approve' | 'decline') {
  return (visit: Visit): Promise<Seen> =>
    waiting(visit, card('tok_requires_confirmation'), ({ url }) => visit.bank.press(url, button));
}

/** Does what the instructions ask for, as soon as they are there, and waits for the end. */
async function waiting(
  visit: Visit,
  payment: Checkout['payment'],
  follow: (instructions: Readonly<{ account: string; url: string }>) => Promise<void>,
): Promise<Seen> {
  const { shop, token } = visit;
  const { answer, placedMs } = await timed(() => shop.buy(token, visit.key, cart(visit, payment)));
  const orderId = answer.body?.orderId;
  if (orderId !== undefined) {
    const asked = await shop.until(token, orderId, END_LIMIT_MS, tellsHowToPay);
    const told = orderIn(asked)?.payment.instructions;
    if (told == null) return { placedMs, seen: `${describe(asked)}, without instructions` };
    await follow({ account: '', url: '', ...told });
  }
  return { placedMs, ...(await ending(visit, answer)) };
}

/** True also when the order is over: then nobody will be told any more. */
export const tellsHowToPay = (answer: Watched): boolean =>
  orderIn(answer)?.payment.instructions != null || answer.body?.status !== 'PENDING';

const wasGivenBack = (answer: Watched): boolean =>
  orderIn(answer)?.history.some(({ reason }) => reason?.startsWith('LATE_PAYMENT_REFUNDED') === true) === true;
