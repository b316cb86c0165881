import { randomUUID } from 'node:crypto';

import type { Access, Operation } from '../../api/contract/operation.ts';
import { OPERATIONS } from '../../api/contract/operations.ts';
import { WEBHOOK_SECRETS } from '../api/open-api.ts';
import { signedWebhook } from '../support/webhooks.ts';

/** What requests may be about: an order that is over, and dead letters of two subjects. */
export type Known = Readonly<{ orderId: string; letterIds: readonly [string, string] }>;

/** Who may do it, written down once more, because a wrong declaration would open the route and the matrix alike. */
type Who = 'anybody' | 'probes' | 'the provider' | 'customers' | 'administrators' | 'all with a token';

export type Example = Readonly<{
  who: Who;
  params?: Readonly<Record<string, string>>;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: Readonly<Record<string, unknown>>;
  /** Places of the body, as JSON Pointers, below which anything may stand. */
  free?: readonly string[];
  /** Entries of the longest list of the body, where it is not 200 at most. */
  most?: number;
  /** The very bytes of the body where they are signed. */
  bytes?: string;
  /** What the world answers to it: this, or any answer that is declared; null where workers would have to answer. */
  status: number | 'any' | null;
}>;

const won = (minor: number) => ({ minor, currency: 'KRW' });
const keyed = () => ({ 'idempotency-key': randomUUID() });
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const word = (): string => randomUUID().slice(0, 8);

/** A request per operation that is as it should be, each time a new one: whatever must be unique is. */
const EXAMPLES: Readonly<Record<string, (known: Known) => Example>> = {
  placeCheckout: () => ({
    who: 'customers',
    headers: { ...keyed(), prefer: 'respond-async' },
    body: {
      items: [{ productId: '102', variantId: null, quantity: 1, locationCode: 'MAIN' }],
      payment: { method: 'card', token: 'tok_ok' },
      expectedTotal: won(3_500),
    },
    status: null,
  }),
  listOrders: () => ({ who: 'all with a token', query: { status: 'CANCELLED', limit: '10' }, status: 200 }),
  getOrder: ({ orderId }) => ({ who: 'all with a token', params: { orderId }, status: 200 }),
  cancelOrder: ({ orderId }) => ({ who: 'all with a token', params: { orderId }, status: 200 }),
  refundOrder: ({ orderId }) => ({
    ...{ who: 'administrators', params: { orderId }, headers: keyed() },
    body: { amount: won(1_000), lines: [{ lineNo: 1, quantity: 1, restock: false }], reason: 'broken' },
    status: null,
  }),
  receiveWebhook: () => {
    const { body, headers } = signedWebhook({ secret: WEBHOOK_SECRETS[0] ?? '' });
    const fields = JSON.parse(body) as Record<string, unknown>;
    return {
      ...{ who: 'the provider', params: { provider: 'simulated' }, headers, body: fields, bytes: body },
      status: 204,
    };
  },
  listProducts: () => ({ who: 'anybody', query: { search: 'mug', limit: '10' }, status: 200 }),
  getProduct: () => ({ who: 'anybody', params: { productId: '102' }, status: 200 }),
  createProduct: () => ({
    ...{ who: 'administrators', headers: keyed(), body: newProduct(word()), free: ['/variants/0/options'] },
    status: 201,
  }),
  changeProduct: () => ({
    ...{ who: 'administrators', params: { productId: '102' } },
    body: { name: 'Coaster, cork', basePrice: won(3_500), salePrice: null, variants: [] },
    status: 200,
  }),
  getStock: () => ({ who: 'administrators', params: { productId: '102' }, query: { limit: '5' }, status: 200 }),
  adjustStock: () => ({
    ...{ who: 'administrators', headers: keyed() },
    body: { productId: '102', variantId: null, locationCode: 'MAIN', quantityChange: -1, reason: 'STOCKTAKE' },
    status: 201,
  }),
  createUser: () => ({ who: 'administrators', headers: keyed(), body: newUser(word()), status: 201 }),
  changeUser: () => ({
    ...{ who: 'administrators', params: { userId: '3' }, headers: { 'if-match': '*' } },
    body: { fullName: 'Jun Park', status: 'ACTIVE' },
    status: 200,
  }),
  getOwnUser: () => ({ who: 'all with a token', status: 200 }),
  listDailySales: () => ({ who: 'administrators', query: { from: '2026-11-01', to: '2026-11-23' }, status: 200 }),
  listAttention: () => ({ who: 'administrators', query: { limit: '10' }, status: 200 }),
  resolveParked: ({ orderId }) => ({
    ...{ who: 'administrators', params: { orderId }, body: { action: 'retry', reason: 'the bank is back' } },
    status: 409,
  }),
  listDeadLetters: () => ({ who: 'administrators', query: { limit: '10', discarded: 'false' }, status: 200 }),
  redriveDeadLetter: ({ letterIds: [id] }) => ({ who: 'administrators', params: { id }, status: 202 }),
  discardDeadLetter: ({ letterIds: [, id] }) => ({
    ...{ who: 'administrators', params: { id }, body: { reason: 'the product was never sold' } },
    status: 200,
  }),
  listViews: () => ({ who: 'administrators', status: 200 }),
  getView: () => ({ who: 'administrators', params: { name: 'orders' }, status: 200 }),
  rebuildView: () => ({ who: 'administrators', params: { name: 'orders' }, status: 202 }),
  followOrder: ({ orderId }) => ({
    ...{ who: 'all with a token', params: { orderId }, query: { until: 'final' } },
    status: 200,
  }),
  decodePayloads: () => ({
    who: 'administrators',
    body: { payloads: [{ metadata: { encoding: base64('json/plain') }, data: base64('"plain"') }] },
    ...{ free: ['/payloads/0'], most: 5_000 },
    status: 200,
  }),
  encodePayloads: () => ({
    who: 'administrators',
    body: { payloads: [{ metadata: { encoding: base64('json/plain') }, data: base64('"plain"') }] },
    ...{ free: ['/payloads/0'], most: 5_000 },
    status: 200,
  }),
  openCodecSession: () => ({ who: 'administrators', status: 204 }),
  tellOrderStory: ({ orderId }) => ({ who: 'all with a token', params: { orderId }, status: 200 }),
  auditShop: () => ({ who: 'administrators', query: { maxAge: '3600' }, status: 'any' }),
  getOpenApi: () => ({ who: 'anybody', status: 200 }),
  showDocs: () => ({ who: 'anybody', status: 200 }),
  getDocsAsset: () => ({ who: 'anybody', params: { asset: 'initializer.js' }, status: 200 }),
  getHealth: () => ({ who: 'probes', status: 200 }),
  getReadiness: () => ({ who: 'probes', status: 200 }),
};

const newProduct = (name: string) => ({
  ...{ sku: `LAMP-${name}`, slug: `lamp-${name}`, name: 'Lamp, brass', description: 'Warm light.', brand: 'Huis' },
  ...{ category: 'kitchen', status: 'DRAFT', basePrice: won(39_000), salePrice: null },
  primaryImageUrl: 'https://images.shop.test/lamp.jpg',
  variants: [
    {
      ...{ sku: `LAMP-${name}-S`, name: 'Small', options: { size: 'S' }, price: won(35_000) },
      stock: [{ locationCode: 'MAIN', quantity: 5, lowStockThreshold: 2 }],
    },
  ],
});

const newUser = (name: string) => ({
  ...{ username: `mina-${name}`, email: `mina-${name}@shop.test`, fullName: 'Mina Kim', status: 'ACTIVE' },
});

const ACCESS: Readonly<Record<Who, Access>> = {
  anybody: 'public',
  probes: 'probe',
  'the provider': 'signature',
  customers: ['customer'],
  administrators: ['admin'],
  'all with a token': ['customer', 'admin'],
};

/** @throws Error for an operation that has no example yet: add one above, and everything here is tested with it */
export function exampleOf({ id }: Operation, known: Known): Example {
  const example = Object.hasOwn(EXAMPLES, id) ? EXAMPLES[id] : undefined;
  if (example === undefined) throw new Error(`operation ${id} has no example in test/security/requests.ts`);
  return example(known);
}

/** Who may do it as this table says. */
export const expectedAccess = (operation: Operation, known: Known): Access => ACCESS[exampleOf(operation, known).who];

export const EXAMPLE_IDS = Object.keys(EXAMPLES);

/** What is tested over examples. `owasp-access.long.test.ts` demands that this is every operation of the declaration. */
export const TESTED = OPERATIONS.filter(({ id }) => Object.hasOwn(EXAMPLES, id));
