import assert from 'node:assert/strict';

import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

type Body = Readonly<Record<string, unknown>>;
type Answer = Readonly<{ body: Body; applied: string | null }>;
const COASTER = { productId: '102', quantity: 2 };
const STOCK = `select available_quantity as left from inventory_snapshots where product_id = $1 and location_code = 'MAIN'`;

/** Every part is a process of its own: API, workers, relays with the projection, gateway, Temporal, PostgreSQL. */
describe('a shopper who has just bought', function () {
  this.timeout(120_000);
  let system: TestSystem;
  before(async () => {
    system = await startSystem();
    await Promise.all([system.startWorkers(), system.startEvents()]);
    await eventually('the catalogue is there', async () => {
      const { status } = await fetch(new URL('/v1/products/102', system.shop.url));
      return status === 200 ? true : undefined;
    });
  });
  after(() => system.stop());

  const read = async (path: string, readAfter: string, token = system.shop.tokens.customer): Promise<Answer> => {
    const headers = { authorization: `Bearer ${token}`, 'read-after': readAfter };
    const res = await fetch(new URL(path, system.shop.url), { headers });
    assert.equal(res.status, 200);
    return { body: (await res.json()) as Body, applied: res.headers.get('read-after-applied') };
  };
  const paid = (orderId: string) =>
    eventually(`order ${orderId} is paid`, async () => {
      const headers = { authorization: `Bearer ${system.shop.tokens.customer}` };
      const res = await fetch(new URL(`/v1/orders/${orderId}`, system.shop.url), { headers });
      return ((await res.json()) as Body)['status'] === 'PAID' ? String(res.headers.get('read-after')) : undefined;
    });

  it('finds the order in the list at once, ten times out of ten', async () => {
    for (let i = 0; i < 10; i += 1) {
      const placed = await system.shop.place({ items: [COASTER] });
      assert.equal(placed.status, 201);
      const { body, applied } = await read('/v1/orders', String(placed.headers.get('read-after')));
      assert.equal(applied, 'true');
      const [newest] = body['items'] as Body[];
      assert.equal(newest?.['orderId'], placed.body['orderId']);
      assert.ok(Number(body['viewLagMs']) < 10_000, String(body['viewLagMs']));
    }
  });

  it('sees what was paid in the own totals, the shop in its sales, and everybody in the stock', async () => {
    const placed = await system.shop.place({ items: [COASTER] });
    const readAfter = await paid(String(placed.body['orderId']));
    const me = await read('/v1/users/me', readAfter);
    assert.equal(me.applied, 'true');
    const [totals] = me.body['totals'] as Body[];
    assert.ok(Number(totals?.['orders']) >= 1);

    const sales = await read('/v1/sales/daily', readAfter, system.shop.tokens.admin);
    assert.equal(sales.applied, 'true');
    assert.ok((sales.body['days'] as Body[]).some(({ orders }) => Number(orders) >= 1));

    await eventually('the catalogue shows the stock that is left', async () => {
      const product = (await (await fetch(new URL('/v1/products/102', system.shop.url))).json()) as Body;
      const [main] = (product['stock'] as Body[]).filter(({ locationCode }) => locationCode === 'MAIN');
      const [source] = await system.query<{ left: number }>('platform', STOCK, [COASTER.productId]);
      assert.ok(source !== undefined && source.left < 1_000_000);
      return main?.['available'] === source.left ? true : undefined;
    });
  });
});
