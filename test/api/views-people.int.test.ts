import assert from 'node:assert/strict';

import { signToken } from '../../infra/tokens.ts';
import { fillViews, tellViews } from '../support/filled-views.ts';
import { orderEvents, type OrderStory } from '../support/views-history.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;
type Days = Readonly<{ days: Body[]; viewLagMs: number | null }>;

const paid = (name: string, at: string, changes: Partial<OrderStory> = {}): OrderStory => ({
  ...{ name, userId: '1', currency: 'KRW', placedAt: at, end: { kind: 'PAID', at, refunds: [] } },
  lines: [{ productId: '102', quantity: 2, unitPriceMinor: 3_500 }],
  ...changes,
});
const STORIES: readonly OrderStory[] = [
  // The last instant of the 20th in Seoul, and the first of the 21st.
  paid('a', '2026-11-20T14:59:59.999999Z'),
  paid('b', '2026-11-20T15:00:00Z', {
    end: { kind: 'PAID', at: '2026-11-20T15:00:00Z', refunds: [{ at: '2026-11-22T01:00:00Z', minor: 1_000 }] },
  }),
  paid('c', '2026-11-21T01:00:00Z', { userId: '2' }),
  paid('d', '2026-11-21T02:00:00Z', {
    currency: 'USD',
    lines: [{ productId: '101', quantity: 1, unitPriceMinor: 999 }],
  }),
  paid('e', '2026-11-21T03:00:00Z', { end: { kind: 'OPEN' } }),
];
const won = (minor: number) => ({ minor, currency: 'KRW' });

describe('what the views tell about people and sales', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi('127.0.0.1:1');
    const unseen = await get('/v1/sales/daily', api.tokens.admin);
    assert.deepEqual(unseen.body, { days: [], viewLagMs: null }, 'a projection that never ran has no lag to tell');
    await fillViews(api);
    await tellViews(api.views, STORIES.flatMap(orderEvents));
  });
  after(() => api.close());

  const get = (path: string, token: string) => api.http.get(path).set('Authorization', `Bearer ${token}`);
  const sales = async (query: string): Promise<Body[]> => {
    const res = await get(`/v1/sales/daily${query}`, api.tokens.admin);
    assert.equal(res.status, 200, res.text);
    return (res.body as Days).days;
  };
  const RANGE = '?from=2026-11-01&to=2026-11-30';

  it('a customer sees themselves, with what they bought by currency, refunds taken off', async () => {
    const res = await get('/v1/users/me', api.tokens.customer);
    const { viewLagMs, ...me } = res.body as Body;
    assert.ok(Number.isInteger(viewLagMs));
    assert.deepEqual(me, {
      ...{ userId: '1', username: 'customer001', email: 'customer001@example.com', fullName: 'Customer 001' },
      ...{ status: 'ACTIVE', lastOrderAt: '2026-11-21T03:00:00.000Z' },
      totals: [
        { orders: 2, spent: won(13_000) },
        { orders: 1, spent: { minor: 999, currency: 'USD' } },
      ],
    });
    assert.match(String(res.headers['cache-control']), /private/);
    const other = (await get('/v1/users/me', api.tokens.otherCustomer)).body as Body;
    assert.deepEqual([other['userId'], other['totals']], ['2', [{ orders: 1, spent: won(7_000) }]]);
  });

  it('somebody of whom the view knows no more than an order is not found', async () => {
    await tellViews(api.views, orderEvents(paid('f', '2026-10-01T00:00:00Z', { userId: '777777' })));
    const token = await signToken(api.config, { sub: '777777', role: 'customer', expires: '1h' });
    assert.equal((await get('/v1/users/me', token)).status, 404);
    assert.equal((await api.http.get('/v1/users/me')).status, 401);
  });

  it('an administrator sees each day of the shop, in order, with what was refunded on the day of the refund', async () => {
    const counts = (orders: number, customers: number, items: number) => ({ orders, customers, items });
    const money = (gross: number, refunds: number) => ({
      ...{ gross: won(gross), refunds: won(refunds), net: won(gross - refunds) },
    });
    const dollars = { minor: 999, currency: 'USD' };
    assert.deepEqual(await sales(RANGE), [
      { day: '2026-11-20', currency: 'KRW', ...counts(1, 1, 2), ...money(7_000, 0) },
      { day: '2026-11-21', currency: 'KRW', ...counts(2, 2, 4), ...money(14_000, 0) },
      {
        ...{ day: '2026-11-21', currency: 'USD', ...counts(1, 1, 1) },
        ...{ gross: dollars, refunds: { minor: 0, currency: 'USD' }, net: dollars },
      },
      { day: '2026-11-22', currency: 'KRW', ...counts(0, 0, 0), ...money(0, 1_000) },
    ]);
  });

  it('both ends of a range belong to it, and one currency can be asked for', async () => {
    const days = async (query: string) => (await sales(query)).map(({ day, currency }) => [day, currency]);
    assert.deepEqual(await days('?from=2026-11-21&to=2026-11-21&currency=KRW'), [['2026-11-21', 'KRW']]);
    assert.deepEqual(await days('?from=2026-11-22&to=2026-11-30'), [['2026-11-22', 'KRW']]);
    assert.deepEqual(await days(`${RANGE}&currency=JPY`), []);
    assert.equal((await days('?to=2026-11-22')).length, 4, 'without a beginning it is the month before the end');
  });

  it('sales are for administrators, and ranges have limits', async () => {
    assert.equal((await get('/v1/sales/daily', api.tokens.customer)).status, 403);
    assert.equal((await api.http.get('/v1/sales/daily')).status, 401);
    assert.equal((await get('/v1/sales/daily?from=2025-11-23&to=2026-11-23', api.tokens.admin)).status, 200);
    const wrong = ['from=2026-11-22&to=2026-11-21', 'from=2025-11-22&to=2026-11-23', 'from=yesterday', 'currency=won'];
    const unknown = ['to=2026-02-30', 'to=0000-01-01', 'to=0001-01-15', 'day=2026-11-22', 'from=2026-11-01T00:00:00Z'];
    for (const query of [...wrong, ...unknown]) {
      const res = await get(`/v1/sales/daily?${query}`, api.tokens.admin);
      assert.deepEqual([res.status, (res.body as Body)['code']], [422, 'INVALID_REQUEST'], query);
    }
  });
});
