import assert from 'node:assert/strict';

import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const LIMIT_MS = 240_000;

type ViewItem = Readonly<{ name: string; lagMs: number | null; rebuiltAt: string | null; rebuild: unknown }>;

describe('the views, for administrators', function () {
  this.timeout(LIMIT_MS);
  let system: TestSystem;
  before(async () => {
    system = await startSystem();
    await Promise.all([system.startEvents(), system.startWorkers('checkout-worker', 'views-worker')]);
  });
  after(() => system.stop());

  const asAdmin = (method: string, path: string) =>
    system.shop.call(method, path, { bearer: system.shop.tokens.admin });

  it('are listed with how far they are, and are rebuilt when they are asked for', async () => {
    const items = await eventually('every view is up to date', async () => {
      const { status, body } = await asAdmin('GET', '/v1/admin/views');
      assert.equal(status, 200);
      const listed = body['items'] as ViewItem[];
      return listed.every(({ lagMs }) => lagMs !== null && lagMs < 5_000) ? listed : undefined;
    });
    assert.deepEqual(
      items.map(({ name, rebuiltAt, rebuild }) => ({ name, rebuiltAt, rebuild })),
      ['users', 'products', 'orders', 'payments', 'sales'].map((name) => ({ name, rebuiltAt: null, rebuild: null })),
    );

    const { rows: before } = await productRows();
    assert.ok(before.length > 0);
    await system.query('views', 'update mv_products set base_price = 1, available_stock = 77');
    const asked = await asAdmin('POST', '/v1/admin/views/products/rebuild');
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    assert.equal(asked.body['workflowId'], 'rebuild-products');
    const location = asked.headers.get('location') ?? '';
    assert.equal(location, '/v1/admin/views/products');
    await eventually('it is rebuilt', async () => {
      const { body } = await asAdmin('GET', location);
      return body['rebuiltAt'] === null ? undefined : body;
    });
    assert.deepEqual((await productRows()).rows, before);
    const result: unknown = await system.temporal.workflow.getHandle('rebuild-products').result();
    assert.deepEqual(
      { ...(result as object), applied: 0 },
      {
        ...{ view: 'products', result: 'SWAPPED', source: 'log', applied: 0, leftOut: 0, lacking: 0 },
        differences: before.length,
      },
    );
  });

  it('are nobody else’s business, and unknown ones are not found', async () => {
    assert.equal((await system.shop.call('GET', '/v1/admin/views')).status, 403);
    assert.equal((await system.shop.call('POST', '/v1/admin/views/products/rebuild')).status, 403);
    assert.equal((await asAdmin('POST', '/v1/admin/views/nothing/rebuild')).status, 404);
    assert.equal((await asAdmin('GET', '/v1/admin/views/nothing')).status, 404);
    assert.equal((await asAdmin('DELETE', '/v1/admin/views')).status, 405);
  });

  const productRows = async () => ({
    rows: await system.query<{ row: unknown }>(
      'views',
      "select to_jsonb(p) - 'synced_at' as row from mv_products p order by product_id",
    ),
  });
});
