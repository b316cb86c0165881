import type { CheckoutInput, PaymentChoice, Reservation } from '../../domain/checkout.ts';
import { CheckoutError, isRefusal, type Refusal } from '../../domain/errors.ts';
import { commit, release, reserve } from '../../domain/inventory.ts';
import type { PaymentMethod } from '../../domain/payment.ts';
import { mergeLines, priceCart, type PricedCart } from '../../domain/pricing.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { throwRefusal, withRefusals } from '../refusals.ts';
import { lockCustomer, readCatalogue } from './catalogue.ts';
import { type Answer, lockHeader, type OrderKey, storeDecision } from './header.ts';
import { insertReservations, setReservations } from './reservations.ts';
import { lockReserved, lockStock, recordMovements, type StockRow } from './stock.ts';

export type InventoryDeps = Pick<Databases, 'platform'> &
  Readonly<{
    limits: Limits;
    /** How long a reservation waits for its payment, milliseconds per method; the shopper may ask for less. */
    holdMs: Readonly<Record<PaymentMethod, number>>;
  }>;
/** What one customer may hold without paying: against carts that only block stock. */
export type Limits = Readonly<{ maxOpenCheckouts: number; maxUnitsPerProduct: number }>;
/** `unplaced` is what a repeated request is answered when the order was released before it was placed. */
export type ReleaseInput = OrderKey & Readonly<{ unplaced: Refusal | null }>;

/** The steps of the inventory service (task queue `inventory`, source document 2.2). */
export const inventoryActivities = (deps: InventoryDeps) =>
  withRefusals({
    /**
     * Sets stock aside for an order, every line or none. Repeating it gives the first answer, a refusal too.
     *
     * @throws CheckoutError after the commit, so that the refusal is on record before anyone hears of it
     */
    async reserveStock(input: CheckoutInput): Promise<Reservation> {
      const answer = await deps.platform.$transaction((tx) => decideReservation(tx, deps, input));
      return isRefusal(answer) ? throwRefusal(answer) : answer;
    },

    /**
     * Makes the sale final: the reservation is consumed. Repeat-safe.
     *
     * @throws CheckoutError CHECKOUT_ABANDONED when the stock was given back: it cannot happen, a person must look
     */
    async commitStock(key: OrderKey): Promise<void> {
      await deps.platform.$transaction(async (tx) => {
        const { state } = await lockHeader(tx, key);
        if (state === 'COMMITTED') return;
        // Thrown inside, because it decides nothing: not even a header that was made just now may stay.
        if (state !== 'RESERVED') {
          throw new CheckoutError('CHECKOUT_ABANDONED', `order ${key.orderId} holds no stock to commit`);
        }
        await settleReservation(tx, key.orderId, 'COMMITTED');
      });
    },

    /**
     * Undo of `reserveStock`: gives the stock back. Repeat-safe. Leaves its mark also where nothing was reserved, so
     * that a reservation that comes late is refused.
     *
     * @throws CheckoutError NOT_CANCELLABLE when the sale is final already: a person must look
     */
    async releaseStock({ unplaced, ...key }: ReleaseInput): Promise<void> {
      const done = await deps.platform.$transaction(async (tx) => {
        const { state } = await lockHeader(tx, key);
        if (state === 'RESERVED') await settleReservation(tx, key.orderId, 'RELEASED');
        if (state === null || state === 'RESERVED') {
          await storeDecision(tx, key.orderId, { state: 'RELEASED', ...(unplaced && { answer: unplaced }) });
        }
        return state !== 'COMMITTED';
      });
      if (!done) throw new CheckoutError('NOT_CANCELLABLE', `the stock of order ${key.orderId} is sold`);
    },
  });

export type InventoryActivities = ReturnType<typeof inventoryActivities>;

async function decideReservation(
  tx: SqlTransaction,
  { limits, holdMs }: InventoryDeps,
  input: CheckoutInput,
): Promise<Answer> {
  const { state, answer, requestHash, now } = await lockHeader(tx, input);
  // Temporal forgets, the header does not: another request under this key must not continue this one's order.
  if (requestHash !== input.requestHash) return KEY_REUSED;
  if (state === 'RELEASED') return { code: 'CHECKOUT_ABANDONED', message: `order ${input.orderId} was given up` };
  if (answer !== null) return answer;

  const cart = now > new Date(input.startDeadline) ? TOO_LATE : await priceForCustomer(tx, input, limits);
  if (isRefusal(cart)) return refuse(tx, input.orderId, cart);
  const moves = reserve<StockRow>(await lockStock(tx, cart.lines));
  if (isRefusal(moves)) return refuse(tx, input.orderId, moves);

  const reservation = { ...cart, paymentMethod: input.payment.method, placedAt: now.toISOString() };
  await insertReservations(tx, input.orderId, cart.lines);
  await recordMovements(tx, { orderId: input.orderId, reason: 'CHECKOUT' }, moves);
  await storeDecision(tx, input.orderId, {
    state: 'RESERVED',
    answer: reservation,
    holdMs: holdOf(input.payment, holdMs),
  });
  return reservation;
}

/** Milliseconds. A hold that was asked for can only be shorter than the shop's. */
function holdOf(payment: PaymentChoice, holdMs: InventoryDeps['holdMs']): number {
  const shop = holdMs[payment.method];
  const asked = payment.method === 'bank_transfer' ? payment.holdSeconds : undefined;
  return asked === undefined ? shop : Math.min(shop, asked * 1_000);
}

const KEY_REUSED: Refusal = { code: 'IDEMPOTENCY_KEY_REUSED', message: 'this key belongs to another request' };
const TOO_LATE: Refusal = { code: 'START_DEADLINE_PASSED', message: 'the checkout could not start in time' };

async function priceForCustomer(
  tx: SqlTransaction,
  { customerId, lines, expectedTotal }: CheckoutInput,
  limits: Limits,
): Promise<PricedCart | Refusal> {
  const merged = mergeLines(lines);
  const { active, openCheckouts, mostUnits } = await lockCustomer(tx, customerId, merged);
  if (!active) return { code: 'UNKNOWN_USER', message: 'no such active customer' };
  if (openCheckouts >= limits.maxOpenCheckouts) {
    const message = `at most ${limits.maxOpenCheckouts} checkouts may be open; finish or cancel one first`;
    return { code: 'TOO_MANY_OPEN_CHECKOUTS', message, detail: { limit: limits.maxOpenCheckouts } };
  }
  if (mostUnits > limits.maxUnitsPerProduct) {
    const message = `at most ${limits.maxUnitsPerProduct} units of one product may be held at once`;
    return { code: 'UNITS_LIMIT', message, detail: { limit: limits.maxUnitsPerProduct } };
  }
  return priceCart(merged, await readCatalogue(tx, merged), expectedTotal);
}

async function refuse(tx: SqlTransaction, orderId: string, answer: Refusal): Promise<Refusal> {
  await storeDecision(tx, orderId, { state: 'REFUSED', answer });
  return answer;
}

async function settleReservation(tx: SqlTransaction, orderId: string, state: 'COMMITTED' | 'RELEASED'): Promise<void> {
  const lines = await lockReserved(tx, orderId);
  const [moves, reason] = state === 'COMMITTED' ? [commit(lines), 'ORDER_PAID'] : [release(lines), 'CHECKOUT_UNDONE'];
  await recordMovements(tx, { orderId, reason }, moves);
  await setReservations(tx, orderId, state);
  if (state === 'COMMITTED') await storeDecision(tx, orderId, { state });
}
