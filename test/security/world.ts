import pLimit from 'p-limit';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { orderActivities } from '../../activities/orders/activities.ts';
import type { Operation } from '../../api/contract/operation.ts';
import { ROLES } from '../../domain/roles.ts';
import { type OpenApi, openApi } from '../api/open-api.ts';
import { fillViews } from '../support/filled-views.ts';
import { GENEROUS, HOLD_MS } from '../support/inventory.ts';
import { temporalServer } from '../support/servers.ts';
import { checkoutInput } from '../support/shop.ts';
import { deadLetter } from './dead-letter.ts';
import { listening, type Reply, type Request, type Send } from './http.ts';
import { exampleOf, type Known } from './requests.ts';

/** The customer of the seed whose things the other one wants, and an item that can be bought. */
export const OWNER = '1';
export const ALLOWED_ORIGIN = 'https://shop.test';
const ITEM = { productId: '102', variantId: null, locationCode: 'MAIN' };
/** Requests, as long as nothing else is said. */
const AT_ONCE = 8;
/** Nobody is slowed down here; the limits have tests of their own. */
const UNLIMITED = 1_000_000_000;

/** An API with things in it that attackers want. Temporal is a real one, without workers. */
export type World = Readonly<{
  api: OpenApi;
  port: number;
  temporalPort: string;
  /** What example requests are about: an order of OWNER that is over, and two dead letters. */
  known: Known;
  send: Send;
  close: () => Promise<void>;
}>;

export async function openWorld(): Promise<World> {
  const settings = { rateLimitPerMinute: UNLIMITED, corsOrigins: [ALLOWED_ORIGIN] };
  const { address } = await temporalServer();
  const api = await openApi(address, { settings });
  const known = {
    orderId: await endedOrder(api),
    letterIds: [await deadLetter(api, 'a'), await deadLetter(api, 'b')] as const,
  };
  await fillViews(api);
  const { port, send, close } = await listening(api.app);
  return {
    ...{ api, port, known, send, temporalPort: address.split(':')[1] ?? '' },
    async close() {
      await close();
      await api.close();
    },
  };
}

/** The example of an operation, as whoever may do it. `changes` win; a header of undefined is left out. */
export function requestOf(world: Pick<World, 'known'>, operation: Operation, token: string | null): Request {
  const { params = {}, query = {}, headers = {}, body, bytes } = exampleOf(operation, world.known);
  const search = new URLSearchParams(query).toString();
  return {
    method: operation.method.toUpperCase(),
    path: `${pathOf(operation, params)}${search === '' ? '' : `?${search}`}`,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: bytes ?? JSON.stringify(body) }),
  };
}

/** A path of the operation with these parameters in it. */
export const pathOf = ({ path }: Operation, params: Readonly<Record<string, string>>): string =>
  path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(params[name] ?? ''));

/** Checks all of them, several at a time, and all of them before it fails: nothing is asked any more afterwards. */
export async function each<T>(items: readonly T[], check: (item: T) => Promise<void>, atOnce = AT_ONCE): Promise<void> {
  const atMost = pLimit(atOnce);
  const ends = await Promise.allSettled(items.map((item) => atMost(() => check(item))));
  const failed = ends.filter((end) => end.status === 'rejected');
  if (failed[0] !== undefined) throw failed[0].reason;
}

/** The token of somebody who may do this; null where none is asked for. */
export function tokenFor({ api: { tokens } }: Pick<World, 'api'>, { access }: Operation): string | null {
  if (typeof access === 'string') return null;
  return tokens[ROLES.find((role) => access.includes(role)) ?? 'admin'];
}

/** The body of a reply; undefined for one that is not JSON. */
export function bodyOf({ headers, text }: Reply): unknown {
  return /^application\/(problem\+)?json/.test(String(headers['content-type']))
    ? (JSON.parse(text) as unknown)
    : undefined;
}

/** The code of a problem; undefined for any other reply. */
export function codeOf(reply: Reply): string | undefined {
  const body = bodyOf(reply);
  return typeof body === 'object' && body !== null && 'code' in body ? String(body.code) : undefined;
}

async function endedOrder({ platform, order }: OpenApi): Promise<string> {
  const input = checkoutInput(OWNER, [{ item: ITEM, quantity: 1 }]);
  const { orderId, customerId, requestHash } = input;
  const inventory = inventoryActivities({ platform, limits: GENEROUS, holdMs: HOLD_MS });
  const orders = orderActivities({ order });
  const reservation = await inventory.reserveStock(input);
  await orders.createOrder({ orderId, customerId, requestHash, reservation });
  const refusal = { code: 'CHECKOUT_CANCELLED', message: 'cancelled' } as const;
  await inventory.releaseStock({ orderId, customerId, requestHash, unplaced: null });
  await orders.closeOrder({ orderId, end: { status: 'CANCELLED', refusal } });
  return orderId;
}
