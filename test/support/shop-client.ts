import { randomUUID } from 'node:crypto';

export type Tokens = Readonly<{ customer: string; otherCustomer: string; admin: string }>;
export type Answer = Readonly<{ status: number; headers: Headers; body: Readonly<Record<string, unknown>> }>;

export type Line = Readonly<{ productId: string; variantId?: string; quantity: number; locationCode?: string }>;
export type Order = Readonly<{
  items: readonly Line[];
  token?: string;
  prefer?: string;
  key?: string;
  /** Whose order it is; the first customer's when it is left out. */
  bearer?: string;
}>;
export type Call = Readonly<{ body?: unknown; headers?: Record<string, string>; bearer?: string }>;

/** Talks to an API as a shopper does. */
export function shopClient(url: string, tokens: Tokens) {
  const call = async (method: string, path: string, options: Call = {}): Promise<Answer> => {
    const { body, headers = {}, bearer = tokens.customer } = options;
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const parsed = text === '' ? {} : (JSON.parse(text) as Answer['body']);
    return { status: answer.status, headers: answer.headers, body: parsed };
  };
  return {
    url,
    tokens,
    call,
    /** Places an order; a fresh Idempotency-Key unless one is given. */
    place: ({ items, token = 'tok_ok', prefer, key = randomUUID(), bearer }: Order): Promise<Answer> =>
      call('POST', '/v1/checkouts', {
        body: { items, payment: { method: 'card', token } },
        headers: { 'idempotency-key': key, ...(prefer !== undefined && { prefer }) },
        ...(bearer !== undefined && { bearer }),
      }),
    order: (orderId: string, bearer?: string): Promise<Answer> =>
      call('GET', `/v1/orders/${orderId}`, bearer === undefined ? {} : { bearer }),
    cancel: (orderId: string): Promise<Answer> => call('POST', `/v1/orders/${orderId}/cancel`),
    /** Changes stock as the administrator; it must succeed. */
    async adjust(line: Omit<Line, 'quantity'>, quantityChange: number): Promise<void> {
      const body = { locationCode: 'MAIN', ...line, quantityChange, reason: 'STOCKTAKE' };
      const headers = { 'idempotency-key': randomUUID() };
      const { status, body: said } = await call('POST', '/v1/inventory/adjustments', {
        body,
        headers,
        bearer: tokens.admin,
      });
      if (status >= 300) throw new Error(`adjusting answered ${status}: ${JSON.stringify(said)}`);
    },
  };
}

export type ShopClient = ReturnType<typeof shopClient>;
