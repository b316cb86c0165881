import type { ErrorCode, Refusal } from './errors.ts';
import type { Money } from './money.ts';

/** One line of a cart. `variantId` is null for a product without variants. */
export type CartLine = Readonly<{
  lineNo: number;
  productId: string;
  variantId: string | null;
  quantity: number;
  locationCode: string;
}>;

/**
 * The provider's single-use token is all that we ever see of a card. `holdSeconds`: the shopper wants to pay sooner than
 * the shop's hold allows; a longer one is shortened to it.
 */
export type PaymentChoice = Readonly<
  { method: 'card'; token: string } | { method: 'bank_transfer'; holdSeconds?: number }
>;

/** Input of the workflow `checkout`: ids, lines and a token, never personal data. */
export type CheckoutInput = Readonly<{
  orderId: string;
  customerId: string;
  /** SHA-256 of the canonical request body, hexadecimal. */
  requestHash: string;
  lines: readonly CartLine[];
  payment: PaymentChoice;
  expectedTotal: Money | null;
  /** ISO instant; a reservation asked for later than this is refused. */
  startDeadline: string;
}>;

/** A line as `reserveStock` priced it: what the order remembers, whatever the catalogue says later. */
export type PricedLine = Readonly<{
  lineNo: number;
  productId: string;
  variantId: string | null;
  locationCode: string;
  sku: string;
  name: string;
  variantName: string | null;
  unitPrice: Money;
  quantity: number;
  lineTotal: Money;
}>;

/** What `reserveStock` stores and answers. `placedAt` is an ISO instant of the platform database's clock. */
export type Reservation = Readonly<{
  lines: readonly PricedLine[];
  total: Money;
  paymentMethod: PaymentChoice['method'];
  placedAt: string;
}>;

/** The order as it was placed: a pure function of the reservation, so that it can be answered again for ever. */
export type PlacedOrder = Reservation & Readonly<{ orderId: string; orderNumber: string; status: 'PENDING' }>;

/** Answer of the update `placed`: the order as it was placed or the recorded refusal. */
export type PlacedAnswer = Readonly<{ requestHash: string }> & Placed;
export type Placed = Readonly<{ order: PlacedOrder }> | Readonly<{ refusal: Refusal }>;

/** The order that a reservation places (source document 1, step 4). */
export const placedOrder = (orderId: string, reservation: Reservation): PlacedOrder => ({
  orderId,
  orderNumber: orderNumberOf(orderId),
  status: 'PENDING',
  ...reservation,
});

export type CheckoutStatus =
  | 'RESERVING'
  | 'PLACED'
  | 'PAYING'
  | 'AWAITING_PAYMENT'
  | 'PAID'
  | 'COMPLETED'
  | 'UNDOING'
  | 'REJECTED'
  | 'CANCELLED'
  | 'EXPIRED'
  | 'NEEDS_ATTENTION';

/** Result of the workflow. A refusal is a result, not a failure. */
export type CheckoutResult = Readonly<{
  status: 'COMPLETED' | 'REJECTED' | 'CANCELLED' | 'EXPIRED';
  code?: ErrorCode;
  detail?: unknown;
}>;

/** Why a checkout is undone: it decides the final state of order and payment. */
export type SagaEnd = Readonly<{
  status: 'REJECTED' | 'CANCELLED' | 'EXPIRED';
  refusal: Refusal;
}>;

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * The number people read out: twelve Crockford base 32 characters, 60 bits of the order id.
 * A pure function of the order id, so that a repeated request shows the same number (docs/decisions/0002).
 */
export function orderNumberOf(orderId: string): string {
  const hex = orderId.replaceAll('-', '');
  // The last 15 hexadecimal digits: they hold neither the version nor the variant bits of the UUID.
  let bits = BigInt(`0x${hex.slice(-15)}`);
  let text = '';
  for (let i = 0; i < 12; i++, bits >>= 5n) text = CROCKFORD.charAt(Number(bits & 31n)) + text;
  return `${text.slice(0, 6)}-${text.slice(6)}`;
}
