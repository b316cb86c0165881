import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

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

const stock = z.object({ locationCode: z.string(), available: z.number() });
const productPage = z.object({
  items: z.array(
    z.object({
      productId: z.string(),
      price: z.object({ currency: z.string() }),
      stock: z.array(stock),
      variants: z.array(z.object({ variantId: z.string(), stock: z.array(stock) })),
    }),
  ),
  next: z.string().nullable(),
});
const instructions = z.discriminatedUnion('type', [
  z.object({ type: z.literal('bank_transfer'), account: z.string() }),
  z.object({ type: z.literal('redirect'), url: z.string() }),
]);
const answerBody = z.object({
  orderId: z.string().optional(),
  status: z.union([z.string(), z.number()]).optional(),
  code: z.string().optional(),
  failure: z.object({ code: z.string() }).nullish(),
  payment: z.object({ instructions: instructions.nullable() }).optional(),
  history: z.array(z.object({ reason: z.string().nullable() })).optional(),
  links: z.object({ temporal: z.string().optional() }).optional(),
});

export type Answer = Readonly<{ http: number; replayed: boolean; body: z.infer<typeof answerBody> }>;
/** Something that can be bought: one product or variant at one place. */
export type Shelf = Readonly<{
  productId: string;
  variantId: string | null;
  locationCode: string;
  available: number;
  currency: string;
}>;
export type Shop = ReturnType<typeof openShop>;

/** Thrown when the API cannot be reached at all. Its message is one actionable line. */
export class ShopIsClosed extends Error {}

/** The shop through its HTTP API, as a shopper's browser would see it. */
export function openShop(api: string) {
  const call = async (path: string, token: string | undefined, init: RequestInit = {}): Promise<Answer> => {
    const headers = new Headers(init.headers);
    if (token !== undefined) headers.set('Authorization', `Bearer ${token}`);
    const response = await fetch(new URL(path, api), {
      ...init,
      headers,
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const body = answerBody.parse(await response.json());
    return { http: response.status, replayed: response.headers.get('idempotent-replayed') === 'true', body };
  };

  return {
    /**
     * Everything on the shelves. They are filled by events: in a shop that has just opened some are still on their way, so
     * it is looked at until there are as many as before.
     */
    async shelves(): Promise<Shelf[]> {
      let before = 0;
      for (const deadline = Date.now() + OPENS_WITHIN_MS; ; await sleep(FILLING_MS)) {
        const shelves = await shelvesOf(api);
        if ((shelves.length > 0 && shelves.length === before) || Date.now() > deadline) return shelves;
        before = shelves.length;
      }
    },

    /** Sends a checkout: again under the same key, because that is what the key is for. */
    buy(token: string, key: string | undefined, body: string): Promise<Answer> {
      const headers = { 'Content-Type': 'application/json', ...(key !== undefined && { 'Idempotency-Key': key }) };
      const send = () => call('/v1/checkouts', token, { method: 'POST', headers, body });
      return patiently(send, key !== undefined);
    },

    /** A second cancel of an order does no harm. */
    cancel: (token: string, orderId: string): Promise<Answer> =>
      patiently(() => call(`/v1/orders/${orderId}/cancel`, token, { method: 'POST' }), true),

    /** What the people at the desk do, with an administrator's token. */
    admin: (token: string, path: string, body: object, key?: string) => {
      const headers = { 'Content-Type': 'application/json', ...(key !== undefined && { 'Idempotency-Key': key }) };
      return call(path, token, { method: 'POST', headers, body: JSON.stringify(body) });
    },

    /** Watches an order until it is no longer pending, as `until` does. */
    watch(token: string, orderId: string, limitMs: number): Promise<Answer> {
      return this.until(token, orderId, limitMs, ({ body: { status } }) => status !== 'PENDING');
    },

    /** Watches an order until it is as it should be, at most `limitMs` milliseconds; answers how it is then. */
    async until(
      token: string,
      orderId: string,
      limitMs: number,
      asItShouldBe: (answer: Answer) => boolean,
    ): Promise<Answer> {
      const until = Date.now() + limitMs;
      for (let pauseMs = POLL_MS; ; pauseMs = Math.min(1.5 * pauseMs, LONGEST_POLL_MS)) {
        const answer = await call(`/v1/orders/${orderId}`, token).catch(asClosed);
        const over = !(answer instanceof Error) && answer.http === 200 && asItShouldBe(answer);
        if (over || Date.now() >= until) {
          if (answer instanceof Error) throw answer;
          return answer;
        }
        await sleep(pauseMs);
      }
    },
  };
}

/** Sends again what was answered by 429 or 503, and what got no answer if that does no harm. */
async function patiently(send: () => Promise<Answer>, mayBeRepeated: boolean): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await send().catch(asClosed);
    const again = answer instanceof Error ? mayBeRepeated : answer.http === 503 || answer.http === 429;
    if (again && attempt < ATTEMPTS) {
      await sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1));
      continue;
    }
    if (answer instanceof Error) throw answer;
    return answer;
  }
}

/** An answer in one word: the code of a refusal, or the status with the reason of a failure. */
export function describe({ http, body: { code, status, failure } }: Answer): string {
  if (code !== undefined) return code;
  if (failure != null) return `${String(status)} (${failure.code})`;
  return typeof status === 'string' ? status : `HTTP ${http}`;
}

/** As they are now, all pages. */
async function shelvesOf(api: string): Promise<Shelf[]> {
  const shelves: Shelf[] = [];
  for (let cursor = ''; ;) {
    const page = await productsAt(new URL(`/v1/products?limit=100${cursor}`, api));
    for (const { productId, price, stock: own, variants } of page.items) {
      const all = [{ variantId: null, stock: own }, ...variants];
      for (const { variantId, stock: places } of all) {
        shelves.push(...places.map((place) => ({ productId, variantId, ...place, currency: price.currency })));
      }
    }
    if (page.next === null) return shelves;
    cursor = `&cursor=${page.next}`;
  }
}

async function productsAt(url: URL): Promise<z.infer<typeof productPage>> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_LIMIT_MS) });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    return productPage.parse(await response.json());
  } catch (error) {
    throw asClosed(error, url.origin);
  }
}

function asClosed(error: unknown, where: unknown = 'the API'): ShopIsClosed {
  const { cause, message } = error instanceof Error ? error : new Error(String(error));
  const reason = cause instanceof Error ? (cause.message === '' ? cause.name : cause.message) : message;
  return new ShopIsClosed(`${String(where)} cannot be used (${reason}): is \`npm start\` running?`, { cause: error });
}
