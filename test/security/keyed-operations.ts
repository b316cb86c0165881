import type { ErrorCode } from '../../domain/errors.ts';
import type { DatabaseName } from '../../infra/config.ts';
import { type Place, withAt } from './bodies.ts';
import type { Example } from './requests.ts';

export type Body = NonNullable<Example['body']>;

/** What one operation that takes an Idempotency-Key makes of it. */
export type Keyed = Readonly<{
  /** Counts what one request makes. */
  effects: readonly [DatabaseName, string];
  /** Fields of the example that say what is so without them. */
  defaults: readonly Place[];
  /** Another request: this field has another value. */
  other: readonly [Place, unknown];
  /** Fields of the answer that tell how far the work is. */
  moving?: readonly string[];
  /** A change of the example that the shop refuses; `kept`: under this key for ever. */
  refused: Readonly<{ change: readonly [Place, unknown]; code: ErrorCode; kept: boolean }>;
}>;

/** By operation. One that takes a key and is not here fails the test. */
export const KEYED: Readonly<Record<string, Keyed>> = {
  placeCheckout: {
    effects: ['order', 'select count(*)::int as n from orders'],
    defaults: [
      ['items', 0, 'variantId'],
      ['items', 0, 'locationCode'],
    ],
    other: [['items', 0, 'quantity'], 2],
    refused: { change: [['items', 0, 'productId'], '999999999'], code: 'UNKNOWN_PRODUCT', kept: true },
  },
  refundOrder: {
    effects: ['payment', 'select count(*)::int as n from refunds'],
    defaults: [['lines', 0, 'restock']],
    other: [['reason'], 'another reason'],
    moving: ['status'],
    refused: { change: [['amount', 'minor'], 900_000_000], code: 'REFUND_EXCEEDS_CAPTURE', kept: true },
  },
  createProduct: {
    effects: ['platform', 'select count(*)::int as n from products'],
    defaults: [['salePrice']],
    other: [['name'], 'Another lamp'],
    refused: { change: [['category'], 'no-such-category'], code: 'UNKNOWN_CATEGORY', kept: false },
  },
  createUser: {
    effects: ['platform', 'select count(*)::int as n from users'],
    defaults: [['status']],
    other: [['fullName'], 'Somebody Else'],
    refused: { change: [['email'], 'customer001@example.com'], code: 'EMAIL_TAKEN', kept: false },
  },
  adjustStock: {
    effects: ['platform', "select count(*)::int as n from inventory_events where event_type = 'ADJUSTED'"],
    defaults: [['variantId'], ['locationCode']],
    other: [['quantityChange'], -2],
    refused: { change: [['quantityChange'], -1_000_000], code: 'STOCK_BELOW_ZERO', kept: false },
  },
};

/** Of an operation that changes something without a key: why it may be repeated, and what two equal requests are told. */
type Natural = Readonly<{
  why: string;
  statuses: readonly [number, number];
  /** Counts what both together make. */
  effects?: Readonly<{ count: Keyed['effects']; made: number }>;
}>;

const products: Keyed['effects'] = ['platform', 'select sum(version)::int as n from products'];
const users: Keyed['effects'] = ['platform', 'select sum(version)::int as n from users'];
const webhooks: Keyed['effects'] = ['payment', 'select count(*)::int as n from payment_webhooks'];
const cancelled: Keyed['effects'] = [
  'order',
  "select count(*)::int as n from order_status_history where status = 'CANCELLED'",
];

/** By operation, as KEYED. */
export const BY_NATURE: Readonly<Record<string, Natural>> = {
  cancelOrder: {
    why: 'a cancelled order is cancelled: the repeat joins the first cancellation, or finds it done',
    statuses: [200, 200],
    effects: { count: cancelled, made: 1 },
  },
  receiveWebhook: {
    why: "the event's own id is the key: its repeats are stored once",
    statuses: [204, 204],
    effects: { count: webhooks, made: 1 },
  },
  changeProduct: {
    why: 'fields are set to what they shall be: what is so already makes no version',
    statuses: [200, 200],
    effects: { count: products, made: 1 },
  },
  changeUser: {
    why: 'as with products; If-Match refuses whoever has not seen the version before',
    statuses: [200, 200],
    effects: { count: users, made: 1 },
  },
  resolveParked: { why: 'it acts on what is parked when it arrives: a repeat meets nothing', statuses: [409, 409] },
  redriveDeadLetter: { why: 'a letter that was given back is refused', statuses: [202, 409] },
  discardDeadLetter: { why: 'a letter that was given up is refused', statuses: [200, 409] },
  rebuildView: { why: 'a view has one rebuild at a time, which the repeat joins', statuses: [202, 202] },
  decodePayloads: { why: 'it changes nothing', statuses: [200, 200] },
  encodePayloads: { why: 'it changes nothing', statuses: [200, 200] },
  openCodecSession: { why: 'it changes nothing here: the cookie is kept by the browser', statuses: [204, 204] },
};

/** The same request in other words: fields in another order, with blanks, and without what is so anyway. */
export function respelled(body: Body, defaults: readonly Place[]): string {
  const terse = defaults.reduce<unknown>((rest, place) => withAt(rest, place, undefined), body);
  return JSON.stringify(backwards(terse), null, 2);
}

function backwards(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(backwards);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, field]) => [key, backwards(field)]),
  );
}
