import type { EventType } from '../events/catalogue.ts';
import { stockAggregateId } from '../events/ids.ts';
import type { StoredEvent } from '../events/stored-event.ts';
import { storedEvent } from '../test/support/views.ts';
import {
  type Ending,
  orderEvents,
  orderIdOf,
  type OrderStory,
  productEvents,
  totalOf,
  userEvents,
} from '../test/support/views-history.ts';

const PRODUCTS = 50;
const MOST_LINES = 3;
const LOCATION = 'MAIN';
const FULL_SHELF = 1_000_000;
/** Of a hundred orders so many fail, and so many are cancelled; of the paid ones so many are given back in part. */
const FAILED_OF_100 = 6;
const CANCELLED_OF_100 = 2;
const REFUNDED_OF_100 = 10;

/**
 * Events as orders leave them behind: users and products first, then order after order, each with its stock, order and
 * payment. The same every time; all orders are of one day, which is the heaviest for its sums.
 *
 * @param at the instant of all of them: ISO, UTC
 * @param customers how many there are
 */
export function* pastOrders(at: string, customers: number): Generator<readonly StoredEvent[], never> {
  const productIds = Array.from({ length: PRODUCTS }, (_, index) => String(index + 1));
  const shelves = new Map(productIds.map((productId) => [productId, new Shelf(productId, at)]));
  for (const productId of productIds) yield productEvents(productId, [1_000], at);
  for (let id = 1; id <= customers; id++) yield userEvents(String(id), ['A Customer'], at);

  for (let n = 1; ; n++) {
    const lines = Array.from({ length: 1 + spread(n, 1, MOST_LINES) }, (_, line) => ({
      productId: productIds[spread(n, 2 + line, PRODUCTS)] ?? '1',
      quantity: 1 + spread(n, 5 + line, 3),
      unitPriceMinor: 100 * (10 + spread(n, 8 + line, 900)),
    }));
    const userId = String(1 + spread(n, 11, customers));
    const story = { name: `past-${n}`, userId, currency: 'KRW', lines, placedAt: at };
    const end = endOf(totalOf(story), spread(n, 12, 100), spread(n, 13, 100), at);
    const told = { ...story, end };
    const moved = (type: MovementType) =>
      lines.flatMap(({ productId, quantity }) => shelves.get(productId)?.moved(type, quantity, orderIdOf(told)) ?? []);
    const reserved = moved('InventoryReserved');
    const settled = moved(end.kind === 'PAID' ? 'InventoryCommitted' : 'InventoryReleased');
    yield [...reserved, ...orderEvents(told), ...settled];
  }
}

function endOf(total: number, chance: number, refund: number, at: string): OrderStory['end'] {
  if (chance < FAILED_OF_100) return { kind: 'FAILED', at };
  if (chance < FAILED_OF_100 + CANCELLED_OF_100) return { kind: 'CANCELLED', at };
  const refunds: Extract<Ending, { kind: 'PAID' }>['refunds'] =
    refund < REFUNDED_OF_100 ? [{ at, minor: Math.ceil(total / 2) }] : [];
  return { kind: 'PAID', at, refunds };
}

/** A number below `size` that looks like chance and is the same every time. */
const spread = (n: number, salt: number, size: number): number =>
  Math.floor((Math.imul(n ^ (salt << 24), 0x9e37_79b1) >>> 0) / (2 ** 32 / size));

type MovementType = Extract<EventType, 'InventoryReserved' | 'InventoryCommitted' | 'InventoryReleased'>;

/** The stock of one product, with the versions of its events. */
class Shelf {
  readonly #productId: string;
  readonly #at: string;
  #available = FULL_SHELF;
  #reserved = 0;
  #version = 0;

  constructor(productId: string, at: string) {
    this.#productId = productId;
    this.#at = at;
  }

  moved(type: MovementType, quantity: number, orderId: string): StoredEvent {
    const taken = type === 'InventoryReserved' ? -quantity : type === 'InventoryReleased' ? quantity : 0;
    const held = type === 'InventoryReserved' ? quantity : -quantity;
    this.#available += taken;
    this.#reserved += held;
    this.#version += 1;
    return storedEvent(type, stockAggregateId(this.#productId, null, LOCATION), this.#version, this.#at, {
      ...{ productId: this.#productId, variantId: null, locationCode: LOCATION, lowStockThreshold: 10, orderId },
      ...{ quantityChange: taken, reservedChange: held, available: this.#available, reserved: this.#reserved },
      reason: 'CHECKOUT',
    });
  }
}
