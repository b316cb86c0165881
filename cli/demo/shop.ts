import { setTimeout as sleep } from 'node:timers/promises';

import type { z } from 'zod';

import type { checkoutBody } from '../../api/contract/checkouts.ts';
import { placeCheckout } from '../../api/contract/checkouts.ts';
import { type ApiClient, apiClient, NoAnswer, UnexpectedAnswer } from '../../api/contract/client.ts';
import type { AnswerOf } from '../../api/contract/client-types.ts';
import { problem } from '../../api/contract/errors.ts';
import { cancelOrder, getOrder } from '../../api/contract/orders.ts';
import { listProducts } from '../../api/contract/products.ts';

const REQUEST_LIMIT_MS = 45_000;
const ATTEMPTS = 6;
const FIRST_PAUSE_MS = 250;
const POLL_MS = 200;
/** An order that is not over soon is waiting for something: asking often would only keep a busy shop busier. */
const LONGEST_POLL_MS = 1_000;
/** After this a catalogue without products is taken for an empty one. */
const OPENS_WITHIN_MS = 15_000;
/** Between two looks at shelves that may be filling; what is away for longer than this has stopped coming. */
const FILLING_MS = 1_000;

/** Something that can be bought: one product or variant at one place. */
export type Shelf = Readonly<{
  productId: string;
  variantId: string | null;
  locationCode: string;
  available: number;
  currency: string;
}>;
export type Shop = ReturnType<typeof openShop>;
export type Checkout = z.input<typeof checkoutBody>;
export type Placed = AnswerOf<typeof placeCheckout>;
export type Watched = AnswerOf<typeof getOrder>;
/** What every answer has. */
export type Answer = Readonly<{
  status: number;
  body?: object | undefined;
  problem?: Readonly<{ code: string }> | undefined;
}>;

/** Thrown when the API cannot be reached at all. Its message is one actionable line. */
export class ShopIsClosed extends Error {}

/** The shop through its HTTP API, as a shopper's browser would see it. */
export function openShop(api: string) {
  const clientOf = (token?: string): ApiClient => apiClient({ url: api, token, timeoutMs: REQUEST_LIMIT_MS });
  const order = (token: string, orderId: string): Promise<Watched> =>
    open(clientOf(token).call(getOrder, { params: { orderId } }));

  return {
    /**
     * Everything on the shelves. They are filled by events: in a shop that has just opened some are still on their way, so
     * it is looked at until there are as many as before.
     */
    async shelves(): Promise<Shelf[]> {
      let before = 0;
      for (const deadline = Date.now() + OPENS_WITHIN_MS; ; await sleep(FILLING_MS)) {
        const shelves = await shelvesOf(clientOf(), api);
        if ((shelves.length > 0 && shelves.length === before) || Date.now() > deadline) return shelves;
        before = shelves.length;
      }
    },

    /** Sends a checkout: again under the same key, because that is what the key is for. */
    buy: (token: string, key: string, body: Checkout): Promise<Placed> =>
      patiently(() => open(clientOf(token).call(placeCheckout, { headers: { 'Idempotency-Key': key }, body }))),

    /** A second cancel of an order does no harm. */
    cancel: (token: string, orderId: string) =>
      patiently(() => open(clientOf(token).call(cancelOrder, { params: { orderId } }))),

    /** What the people at the desk do, with an administrator's token. Sent once. */
    desk: (token: string): ApiClient => {
      const client = clientOf(token);
      return { call: (operation, request) => open(client.call(operation, request)) };
    },

    /** What no typed client sends, as it is. @returns the status, and the code of a refusal */
    async sendNonsense(token: string, key: string | undefined, text: string): Promise<Answer> {
      const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
      const response = await fetch(new URL(placeCheckout.path, api), {
        ...{ method: 'POST', body: text, signal: AbortSignal.timeout(REQUEST_LIMIT_MS) },
        headers: { ...headers, ...(key !== undefined && { 'Idempotency-Key': key }) },
      }).catch((error: unknown) => {
        throw new ShopIsClosed(`nothing came back: ${String(error)}`, { cause: error });
      });
      return { status: response.status, problem: problem.safeParse(await response.json()).data };
    },

    /** Watches an order until it is no longer pending, as `until` does. */
    watch(token: string, orderId: string, limitMs: number): Promise<Watched> {
      return this.until(token, orderId, limitMs, ({ body }) => body?.status !== 'PENDING');
    },

    /** Watches an order until it is as it should be, at most `limitMs` milliseconds; answers how it is then. */
    async until(
      token: string,
      orderId: string,
      limitMs: number,
      asItShouldBe: (answer: Watched) => boolean,
    ): Promise<Watched> {
      const until = Date.now() + limitMs;
      for (let pauseMs = POLL_MS; ; pauseMs = Math.min(1.5 * pauseMs, LONGEST_POLL_MS)) {
        const answer = await order(token, orderId).catch(closed);
        const over = !(answer instanceof Error) && answer.status === 200 && asItShouldBe(answer);
        if (over || Date.now() >= until) {
          if (answer instanceof Error) throw answer;
          return answer;
        }
        await sleep(pauseMs);
      }
    },
  };
}

/** The order of an answer, where it is made. */
export const orderIn = (answer: Watched) =>
  answer.status === 200 && answer.problem === undefined ? answer.body : undefined;

/** Sends again what was answered by 429 or 503, and what got no answer: it must do no harm twice. */
async function patiently<A extends Answer>(send: () => Promise<A>): Promise<A> {
  for (let attempt = 1; ; attempt++) {
    const answer = await send().catch(closed);
    const again = answer instanceof Error || answer.status === 503 || answer.status === 429;
    if (again && attempt < ATTEMPTS) {
      await sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1));
      continue;
    }
    if (answer instanceof Error) throw answer;
    return answer;
  }
}

/** An answer in one word: the code of a refusal, or the status with the reason of a failure. */
export function describe({ status, problem, body }: Answer): string {
  if (problem !== undefined) return problem.code;
  const { status: state, failure } = (body ?? {}) as { status?: string; failure?: { code: string } | null };
  if (failure != null) return `${String(state)} (${failure.code})`;
  return state ?? `HTTP ${status}`;
}

/** As they are now, all pages. */
async function shelvesOf(client: ApiClient, api: string): Promise<Shelf[]> {
  const shelves: Shelf[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await open(client.call(listProducts, { query: { limit: 100, cursor } }));
    if (page.body === undefined) {
      throw new ShopIsClosed(
        `${new URL(api).origin} cannot be used (it answers ${describe(page)}): is \`npm start\` running?`,
      );
    }
    for (const { productId, price, stock: own, variants } of page.body.items) {
      const all = [{ variantId: null, stock: own }, ...variants];
      for (const { variantId, stock: places } of all) {
        shelves.push(...places.map((place) => ({ productId, variantId, ...place, currency: price.currency })));
      }
    }
    if (page.body.next === null) return shelves;
    cursor = page.body.next;
  }
}

/** The answer; ShopIsClosed where none came, or not one of this API. */
async function open<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof NoAnswer) {
      throw new ShopIsClosed(`${error.reason}: is \`npm start\` running?`, { cause: error });
    }
    throw error instanceof UnexpectedAnswer ? new ShopIsClosed(error.message, { cause: error }) : error;
  }
}

function closed(error: unknown): ShopIsClosed {
  if (error instanceof ShopIsClosed) return error;
  throw error;
}
