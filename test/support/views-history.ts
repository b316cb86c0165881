import type { EventData } from '../../events/catalogue.ts';
import { orderIdFor, paymentIdFor, stockAggregateId } from '../../events/ids.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { storedEvent } from './views.ts';

/** An ISO instant, UTC. */
export type Instant = string;

export type OrderStory = Readonly<{
  /** Names the order; ids follow from it. */
  name: string;
  userId: string;
  currency: string;
  lines: readonly Readonly<{ productId: string; quantity: number; unitPriceMinor: number }>[];
  placedAt: Instant;
  end: Ending;
}>;

/** How an order ends. A refund may have an earlier time than the one before it: a transaction's time is when it began. */
export type Ending =
  | Readonly<{ kind: 'OPEN' }>
  | Readonly<{ kind: 'FAILED' | 'CANCELLED'; at: Instant }>
  | Readonly<{ kind: 'PAID'; at: Instant; refunds: readonly Readonly<{ at: Instant; minor: number }>[] }>;

export const orderIdOf = ({ name }: Pick<OrderStory, 'name'>): string => orderIdFor('story', 'test', name);

export const totalOf = ({ lines }: Pick<OrderStory, 'lines'>): number =>
  lines.reduce((sum, { quantity, unitPriceMinor }) => sum + quantity * unitPriceMinor, 0);

/** Every event of an order and of its payment, each in the order of its versions. */
export function orderEvents(story: OrderStory): StoredEvent[] {
  const orderId = orderIdOf(story);
  const paymentId = paymentIdFor(orderId);
  const ofOrder: StoredEvent[] = [];
  const ofPayment: StoredEvent[] = [];
  const order = (type: OrderEventType, at: Instant, change: Partial<OrderFacts> = {}) =>
    ofOrder.push(storedEvent(type, orderId, ofOrder.length + 1, at, { ...orderFacts(story), ...change }));
  const payment = (type: PaymentEventType, at: Instant, change: Partial<PaymentFacts> = {}) =>
    ofPayment.push(storedEvent(type, paymentId, ofPayment.length + 1, at, { ...paymentFacts(story), ...change }));

  const { end, placedAt, currency } = story;
  const total = totalOf(story);
  order('OrderCreated', placedAt);
  payment('PaymentPending', placedAt);
  if (end.kind === 'FAILED') {
    payment('PaymentFailed', end.at, { status: 'FAILED', failureCode: 'PAYMENT_DECLINED' });
    order('OrderFailed', end.at, { status: 'FAILED', failureCode: 'PAYMENT_DECLINED' });
  } else if (end.kind === 'CANCELLED') {
    payment('PaymentCancelled', end.at, { status: 'CANCELLED' });
    order('OrderCancelled', end.at, { status: 'CANCELLED', failureCode: 'CHECKOUT_CANCELLED' });
  } else if (end.kind === 'PAID') {
    const captured = { status: 'CAPTURED', capturedMinor: total, capturedCurrency: currency };
    payment('PaymentCompleted', end.at, captured);
    order('OrderPaid', end.at, { status: 'PAID' });
    let refunded = 0;
    for (const { at, minor } of end.refunds) {
      refunded += minor;
      const status = refunded === total ? 'REFUNDED' : 'PARTIALLY_REFUNDED';
      payment('PaymentRefunded', at, { ...captured, status, refundedMinor: refunded });
      order('OrderRefunded', at, { status, refundedTotalMinor: refunded });
    }
  }
  return [...ofOrder, ...ofPayment];
}

type OrderEventType = 'OrderCreated' | 'OrderPaid' | 'OrderFailed' | 'OrderCancelled' | 'OrderRefunded';
type PaymentEventType =
  'PaymentPending' | 'PaymentCompleted' | 'PaymentFailed' | 'PaymentCancelled' | 'PaymentRefunded';
type OrderFacts = EventData<'OrderCreated'>;
type PaymentFacts = EventData<'PaymentPending'>;

/** The order as its first event tells it. */
export function orderFacts(story: OrderStory): OrderFacts {
  const { name, userId, currency, lines, placedAt } = story;
  return {
    orderId: orderIdOf(story),
    orderNumber: `N-${name}`,
    userId,
    status: 'PENDING',
    currency,
    totalMinor: totalOf(story),
    refundedTotalMinor: 0,
    itemCount: lines.reduce((sum, { quantity }) => sum + quantity, 0),
    paymentMethod: 'card',
    failureCode: null,
    placedAt,
    lines: lines.map(({ productId, quantity, unitPriceMinor }, index) => ({
      lineNo: index + 1,
      ...{ productId, variantId: null, sku: `SKU-${productId}`, name: `Product ${productId}` },
      ...{ unitPriceMinor, quantity, lineTotalMinor: quantity * unitPriceMinor },
    })),
  };
}

/** The payment as its first event tells it. */
export function paymentFacts(story: OrderStory): PaymentFacts {
  const orderId = orderIdOf(story);
  return {
    ...{ paymentId: paymentIdFor(orderId), orderId, userId: story.userId, provider: 'simulated', method: 'card' },
    ...{ status: 'PENDING', currency: story.currency, amountMinor: totalOf(story), capturedMinor: 0 },
    ...{ capturedCurrency: null, refundedMinor: 0, failureCode: null },
  };
}

/** A user as it was made and then changed: `names[0]` first. */
export const userEvents = <const N extends readonly string[]>(userId: string, names: N, at: Instant) =>
  mapped(names, (fullName, index) =>
    storedEvent(index === 0 ? 'UserCreated' : 'UserUpdated', userId, index + 1, at, {
      ...{ userId, username: `user${userId}`, email: `user${userId}@shop.test`, fullName, status: 'ACTIVE' },
    }),
  );

/** A product as it was made and then changed: `prices[0]` first, minor units. */
export const productEvents = <const P extends readonly number[]>(productId: string, prices: P, at: Instant) =>
  mapped(prices, (basePriceMinor, index) =>
    storedEvent(index === 0 ? 'ProductCreated' : 'ProductUpdated', productId, index + 1, at, {
      ...{ productId, sku: `SKU-${productId}`, name: `Product ${productId}`, slug: `product-${productId}` },
      ...{ description: 'A thing.', brand: null, categoryId: '1', categoryName: 'Things', categorySlug: 'things' },
      ...{
        status: 'ACTIVE',
        currency: 'KRW',
        basePriceMinor,
        salePriceMinor: null,
        primaryImageUrl: null,
        variants: [],
      },
    }),
  );

/** How much of a product there was at a place, time after time. */
export const stockLevels = <const L extends readonly number[]>(
  productId: string,
  locationCode: string,
  levels: L,
  at: Instant,
) =>
  mapped(levels, (available, index) =>
    storedEvent('InventoryAdjusted', stockAggregateId(productId, null, locationCode), index + 1, at, {
      ...{ productId, variantId: null, locationCode, quantityChange: available - (levels[index - 1] ?? 0) },
      ...{ reservedChange: 0, available, reserved: 0, lowStockThreshold: 10, reason: 'COUNT', orderId: null },
    }),
  );

/** As many events as there are items, so that each can be named. */
const mapped = <Item, const Items extends readonly Item[]>(
  items: Items,
  eventOf: (item: Items[number], index: number) => StoredEvent,
) => items.map(eventOf) as { [Index in keyof Items]: StoredEvent };
