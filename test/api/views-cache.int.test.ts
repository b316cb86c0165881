import assert from 'node:assert/strict';

import { pino } from 'pino';

import { followProductChanges } from '../../api/product-changes.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import type { Listener } from '../../events/wake-up.ts';
import { query } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { fillViews, tellViews } from '../support/filled-views.ts';
import { productEvents, stockLevels } from '../support/views-history.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;
type Page = Readonly<{ items: Body[]; viewLagMs: number }>;
const AT = '2026-11-20T01:00:00Z';
/** Of a notification, on a busy machine. The time to live of an entry is a minute here. */
const SOON_MS = 10_000;

/** What is shown must follow the view, and must all the same not be read from it each time. */
describe('the cached catalogue', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let changes: Listener;
  before(async () => {
    api = await openApi('127.0.0.1:1');
    await fillViews(api);
    changes = followProductChanges(api.urls.views, api.cache, pino({ level: 'silent' }));
    await cached('/v1/products/102');
  });
  after(async () => {
    await changes.close();
    await api.close();
  });

  const get = async (path: string) => {
    const res = await api.http.get(path);
    return { status: res.status, body: res.body as Body, etag: String(res.headers['etag']) };
  };
  /**
   * Reads a path until its answer is kept: then a change behind the back of the trigger is not seen. That is undone again.
   */
  const cached = (path: string) =>
    eventually(`${path} is cached`, async () => {
      await get(path);
      return (await isKept(path)) ? true : undefined;
    });
  const isKept = async (path: string): Promise<boolean> => {
    const before = JSON.stringify({ ...(await get(path)).body, viewLagMs: 0 });
    await behindTheBack(`set brand = coalesce(brand, '') || '!'`);
    try {
      return JSON.stringify({ ...(await get(path)).body, viewLagMs: 0 }) === before;
    } finally {
      await behindTheBack(`set brand = nullif(left(brand, -1), '')`);
    }
  };
  /** As nobody else may: the trigger keeps silent. */
  const behindTheBack = (change: string) =>
    query(api.adminUrl('views'), `set session_replication_role = replica; update mv_products ${change};`);
  const becomes = (path: string, what: string, is: (body: Body) => boolean) =>
    eventually(what, async () => (is((await get(path)).body) ? true : undefined), SOON_MS);
  const tell = (events: readonly StoredEvent[]) => tellViews(api.views, events);

  it('shows a product as it is now, soon after it was changed', async () => {
    const [created, changed] = productEvents('9001', [1_000, 2_000], AT);
    await tell([created]);
    await cached('/v1/products/9001');
    await tell([changed]);
    await becomes('/v1/products/9001', 'the new price is shown', ({ price }) => (price as Body)['minor'] === 2_000);
    await cached('/v1/products/9001');
  });

  it('shows a product that was not there a moment ago, alone and in the lists that it belongs to', async () => {
    const page = '/v1/products?search=product%209002';
    assert.equal((await get('/v1/products/9002')).status, 404);
    await cached(page);
    await tell(productEvents('9002', [1_000], AT));
    await becomes(page, 'the new product is found', ({ items }) => (items as Body[]).length === 1);
    assert.equal((await get('/v1/products/9002')).status, 200);
  });

  it('shows the stock as it is now, in the lists too', async () => {
    await tell(productEvents('9003', [1_000], AT));
    const levels = stockLevels('9003', 'MAIN', [7, 6], AT);
    await tell(levels.slice(0, 1));
    const page = '/v1/products?search=product%209003';
    const available = (body: Body): unknown => {
      const [item] = (body as unknown as Page).items;
      return (item?.['stock'] as Body[] | undefined)?.[0]?.['available'];
    };
    await becomes(page, 'the first stock is shown', (body) => available(body) === 7);
    await cached(page);
    await tell(levels.slice(1));
    await becomes(page, 'the stock that is left is shown', (body) => available(body) === 6);
  });

  it('says how old the view is when it answers, not when it was read', async () => {
    await cached('/v1/products/102');
    const lag = async () => Number((await get('/v1/products/102')).body['viewLagMs']);
    const before = await lag();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok((await lag()) >= before + 50);
  });

  it('gives 304 to whoever has it already, and not after it has changed', async () => {
    for (const path of ['/v1/products/9001', '/v1/products?search=product%209001']) {
      const { etag } = await get(path);
      assert.match(etag, /^W\/"/);
      const again = await api.http.get(path).set('If-None-Match', etag);
      assert.deepEqual([again.status, again.text], [304, ''], path);
    }
    const { etag } = await get('/v1/products/9003');
    await tell(stockLevels('9003', 'MAIN', [7, 6, 5], AT).slice(2));
    await eventually('the tag is another one', async () => {
      const res = await api.http.get('/v1/products/9003').set('If-None-Match', etag);
      return res.status === 200 ? true : undefined;
    });
  });

  it('forgets everything when a rebuild has put other tables in place, and still hears changes of those', async () => {
    await cached('/v1/products/102');
    await query(api.urls.views, `select open_shadow('products')`);
    await query(
      api.adminUrl('views'),
      `insert into shadow.mv_products (product_id, sku, slug, name, description, status, currency, base_price,
         category_name, product_version)
       select product_id, sku, slug, 'Rebuilt ' || name, description, status, currency, base_price, category_name, 1
       from mv_products where status = 'ACTIVE'`,
    );
    assert.doesNotMatch(String((await get('/v1/products/102')).body['name']), /^Rebuilt/);
    await query(api.urls.views, `select swap_shadow('products')`);
    await becomes('/v1/products/102', 'the rebuilt product is shown', ({ name }) => /^Rebuilt/.test(String(name)));
    await cached('/v1/products/102');
    await tell(productEvents('102', [1, 2, 3], AT).slice(2));
    await becomes('/v1/products/102', 'its new price is shown', ({ price }) => (price as Body)['minor'] === 3);
  });

  it('is read from the view each time while nothing can be heard of changes, and cached again when it can', async () => {
    await cached('/v1/products/9001');
    const cut = await query(
      api.adminUrl('views'),
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'`,
    );
    assert.equal(cut.length, 1);
    await tell(productEvents('9001', [1_000, 2_000, 3_000], AT).slice(2));
    await becomes('/v1/products/9001', 'the change that nobody told is shown', ({ price }) => {
      return (price as Body)['minor'] === 3_000;
    });
    await cached('/v1/products/9001');
  });
});
