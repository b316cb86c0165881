import { randomUUID } from 'node:crypto';

export type Tokens = Readonly<{ customer: string; otherCustomer: string; admin: string }>;
export type Answer = Readonly<{ status: number; headers: Headers; body: Readonly<Record<string, unknown>> }>;

export type Line = Readonly<{ productId: string; variantId?: string; quantity: number; locationCode?: string }>;
export type Order = Readonly<{
  items: readonly Line[];
  token?: string;
  prefer?: string;
  key?: string;
  as?: keyof Tokens;
}>;

/** Talks to the API as a shopper does. */
export function shopClient(url: string, tokens: Tokens) {
  const call = async (
    method: string,
    path: string,
    {
      body,
      headers = {},
      as = 'customer',
    }: { body?: unknown; headers?: Record<string, string>; as?: keyof Tokens } = {},
  ): Promise<Answer> => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${tokens[as]}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return {
      status: answer.status,
      headers: answer.headers,
      body: text === '' ? {} : (JSON.parse(text) as Answer['body']),
    };
  };
  return {
    url,
    tokens,
    call,
    /** Places an order; a fresh Idempotency-Key unless one is given. */
    place: ({ items, token = 'tok_ok', prefer, key = randomUUID(), as }: Order): Promise<Answer> =>
      call('POST', '/v1/checkouts', {
        body: { items, payment: { method: 'card', token } },
        headers: { 'idempotency-key': key, ...(prefer !== undefined && { prefer }) },
        ...(as !== undefined && { as }),
      }),
    order: (orderId: string): Promise<Answer> => call('GET', `/v1/orders/${orderId}`),
  };
}

export type ShopClient = ReturnType<typeof shopClient>;
