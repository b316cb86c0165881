import { randomUUID } from 'node:crypto';

import type { PaymentChoice } from '../../domain/checkout.ts';
import { assertDocumented } from './documented.ts';

export type Tokens = Readonly<{ customer: string; otherCustomer: string; admin: string }>;
export type Answer = Readonly<{ status: number; headers: Headers; body: Readonly<Record<string, unknown>> }>;

export type Line = Readonly<{ productId: string; variantId?: string; quantity: number; locationCode?: string }>;
export type Order = Readonly<{
  items: readonly Line[];
  /** Of the card; `payment` says it all instead. */
  token?: string;
  payment?: PaymentChoice;
  prefer?: string;
  key?: string;
  /** Whose order it is; the first customer's when it is left out. */
  bearer?: string;
}>;
/** Body of a refund: everything that is left unless it says less. */
export type RefundBody = Readonly<{
  amount?: Readonly<{ minor: number; currency: string }>;
  lines?: readonly Readonly<{ lineNo: number; quantity: number; restock?: boolean }>[];
  reason?: string;
}>;
export type ResolveBody = Readonly<{ action: 'retry' | 'markDone'; reason: string; workflowId?: string }>;
export type Call = Readonly<{ body?: unknown; headers?: Record<string, string>; bearer?: string }>;

/** Talks to an API as a shopper does. Every answer has to be as the OpenAPI document says. */
export function shopClient(url: string, tokens: Tokens) {
  const call = async (method: string, path: string, options: Call = {}): Promise<Answer> => {
    const { body, headers = {}, bearer = tokens.customer } = options;
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const sent = Object.fromEntries(answer.headers);
    assertDocumented({ method, path, status: answer.status, headers: sent, body: text });
    const parsed = text === '' ? {} : (JSON.parse(text) as Answer['body']);
    return { status: answer.status, headers: answer.headers, body: parsed };
  };
  return {
    url,
    tokens,
    call,
    /** Places an order; a fresh Idempotency-Key unless one is given. */
    place: ({ items, token = 'tok_ok', payment, prefer, key = randomUUID(), bearer }: Order): Promise<Answer> =>
      call('POST', '/v1/checkouts', {
        body: { items, payment: payment ?? { method: 'card', token } },
        headers: { 'idempotency-key': key, ...(prefer !== undefined && { prefer }) },
        ...(bearer !== undefined && { bearer }),
      }),
    order: (orderId: string, bearer?: string): Promise<Answer> =>
      call('GET', `/v1/orders/${orderId}`, bearer === undefined ? {} : { bearer }),
    cancel: (orderId: string): Promise<Answer> => call('POST', `/v1/orders/${orderId}/cancel`),
    /** Gives money back as the administrator; a fresh Idempotency-Key unless one is given. */
    refund: (orderId: string, { reason = 'RETURNED', ...body }: RefundBody, key = randomUUID()): Promise<Answer> =>
      call('POST', `/v1/orders/${orderId}/refunds`, {
        body: { reason, ...body },
        headers: { 'idempotency-key': key },
        bearer: tokens.admin,
      }),
    /** Everything that waits for a person, as the administrator sees it. */
    attention: (): Promise<Answer> => call('GET', '/v1/admin/attention', { bearer: tokens.admin }),
    /** Decides about the parked steps of an order, as the administrator. */
    resolve: (orderId: string, body: ResolveBody): Promise<Answer> =>
      call('POST', `/v1/admin/orders/${orderId}/resolve`, { body, bearer: tokens.admin }),
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
