import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { fillViews, tellViews } from '../support/filled-views.ts';
import { orderEvents, orderIdOf, type OrderStory } from '../support/views-history.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;
type Page = Readonly<{ items: (Body & { orderId: string })[]; next: string | null; viewLagMs: number }>;
const DAY = '2026-11-20';

/** Temporal is not there: views need it for nothing. */
describe('lists of orders', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let stories: OrderStory[];
  before(async () => {
    api = await openApi('127.0.0.1:1');
    await fillViews(api);
    stories = [
      // Ten at the same instant: only the id tells them apart.
      ...Array.from({ length: 10 }, (_, n) => story({ name: `same-${n}`, placedAt: `${DAY}T01:00:00.123456Z` })),
      story({ name: 'late', placedAt: `${DAY}T02:00:00.000001Z`, end: { kind: 'FAILED', at: `${DAY}T02:00:01Z` } }),
      story({ name: 'later', placedAt: `${DAY}T02:00:00.000002Z`, currency: 'USD' }),
      story({
        name: 'refunded',
        end: { kind: 'PAID', at: `${DAY}T00:30:00Z`, refunds: [{ at: `${DAY}T05:00:00Z`, minor: 500 }] },
      }),
      story({ name: 'others', userId: '2', placedAt: `${DAY}T03:00:00Z` }),
    ];
    await tellViews(api.views, stories.flatMap(orderEvents));
  });
  after(() => api.close());

  const story = (changes: Partial<OrderStory>): OrderStory => ({
    ...{ name: randomUUID(), userId: '1', currency: 'KRW', placedAt: `${DAY}T00:00:00Z`, end: { kind: 'OPEN' } },
    lines: [{ productId: '102', quantity: 2, unitPriceMinor: 3_500 }],
    ...changes,
  });
  const get = (query: string, token = api.tokens.customer) =>
    api.http.get(`/v1/orders${query}`).set('Authorization', `Bearer ${token}`);
  const page = async (query: string, token?: string): Promise<Page> => {
    const res = await get(query, token);
    assert.equal(res.status, 200, res.text);
    return res.body as Page;
  };
  const idsIn = ({ items }: Page) => items.map(({ orderId }) => orderId);
  /** The newest first, and in the order of ids where that does not decide. */
  const expected = (of: (story: OrderStory) => boolean): string[] =>
    stories
      .filter(of)
      .map((one) => ({ id: orderIdOf(one), at: one.placedAt }))
      .sort((a, b) => (a.at === b.at ? (a.id < b.id ? -1 : 1) : a.at < b.at ? 1 : -1))
      .map(({ id }) => id);

  it('show a customer their own orders, the newest first, in pages without a gap or a repeat', async () => {
    for (const limit of [1, 3, 100]) {
      const seen: string[] = [];
      for (let next: string | null = ''; next !== null;) {
        const one: Page = await page(`?limit=${limit}${next === '' ? '' : `&cursor=${next}`}`);
        assert.ok(one.items.length <= limit);
        seen.push(...idsIn(one));
        next = one.next;
      }
      assert.deepEqual(
        seen,
        expected(({ userId }) => userId === '1'),
        `limit ${limit}`,
      );
    }
  });

  it('go on behind the last order of a page, although newer ones have come meanwhile', async () => {
    const first = await page('?limit=5', api.tokens.otherCustomer);
    const [newer, older] = [
      story({ name: 'newer', userId: '2', placedAt: `${DAY}T09:00:00Z` }),
      story({ name: 'older', userId: '2', placedAt: `${DAY}T00:10:00Z` }),
    ];
    const before = await page('?limit=1', api.tokens.admin);
    await tellViews(api.views, orderEvents(newer));
    const after = await page(`?limit=100&cursor=${String(before.next)}`, api.tokens.admin);
    assert.ok(!idsIn(after).includes(orderIdOf(newer)));
    assert.ok(!idsIn(after).includes(String(before.items[0]?.orderId)));
    await tellViews(api.views, orderEvents(older));
    stories.push(newer, older);
    assert.deepEqual(idsIn(first), [orderIdOf({ name: 'others' })]);
  });

  it('show an administrator everybody, with their names, or one customer alone', async () => {
    const { admin } = api.tokens;
    assert.deepEqual(
      idsIn(await page('?limit=100', admin)),
      expected(() => true),
    );
    const one = await page('?userId=2&limit=100', admin);
    assert.deepEqual(
      idsIn(one),
      expected(({ userId }) => userId === '2'),
    );
    assert.deepEqual(one.items[0]?.['customer'], { userId: '2', fullName: 'Customer 002' });
    assert.ok((await page('')).items.every((item) => !('customer' in item)));
  });

  it('refuse a customer who asks for another, and whoever is nobody', async () => {
    assert.equal((await get('?userId=1')).status, 200);
    assert.equal((await get('?userId=2')).status, 403);
    assert.equal((await api.http.get('/v1/orders')).status, 401);
  });

  it('are told apart by status', async () => {
    const refunded = await page('?status=PARTIALLY_REFUNDED');
    assert.deepEqual(idsIn(refunded), [orderIdOf({ name: 'refunded' })]);
    assert.deepEqual(idsIn(await page('?status=FAILED')), [orderIdOf({ name: 'late' })]);
    assert.deepEqual(idsIn(await page('?status=REFUNDED')), []);
    assert.deepEqual(
      idsIn(await page('?status=PENDING&limit=100', api.tokens.admin)),
      expected(({ end }) => end.kind === 'OPEN'),
    );
  });

  it('show an order as its events told it', async () => {
    const { items } = await page('?status=PARTIALLY_REFUNDED');
    const orderId = orderIdOf({ name: 'refunded' });
    const won = (minor: number) => ({ minor, currency: 'KRW' });
    const { links, ...order } = items[0] as Body;
    assert.equal((links as Body)['self'], `/v1/orders/${orderId}`);
    assert.deepEqual(order, {
      ...{ orderId, orderNumber: 'N-refunded', version: 3, status: 'PARTIALLY_REFUNDED', failure: null },
      items: [
        {
          ...{ lineNo: 1, productId: '102', variantId: null, sku: 'SKU-102', name: 'Product 102' },
          ...{ unitPrice: won(3_500), quantity: 2, lineTotal: won(7_000) },
        },
      ],
      ...{ total: won(7_000), refunded: won(500), payment: { method: 'card', status: 'PARTIALLY_REFUNDED' } },
      ...{ placedAt: `${DAY}T00:00:00.000Z`, paidAt: `${DAY}T00:30:00.000Z`, closedAt: null },
    });
    const [failed] = (await page('?status=FAILED')).items;
    assert.deepEqual(failed?.['failure'], { code: 'PAYMENT_DECLINED' });
  });

  it('do not show an order of which only the payment is known yet', async () => {
    const unknown = story({ name: 'stub' });
    await tellViews(
      api.views,
      orderEvents(unknown).filter(({ aggregateType }) => aggregateType === 'payment'),
    );
    assert.ok(!idsIn(await page('?limit=100', api.tokens.admin)).includes(orderIdOf(unknown)));
  });

  it('say how far behind the view may be', async () => {
    const { viewLagMs } = await page('');
    assert.ok(Number.isInteger(viewLagMs) && viewLagMs >= 0 && viewLagMs < 60_000, String(viewLagMs));
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.ok((await page('')).viewLagMs >= viewLagMs + 30);
  });

  it('refuse a cursor that is none of ours with 400, and other queries that they do not know with 422', async () => {
    const cursorOf = (text: string) => Buffer.from(text).toString('base64url');
    const id = randomUUID();
    const wrong = [
      '',
      '!!',
      'x',
      cursorOf('102'),
      cursorOf(`1.${id}; drop`),
      cursorOf(`-1.${id}`),
      cursorOf(`1e5.${id}`),
    ];
    for (const cursor of [...wrong, cursorOf(`123456789012345678.${id}`), `${cursorOf(`1.${id}`)}=`]) {
      const res = await get(`?cursor=${encodeURIComponent(cursor)}`);
      assert.deepEqual([res.status, (res.body as Body)['code']], [400, 'MALFORMED_REQUEST'], cursor);
    }
    for (const query of [
      '?limit=0',
      '?limit=101',
      '?status=paid',
      '?sort=x',
      '?userId=x',
      `?cursor=${'x'.repeat(129)}`,
    ]) {
      assert.equal((await get(query)).status, 422, query);
    }
    assert.equal((await get(`?cursor=${cursorOf(`99999999999999999.${id}`)}`)).status, 200);
    for (const cursor of ['!!', '', cursorOf('0'), cursorOf('x'), cursorOf(`1.${id}`)]) {
      assert.equal((await api.http.get(`/v1/products?cursor=${encodeURIComponent(cursor)}`)).status, 400, cursor);
    }
  });

  it('take no other method', async () => {
    const res = await api.http.post('/v1/orders').set('Authorization', `Bearer ${api.tokens.customer}`);
    assert.deepEqual([res.status, res.headers['allow']], [405, 'GET, HEAD']);
  });
});
