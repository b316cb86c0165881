import assert from 'node:assert/strict';

import { apiClient, newIdempotencyKey, NoAnswer, UnexpectedAnswer } from '../../api/contract/client.ts';
import { streamEvents, StreamRefused } from '../../api/contract/event-client.ts';
import { adjustStock } from '../../api/contract/inventory.ts';
import { followOrder, refusedEvent, stateEvent } from '../../api/contract/live.ts';
import { cancelOrder, getOrder } from '../../api/contract/orders.ts';
import { createProduct, getProduct, listProducts } from '../../api/contract/products.ts';
import { getReadiness } from '../../api/contract/system.ts';
import { changeUser } from '../../api/contract/users.ts';

const ORDER = '0191f000-0000-7000-8000-000000000001';
const json = (body: unknown, status = 200, type = 'application/json'): Response =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': `${type}; charset=utf-8` } });
const problem = (code: string, status: number, more: object = {}): Response =>
  json(
    { type: '/problems/x', title: 'X', status, code, detail: 'so it is', ...more },
    status,
    'application/problem+json',
  );

/** A client whose requests are answered by `answer`, and what it has sent. */
function scripted(answer: (request: Request) => Response | Promise<Response>, url = 'http://shop.test') {
  const sent: Request[] = [];
  const fetch: typeof globalThis.fetch = (input, init) => {
    const request = new Request(input, init);
    sent.push(request);
    return Promise.resolve(answer(request));
  };
  const options = { url, token: 'secret', fetch };
  return { sent, options, api: apiClient(options) };
}

const page = { items: [], next: null, viewLagMs: 3 };

describe('the typed client', () => {
  it('puts what it is asked for where the operation declares it', async () => {
    const { api, sent } = scripted(() => problem('NOT_FOUND', 404), 'https://proxy.test/shop');
    await api.call(listProducts, { query: { search: 'blue & red', limit: 5 } });
    await api.call(cancelOrder, { params: { orderId: 'a/b?c' } });
    await api.call(adjustStock, {
      headers: { 'Idempotency-Key': 'k' },
      body: { productId: '101', quantityChange: -3, reason: 'STOCKTAKE' },
    });
    const [list, cancel, adjust] = sent;
    assert.ok(list !== undefined && cancel !== undefined && adjust !== undefined);
    assert.equal(list.url, 'https://proxy.test/shop/v1/products?search=blue+%26+red&limit=5');
    assert.equal(list.headers.get('authorization'), 'Bearer secret');
    assert.equal(cancel.url, 'https://proxy.test/shop/v1/orders/a%2Fb%3Fc/cancel');
    assert.equal(cancel.method, 'POST');
    assert.equal(adjust.headers.get('idempotency-key'), 'k');
    assert.equal(adjust.headers.get('content-type'), 'application/json');
    assert.deepEqual(await adjust.json(), { productId: '101', quantityChange: -3, reason: 'STOCKTAKE' });
  });

  it('asks for a token before each request, because tokens expire', async () => {
    let n = 0;
    const { options, sent } = scripted(() => json(page));
    const api = apiClient({ ...options, token: () => Promise.resolve(`t${++n}`) });
    await api.call(listProducts, {});
    await api.call(listProducts, {});
    assert.deepEqual(
      sent.map(({ headers }) => headers.get('authorization')),
      ['Bearer t1', 'Bearer t2'],
    );
  });

  it('tells answers by their status, and tolerates fields that it does not know', async () => {
    const self = '/v1/orders/x';
    const links = { self, events: `${self}/events`, story: `${self}/story`, cancel: `${self}/cancel` };
    const pending = { orderId: ORDER, orderNumber: '1', status: 'PENDING', links, since: 'later' };
    const { api } = scripted(() => json({ ...pending, more: { of: 'it' } }, 202));
    const answer = await api.call(getOrder, { params: { orderId: ORDER } });
    assert.ok(answer.status === 202 && answer.problem === undefined);
    assert.deepEqual(answer.body, { orderId: ORDER, orderNumber: '1', status: 'PENDING', links });
  });

  it('takes a 304 for an answer without a body', async () => {
    const { api, sent } = scripted(() => new Response(null, { status: 304, headers: { etag: 'W/"x"' } }));
    const answer = await api.call(getProduct, { params: { productId: '1' }, headers: { 'If-None-Match': 'W/"x"' } });
    assert.deepEqual([answer.status, answer.body, answer.headers.get('etag')], [304, undefined, 'W/"x"']);
    assert.equal(sent[0]?.headers.get('if-none-match'), 'W/"x"');
  });

  it('tells a refusal as such, also one with a code that a later release has added', async () => {
    const { api } = scripted(() => problem('MOON_IN_THE_WAY', 409, { lines: [{ lineNo: 1, asked: 2, available: 1 }] }));
    const answer = await api.call(getOrder, { params: { orderId: ORDER } });
    assert.ok(answer.problem !== undefined);
    assert.deepEqual(
      [answer.status, answer.problem.code, answer.problem.lines?.[0]?.available],
      [409, 'MOON_IN_THE_WAY', 1],
    );
  });

  it('takes a 503 that the operation declares for an answer, and any other for a refusal', async () => {
    const dependencies = Object.fromEntries(
      ['platformDatabase', 'orderDatabase', 'paymentDatabase', 'viewsDatabase', 'temporal'].map((name) => [name, 'up']),
    );
    const declared = scripted(() => json({ status: 'not ready', dependencies }, 503));
    assert.equal((await declared.api.call(getReadiness, {})).body?.status, 'not ready');
    const refused = scripted(() => problem('TEMPORARILY_UNAVAILABLE', 503));
    assert.equal((await refused.api.call(getReadiness, {})).problem?.code, 'TEMPORARILY_UNAVAILABLE');
  });

  it('names the operation, and where a body does not fit', async () => {
    const wrong = scripted(() => json({ ...page, items: [{ productId: 7 }] }));
    await assert.rejects(wrong.api.call(listProducts, {}), {
      name: 'UnexpectedAnswer',
      message: /^listProducts: the body of its 200 is not as declared at \/items\/0\/productId: /,
    });
    const html = scripted(
      () => new Response('<h1>Bad gateway</h1>', { status: 502, headers: { 'content-type': 'text/html' } }),
    );
    await assert.rejects(
      html.api.call(listProducts, {}),
      /^UnexpectedAnswer: listProducts: 502 text\/html is no answer/,
    );
    for (const body of ['', '{"items": [', 'null']) {
      const { api } = scripted(() => new Response(body, { headers: { 'content-type': 'application/json' } }));
      await assert.rejects(api.call(listProducts, {}), UnexpectedAnswer);
    }
    const half = scripted(
      () => new Response('{}', { status: 500, headers: { 'content-type': 'application/problem+json' } }),
    );
    await assert.rejects(half.api.call(listProducts, {}), /listProducts: the body of its 500 is not as declared/);
  });

  it('says in one line that no answer came, or not in time', async () => {
    const nobody = apiClient({ url: 'http://127.0.0.1:1/path' });
    await assert.rejects(
      nobody.call(listProducts, {}),
      /^NoAnswer: listProducts: http:\/\/127\.0\.0\.1:1 cannot be used \(.+\)$/,
    );
    const never = scripted(
      ({ signal }) =>
        new Promise<Response>((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    );
    const hasty = apiClient({ ...never.options, timeoutMs: 1 });
    await assert.rejects(hasty.call(listProducts, {}), NoAnswer);
    const asked = new AbortController();
    const call = never.api.call(listProducts, { signal: asked.signal });
    asked.abort(new Error('the page was left'));
    await assert.rejects(call, /^Error: the page was left$/);
  });

  it('lets no parameter lead to another path', async () => {
    const { api, sent } = scripted(() => json(page));
    for (const orderId of ['', '.', '..']) {
      await assert.rejects(api.call(cancelOrder, { params: { orderId } }), TypeError);
    }
    assert.equal(sent.length, 0);
  });

  it('makes keys of which no two are equal', () => {
    assert.notEqual(newIdempotencyKey(), newIdempotencyKey());
  });

  it('lets nothing wrong be written', () => {
    const { api } = scripted(() => json({}));
    // Never called: the compiler says what it thinks of it.
    const wrong = [
      // @ts-expect-error a key is needed
      () => api.call(adjustStock, { body: { productId: '1', quantityChange: 1, reason: 'X' } }),
      () =>
        api.call(adjustStock, {
          headers: { 'Idempotency-Key': 'k' },
          // @ts-expect-error nobody sends prices with a change of stock
          body: { productId: '1', quantityChange: 1, reason: 'X', price: 1 },
        }),
      // @ts-expect-error an id is text
      () => api.call(getOrder, { params: { orderId: 1 } }),
      // @ts-expect-error which order?
      () => api.call(getOrder, {}),
      // @ts-expect-error this one has no body
      () => api.call(cancelOrder, { params: { orderId: ORDER }, body: {} }),
      // @ts-expect-error this one reads no such header
      () => api.call(changeUser, { params: { userId: '1' }, body: { status: 'ACTIVE' }, headers: { Prefer: 'x' } }),
      // @ts-expect-error there is no such status
      () => api.call(changeUser, { params: { userId: '1' }, body: { status: 'GONE' } }),
      () =>
        api.call(createProduct, {
          headers: { 'Idempotency-Key': 'k' },
          // @ts-expect-error a price is money
          body: { sku: 'A', name: 'A', slug: 'a', category: 'a', basePrice: 1 },
        }),
      async () => {
        const answer = await api.call(getProduct, { params: { productId: '1' } });
        // @ts-expect-error it may be a 304, or a refusal
        assert.equal(answer.body.sku, 'A');
      },
      async () => {
        const answer = await api.call(getProduct, { params: { productId: '1' } });
        // @ts-expect-error no answer has this field
        assert.equal(answer.body?.secret, undefined);
      },
    ];
    assert.equal(wrong.length, 10);
  });
});

const state = (version: number, last = false): string =>
  `id: ${version}\nevent: state\ndata: ${JSON.stringify({
    ...{ orderId: ORDER, version, status: last ? 'PAID' : 'PENDING', failure: null, at: '2026-11-23T05:00:00Z', last },
  })}\n\n`;

/** @param pieces what comes, and then the connection ends or, with an error, breaks */
const streaming = (pieces: readonly string[], broken?: Error): Response => {
  const bytes = pieces.map((piece) => new TextEncoder().encode(piece));
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const piece = bytes.shift();
      if (piece !== undefined) controller.enqueue(piece);
      else if (broken !== undefined) controller.error(broken);
      else controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
};

describe('the typed client, following', () => {
  const SCHEMAS = { state: stateEvent, refused: refusedEvent };
  const request = { params: { orderId: ORDER } };

  async function versionsOf(answers: (() => Response)[]) {
    const { options, sent } = scripted(() => answers.shift()?.() ?? problem('INTERNAL_ERROR', 500));
    const seen: string[] = [];
    for await (const { event, id } of streamEvents(options, followOrder, request, SCHEMAS)) seen.push(`${event} ${id}`);
    return { seen, resumed: sent.map(({ headers }) => headers.get('last-event-id')) };
  }

  it('resumes behind the last event, each once and in order, until the last one', async () => {
    const { seen, resumed } = await versionsOf([
      () => streaming(['retry: 1\n\n', state(1), ': still here\n\n', state(2), 'id: 3\nevent: sta']),
      () => streaming([], new TypeError('terminated')),
      () => problem('TOO_MANY_REQUESTS', 429),
      () => new Response('<h1>Bad Gateway</h1>', { status: 502, headers: { 'content-type': 'text/html' } }),
      () => streaming([state(3), 'event: weather\ndata: rain\n\n', state(4, true)]),
    ]);
    assert.deepEqual(seen, ['state 1', 'state 2', 'state 3', 'state 4']);
    assert.deepEqual(resumed, [null, '2', '2', '2', '2']);
  });

  it('reads events that come in pieces of any size', async () => {
    const all = `\uFEFF: hello\r\nretry: 1\r\n\r\n${state(1)}${state(2, true).replaceAll('\n', '\r\n')}`;
    const { seen } = await versionsOf([() => streaming([...all])]);
    assert.deepEqual(seen, ['state 1', 'state 2']);
  });

  it('does not come back when nothing follows, or when it was refused', async () => {
    const over = await versionsOf([() => new Response(null, { status: 204 })]);
    assert.deepEqual(over.seen, []);
    await assert.rejects(versionsOf([() => problem('NOT_FOUND', 404)]), (error: unknown) => {
      assert.ok(error instanceof StreamRefused);
      assert.deepEqual([error.status, error.problem.code], [404, 'NOT_FOUND']);
      return true;
    });
  });

  it('ends the connection when its reader has seen enough', async () => {
    let open: AbortSignal | undefined;
    const { options } = scripted(({ signal }) => {
      open = signal;
      return streaming(['retry: 1\n\n', state(1), state(2), state(3)]);
    });
    for await (const { id } of streamEvents(options, followOrder, request, SCHEMAS)) if (id === '2') break;
    assert.equal(open?.aborted, true);
  });

  it('says which event is not as declared', async () => {
    const answers = [() => streaming(['event: state\ndata: {"version": "new"}\n\n'])];
    await assert.rejects(
      versionsOf(answers),
      /^UnexpectedAnswer: followOrder: its event state is not as declared at \//,
    );
  });
});
