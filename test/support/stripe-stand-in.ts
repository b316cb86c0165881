import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** What came in: `params` is the query or the form, as Stripe's library writes them. */
export type StripeRequest = Readonly<{
  route: string;
  params: Readonly<Record<string, string>>;
  key: string | undefined;
  headers: IncomingMessage['headers'];
}>;

export type StripeReply = RequestListener;

/** An HTTP server that says what a test lets it say, and keeps what it was asked. */
export type StripeStandIn = Readonly<{
  url: string;
  requests: StripeRequest[];
  /** Answers of one route, such as `POST /v1/refunds`, one after another; the last one stays. */
  on: (route: string, ...replies: StripeReply[]) => void;
  /** Forgets requests and answers. */
  reset: () => void;
  close: () => Promise<void>;
}>;

/** A route that no test has given an answer to is answered with 501, which no test expects. */
export async function stripeStandIn(): Promise<StripeStandIn> {
  const replies = new Map<string, StripeReply[]>();
  const requests: StripeRequest[] = [];
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(req.url ?? '/', 'http://stand-in');
    const route = `${req.method} ${pathname}`;
    const form = new URLSearchParams(await text(req));
    const params = Object.fromEntries([...searchParams, ...form]);
    const { 'idempotency-key': key, ...headers } = req.headers;
    requests.push({ route, params, key: typeof key === 'string' ? key : undefined, headers });
    const queue = replies.get(route) ?? [];
    const [next = says(501, { error: { type: 'api_error', message: route } })] = queue;
    if (queue.length > 1) queue.shift();
    next(req, res);
  };
  const server = createServer((req, res) => {
    answer(req, res).catch((error: unknown) => res.destroy(error instanceof Error ? error : undefined));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    on: (route, ...given) => void replies.set(route, given),
    reset() {
      replies.clear();
      requests.length = 0;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** A whole answer; a text is sent as it is. */
export const says =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): StripeReply =>
  (_req, res) =>
    void res.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));

/** An error in Stripe's form. */
export const refuses = (
  status: number,
  error: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): StripeReply => says(status, { error: { message: 'Kim, your card 4242', ...error } }, headers);

/** The connection ends without an answer: the request may have been acted on. */
export const hangsUp: StripeReply = (req) => void req.socket.destroy();

/** A payment intent in Stripe's form, by default one of $25.00 that waits for a payment method. */
export const intentJson = (overrides: Readonly<Record<string, unknown>> = {}) => ({
  object: 'payment_intent',
  id: 'pi_1',
  amount: 2_500,
  amount_received: 0,
  currency: 'usd',
  status: 'requires_payment_method',
  latest_charge: null,
  last_payment_error: null,
  next_action: null,
  metadata: {},
  client_secret: 'pi_1_secret_x',
  ...overrides,
});

/** The same once $25.00 were taken. */
export const capturedJson = (overrides: Readonly<Record<string, unknown>> = {}) =>
  intentJson({
    amount_received: 2_500,
    status: 'succeeded',
    latest_charge: { object: 'charge', id: 'ch_1', amount_refunded: 0, currency: 'usd' },
    ...overrides,
  });

/** A refund in Stripe's form, by default of $25.00 of `pi_1`. */
export const refundJson = (overrides: Readonly<Record<string, unknown>> = {}) => ({
  object: 'refund',
  id: 're_1',
  amount: 2_500,
  currency: 'usd',
  status: 'succeeded',
  payment_intent: 'pi_1',
  metadata: {},
  ...overrides,
});

/** One page of a list. */
export const listJson = (data: readonly unknown[], has_more = false) => ({
  object: 'list',
  url: '/v1',
  has_more,
  data,
});
