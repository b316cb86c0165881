import assert from 'node:assert/strict';

import { query } from '../support/databases.ts';
import { fillViews } from '../support/filled-views.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Page = Readonly<{ items: Product[]; next: string | null }>;
type Product = Readonly<{ productId: string; sku: string; name: string; category: { slug: string } }>;

const RENAME = 'update mv_products set name = $2 where product_id = $1 returning name';

describe('the API', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi('127.0.0.1:1', { settings: { corsOrigins: ['https://shop.test'] } });
    await fillViews(api);
  });
  after(() => api.close());

  it('lists active products in pages, without a gap or a repeat', async () => {
    const seen: string[] = [];
    let cursor = '';
    do {
      const res = await api.http.get(`/v1/products?limit=37${cursor}`);
      assert.equal(res.status, 200);
      const { items, next } = res.body as Page;
      seen.push(...items.map(({ productId }) => productId));
      cursor = next === null ? '' : `&cursor=${next}`;
    } while (cursor !== '');
    const all = await api.platform.product.findMany({ where: { status: 'ACTIVE' }, orderBy: { id: 'asc' } });
    assert.ok(all.length > 37);
    assert.deepEqual(
      seen,
      all.map(({ id }) => id.toString()),
    );
    assert.ok((await api.platform.product.count({ where: { status: { not: 'ACTIVE' } } })) > 0);
  });

  it('finds products by part of name or SKU in any case, and takes wildcards as themselves', async () => {
    const found = async (search: string) => {
      const res = await api.http.get('/v1/products').query({ search, limit: 100 });
      return (res.body as Page).items;
    };
    assert.ok((await found('cOrK cOaS')).some(({ productId }) => productId === '102'));
    assert.ok((await found('coaster')).some(({ sku }) => sku === 'COASTER'));
    for (const wild of ['%', '_', '\\', 'cor_', '%coaster']) assert.deepEqual(await found(wild), [], wild);
  });

  it('finds what is shorter than three letters where a word begins with it, in every script', async () => {
    const [mug] = await query<{ name: string }>(api.adminUrl('views'), RENAME, [101, '파란 머그컵 (대)']);
    assert.equal(mug?.name, '파란 머그컵 (대)');
    const found = async (search: string) => {
      const { items } = (await api.http.get('/v1/products').query({ search, limit: 100 })).body as Page;
      return items.some(({ productId }) => productId === '101');
    };
    for (const search of ['파란', '머', '머그', '머그컵', '란 머', 'mu', 'MUG', '(대', '머그컵 (']) {
      assert.equal(await found(search), search !== '란 머', search);
    }
    for (const search of ['그컵', '란', 'ug', '--', '(']) assert.equal(await found(search), false, search);
  });

  it('lists a category with its subcategories', async () => {
    const mug = (await api.http.get('/v1/products/101')).body as Product;
    const category = await api.platform.category.findUniqueOrThrow({
      where: { slug: mug.category.slug },
      include: { parent: true },
    });
    for (const slug of [category.slug, category.parent?.slug ?? category.slug]) {
      const { items } = (await api.http.get('/v1/products').query({ category: slug, limit: 100 })).body as Page;
      assert.ok(
        items.some(({ productId }) => productId === '101'),
        slug,
      );
    }
    assert.deepEqual(((await api.http.get('/v1/products?category=no-such-thing')).body as Page).items, []);
  });

  it('shows a product with prices, variants and stock at each location', async () => {
    const res = await api.http.get('/v1/products/101');
    assert.equal(res.status, 200);
    const stock = ['BUSAN', 'MAIN'].map((locationCode) => {
      return { locationCode, available: 1_000_000, stockStatus: 'IN_STOCK' };
    });
    const product = res.body as { price: unknown; variants: unknown[]; stock: unknown };
    assert.deepEqual(product.price, { minor: 12_000, currency: 'KRW' });
    assert.deepEqual(product.stock, []);
    assert.deepEqual(product.variants[0], {
      variantId: '1011',
      sku: 'MUG-BLUE',
      name: 'Blue',
      options: { color: 'Blue' },
      price: { minor: 12_000, currency: 'KRW' },
      stock,
    });
    assert.deepEqual((product.variants[2] as { price: unknown }).price, { minor: 15_000, currency: 'KRW' });
  });

  it('hides products that are not for sale, and refuses queries that it does not know', async () => {
    const hidden = await api.platform.product.findFirstOrThrow({ where: { status: { not: 'ACTIVE' } } });
    for (const id of [hidden.id.toString(), '999999999', '0', '1e3', 'x']) {
      assert.equal((await api.http.get(`/v1/products/${id}`)).status, 404, id);
    }
    for (const query of ['limit=0', 'limit=101', 'limit=x', 'sort=price', 'search=a&search=b']) {
      assert.equal((await api.http.get(`/v1/products?${query}`)).status, 422, query);
    }
  });

  it('corrects stock once per key, for administrators', async () => {
    const adjust = (body: object, key: string) =>
      api.http
        .post('/v1/inventory/adjustments')
        .set({ Authorization: `Bearer ${api.tokens.admin}`, 'Idempotency-Key': key })
        .send(body);
    const body = { productId: '102', locationCode: 'MAIN', quantityChange: -3, reason: 'STOCKTAKE' };
    const first = await adjust(body, 'count-1');
    assert.equal(first.status, 201, first.text);
    assert.equal((first.body as { available: number }).available, 999_997);
    assert.equal(first.headers['idempotent-replayed'], undefined);

    const again = await adjust({ ...body, variantId: null }, '"count-1"');
    assert.deepEqual([again.status, again.headers['idempotent-replayed']], [201, 'true']);
    assert.deepEqual(again.body, first.body);

    const codeOf = async (change: object, key: string) => {
      const res = await adjust({ ...body, ...change }, key);
      return [res.status, (res.body as { code: string }).code];
    };
    assert.deepEqual(await codeOf({ quantityChange: -4 }, 'count-1'), [422, 'IDEMPOTENCY_KEY_REUSED']);
    assert.deepEqual(await codeOf({ quantityChange: -1_000_000 }, 'count-2'), [409, 'STOCK_BELOW_ZERO']);
    assert.deepEqual(await codeOf({ productId: '99999999' }, 'count-3'), [422, 'UNKNOWN_PRODUCT']);
    for (const bad of [{ quantityChange: 0 }, { quantityChange: 0.5 }, { reason: 'lost <b>' }, { available: 5 }]) {
      assert.deepEqual(await codeOf(bad, 'count-4'), [422, 'INVALID_REQUEST'], JSON.stringify(bad));
    }
  });

  it('sends security headers and does not say what it is made of', async () => {
    const { headers } = await api.http.get('/v1/products/102');
    assert.equal(headers['x-powered-by'], undefined);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.match(headers['content-security-policy'] ?? '', /default-src 'self'/);
    assert.match(headers['strict-transport-security'] ?? '', /max-age=/);
  });

  it('opens itself to the listed origins alone', async () => {
    const from = (origin: string) => api.http.get('/v1/products/102').set('Origin', origin);
    assert.equal((await from('https://shop.test')).headers['access-control-allow-origin'], 'https://shop.test');
    assert.equal((await from('https://evil.test')).headers['access-control-allow-origin'], undefined);
    assert.equal((await from('null')).headers['access-control-allow-origin'], undefined);
  });

  it('repeats a request id that is harmless and replaces any other', async () => {
    const idFor = async (id: string) => {
      return (await api.http.get('/v1/products/102').set('X-Request-Id', id)).headers['x-request-id'];
    };
    assert.equal(await idFor('checkout_7-a'), 'checkout_7-a');
    for (const bad of ['a b', '<script>', 'x'.repeat(65), '{"a":1}']) {
      assert.match((await idFor(bad)) ?? '', /^[0-9a-f-]{36}$/, bad);
    }
  });

  it('logs neither tokens nor queries', async () => {
    await api.http.get('/v1/products?search=secret-wish').set('Authorization', `Bearer ${api.tokens.customer}`);
    const log = api.logged();
    assert.match(log, /"path":"\/v1\/products"/);
    for (const secret of ['secret-wish', api.tokens.customer, 'Bearer']) assert.ok(!log.includes(secret), secret);
  });
});
