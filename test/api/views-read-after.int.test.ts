import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { orderActivities } from '../../activities/orders/activities.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { databaseNow, noteCaughtUp } from '../../projections/progress.ts';
import { fillViews, tellViews } from '../support/filled-views.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';
import { orderEvents, orderIdOf, type OrderStory } from '../support/views-history.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;
const AT = '2026-11-20T01:00:00Z';
/** As `api/read-after.ts` has it, milliseconds. */
const PATIENCE_MS = 2_000;
const DELAY_MS = 300;

describe('a read after a write', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi('127.0.0.1:1');
    await fillViews(api);
  });
  after(() => api.close());

  let stories = 0;
  const story = (end: OrderStory['end'] = { kind: 'PAID', at: AT, refunds: [] }): OrderStory => ({
    ...{ name: `read-after-${(stories += 1)}`, userId: '1', currency: 'KRW', placedAt: AT, end },
    lines: [{ productId: '102', quantity: 1, unitPriceMinor: 3_500 }],
  });
  /** @returns the answer, and the milliseconds it took */
  const read = async (path: string, readAfter: string, token = api.tokens.customer) => {
    const since = performance.now();
    const res = await api.http.get(path).set({ Authorization: `Bearer ${token}`, 'Read-After': readAfter });
    return { res, ms: performance.now() - since, applied: res.headers['read-after-applied'] };
  };
  const later = async (events: readonly StoredEvent[]) => {
    await sleep(DELAY_MS);
    await tellViews(api.views, events);
  };
  const ofOrder = (of: OrderStory, versions: number) =>
    orderEvents(of).filter(
      ({ aggregateType, aggregateVersion }) => aggregateType === 'order' && aggregateVersion <= versions,
    );

  it('waits until the list of orders has it', async () => {
    const one = story();
    const [, { res, ms, applied }] = await Promise.all([
      later(ofOrder(one, 1)),
      read('/v1/orders?limit=100', `${orderIdOf(one)}:1`),
    ]);
    assert.equal(applied, 'true');
    assert.ok(ms >= DELAY_MS - 50 && ms < PATIENCE_MS, `${ms} ms`);
    const { items } = res.body as { items: Body[] };
    assert.ok(items.some(({ orderId }) => orderId === orderIdOf(one)));
  });

  it('waits for the version that was seen, not for any', async () => {
    const one = story();
    await tellViews(api.views, ofOrder(one, 1));
    const [, { res, applied }] = await Promise.all([
      later(ofOrder(one, 2)),
      read('/v1/orders?status=PAID&limit=100', `${orderIdOf(one)}:2`),
    ]);
    assert.equal(applied, 'true');
    const { items } = res.body as { items: Body[] };
    assert.ok(items.some(({ orderId }) => orderId === orderIdOf(one)));
    const older = await read('/v1/orders', `${orderIdOf(one)}:1`);
    assert.deepEqual([older.applied, older.ms < 1_000], ['true', true]);
  });

  it('waits until the totals of the customer have it', async () => {
    const one = story();
    const totalOf = ({ body }: { body: unknown }) => (body as { totals: Body[] }).totals;
    const before = totalOf(await api.http.get('/v1/users/me').set('Authorization', `Bearer ${api.tokens.customer}`));
    const [, { res, applied }] = await Promise.all([
      later(ofOrder(one, 2)),
      read('/v1/users/me', `${orderIdOf(one)}:2`),
    ]);
    assert.equal(applied, 'true');
    assert.equal(totalOf(res)[0]?.['orders'], Number(before[0]?.['orders'] ?? 0) + 1);
  });

  it('waits until the sales have what was paid', async () => {
    const one = story();
    const path = '/v1/sales/daily?from=2026-11-20&to=2026-11-20';
    const [, { res, applied }] = await Promise.all([
      later(ofOrder(one, 2)),
      read(path, `${orderIdOf(one)}:2`, api.tokens.admin),
    ]);
    assert.equal(applied, 'true');
    assert.ok(Number((res.body as { days: Body[] }).days[0]?.['orders']) >= 1);
  });

  it('waits, for what the sales keep nothing of, until they have caught up with the bus that had it', async () => {
    const one = story({ kind: 'CANCELLED', at: AT });
    const path = '/v1/sales/daily?from=2026-11-20&to=2026-11-20';
    await tellViews(api.views, ofOrder(one, 2));
    const behind = await read(path, `${orderIdOf(one)}:2`, api.tokens.admin);
    assert.equal(behind.applied, 'false', 'the sales have not said that they are up to date since');

    const catchUp = async () => {
      await sleep(DELAY_MS);
      await noteCaughtUp(api.views, ['sales'], await databaseNow(api.views));
    };
    const [, caught] = await Promise.all([catchUp(), read(path, `${orderIdOf(one)}:2`, api.tokens.admin)]);
    assert.equal(caught.applied, 'true');
  });

  it('is answered after two seconds all the same, and says that it came too early', async () => {
    const { res, ms, applied } = await read('/v1/orders', `${orderIdOf(story())}:1`);
    assert.deepEqual([res.status, applied], [200, 'false']);
    assert.ok(ms >= PATIENCE_MS - 200 && ms < PATIENCE_MS + 1_500, `${ms} ms`);
  });

  it('tells nobody whether somebody else has such an order', async () => {
    const one = story();
    await tellViews(api.views, ofOrder(one, 2));
    for (const path of ['/v1/orders', '/v1/users/me']) {
      assert.equal((await read(path, `${orderIdOf(one)}:1`, api.tokens.otherCustomer)).applied, 'false', path);
      assert.equal((await read(path, `${orderIdOf(one)}:1`, api.tokens.admin)).applied, 'true', path);
    }
  });

  it('is not held back without the header, and refused when that is none of ours', async () => {
    const { headers } = await api.http.get('/v1/orders').set('Authorization', `Bearer ${api.tokens.customer}`);
    assert.equal(headers['read-after-applied'], undefined);
    const id = orderIdOf(story());
    for (const wrong of [id, `${id}:0`, `${id}:-1`, `${id}:1e3`, 'x:1', `${id}:1, ${id}:2`, `${id}:9999999999999999`]) {
      const { res } = await read('/v1/orders', wrong);
      assert.deepEqual([res.status, (res.body as Body)['code']], [400, 'MALFORMED_REQUEST'], wrong);
    }
    assert.equal((await api.http.get('/v1/orders').set('Read-After', 'x')).status, 401);
  });

  it('follows an order that was read: its answer names the version', async () => {
    const input = checkoutInput('1', []);
    await orderActivities({ order: api.order }).createOrder({ ...input, reservation: reservationOf(1) });
    const order = await api.http
      .get(`/v1/orders/${input.orderId}`)
      .set('Authorization', `Bearer ${api.tokens.customer}`);
    const readAfter = String(order.headers['read-after']);
    assert.equal(readAfter, `${input.orderId}:1`);
    const [, { applied }] = await Promise.all([fillViews(api), read('/v1/orders', readAfter)]);
    assert.equal(applied, 'true');
  });
});
