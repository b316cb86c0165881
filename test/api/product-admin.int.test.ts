import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { adjustStock } from '../../activities/inventory/administration.ts';
import { query } from '../support/databases.ts';
import { fillViews } from '../support/filled-views.ts';
import { brokenStock, GENEROUS, HOLD_MS } from '../support/inventory.ts';
import { assertOutboxIsSound } from '../support/outbox.ts';
import { temporalServer } from '../support/servers.ts';
import { checkoutInput, makeCustomer, sha256 } from '../support/shop.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;
const won = (minor: number) => ({ minor, currency: 'KRW' });
const LAMP = {
  name: 'Lamp, brass',
  description: 'Warm light.\nTwo metres of cable.',
  brand: 'Huis',
  category: 'kitchen',
  basePrice: won(39_000),
};

const without = (body: Body, ...names: readonly string[]): Body =>
  Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name)));

describe('products over HTTP, for administrators', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let categoryName: string;
  before(async () => {
    api = await openApi((await temporalServer()).address);
    const [category] = await query<{ name: string }>(
      api.adminUrl('platform'),
      `select name from categories where slug = 'kitchen'`,
    );
    categoryName = String(category?.name);
  });
  after(() => api.close());
  afterEach(async () => {
    assert.deepEqual(await brokenStock(api.adminUrl('platform')), []);
    assert.ok((await assertOutboxIsSound(api.adminUrl('platform'))) > 0);
  });

  const lamp = (changes: Body = {}): Body => {
    const name = randomUUID().slice(0, 8);
    return { ...LAMP, sku: `LAMP-${name}`, slug: `lamp-${name}`, ...changes };
  };
  const as = (token: string) => ({ Authorization: `Bearer ${token}` });
  const create = (body: Body, key: string = randomUUID(), token = api.tokens.admin) =>
    api.http
      .post('/v1/products')
      .set({ ...as(token), 'Idempotency-Key': key })
      .send(body);
  const change = (productId: unknown, body: Body, headers: Readonly<Record<string, string>> = {}) =>
    api.http
      .patch(`/v1/products/${String(productId)}`)
      .set({ ...as(api.tokens.admin), ...headers })
      .send(body);
  const made = async (changes: Body = {}) => {
    const res = await create(lamp(changes));
    assert.equal(res.status, 201, res.text);
    return res.body as Body & Readonly<{ productId: string; variants: readonly (Body & { variantId: string })[] }>;
  };
  const events = (aggregateType: string, aggregateId: string) =>
    query<{ type: string; version: number; data: Body }>(
      api.adminUrl('platform'),
      `select type, aggregate_version::integer as version, envelope -> 'data' as data from outbox
       where aggregate_type = $1 and aggregate_id = $2 order by id`,
      [aggregateType, aggregateId],
    );
  /** In the catalogue, once the view has the events. */
  const shown = async (productId: string) => {
    await fillViews(api);
    return (await api.http.get(`/v1/products/${productId}`)).body as Body;
  };
  const refused = async (work: ReturnType<typeof create>, status: number, code: string, pointer?: string) => {
    const { text, status: is } = await work;
    const body = JSON.parse(text) as { code: string; errors?: { pointer: string }[] };
    assert.deepEqual([is, body.code], [status, code], text);
    if (pointer !== undefined) assert.equal(body.errors?.[0]?.pointer, pointer, text);
  };

  it('are made with first stock, each with its event, and are sold at once', async () => {
    const body = lamp({
      salePrice: won(35_000),
      stock: [{ locationCode: 'MAIN', quantity: 5 }, { locationCode: 'BUSAN' }],
    });
    const res = await create(body);
    assert.equal(res.status, 201, res.text);
    const fields = without(body, 'stock');
    const product = res.body as Body & { productId: string };
    const { productId } = product;
    assert.deepEqual(product, {
      ...{ ...fields, productId, category: { slug: 'kitchen', name: categoryName }, status: 'ACTIVE' },
      ...{ primaryImageUrl: null, variants: [], version: 1 },
    });
    assert.deepEqual([res.headers['location'], res.headers['etag']], [`/v1/products/${productId}`, '"1"']);

    const [event, ...others] = await events('product', productId);
    assert.deepEqual([event?.type, event?.version, others], ['ProductCreated', 1, []]);
    const { categoryId, ...data } = event?.data ?? {};
    assert.match(String(categoryId), /^\d+$/);
    const same = without(fields, 'category', 'basePrice', 'salePrice');
    assert.deepEqual(data, {
      ...{ ...same, productId, categoryName, categorySlug: 'kitchen', parentCategorySlug: null, status: 'ACTIVE' },
      ...{ currency: 'KRW', basePriceMinor: 39_000, salePriceMinor: 35_000, primaryImageUrl: null, variants: [] },
    });
    const stock = await events('inventory', `${productId}-0-MAIN`);
    assert.deepEqual(
      stock.map(({ type, version, data: { quantityChange, available, reason } }) => ({
        ...{ type, version, quantityChange, available, reason },
      })),
      [{ type: 'InventoryAdjusted', version: 1, quantityChange: 5, available: 5, reason: 'INITIAL_STOCK' }],
    );
    // Where there was never any, nothing has happened that a view could know of.
    assert.deepEqual((await shown(productId))['stock'], [
      { locationCode: 'MAIN', available: 5, stockStatus: 'LOW_STOCK' },
    ]);

    const { platform } = api;
    const shop = inventoryActivities({ platform, limits: GENEROUS, holdMs: HOLD_MS });
    const item = { productId, variantId: null, locationCode: 'MAIN' };
    const reservation = await shop.reserveStock(checkoutInput(await makeCustomer(platform), [{ item, quantity: 5 }]));
    assert.deepEqual(reservation.total, won(175_000));
  });

  it('are made in variants, which have the stock and may have prices', async () => {
    const product = await made({
      variants: [
        { sku: `B-${randomUUID()}`, name: 'Black', options: { colour: 'black' }, price: won(41_000) },
        {
          sku: `W-${randomUUID()}`,
          name: 'White',
          stock: [{ locationCode: 'MAIN', quantity: 20, lowStockThreshold: 2 }],
        },
      ],
    });
    const [black, white] = product.variants;
    assert.ok(black !== undefined && white !== undefined && product.variants.length === 2);
    assert.deepEqual([black['name'], black['options'], black['price']], ['Black', { colour: 'black' }, won(41_000)]);
    assert.deepEqual([white['name'], white['options'], white['price'], white['status']], ['White', {}, null, 'ACTIVE']);
    const variants = (await shown(product.productId))['variants'] as readonly Body[];
    assert.deepEqual(
      variants.map(({ price, stock }) => [price, stock]),
      [
        [won(41_000), []],
        [won(39_000), [{ locationCode: 'MAIN', available: 20, stockStatus: 'IN_STOCK' }]],
      ],
    );
    assert.equal((await events('inventory', `${product.productId}-${white.variantId}-MAIN`)).length, 1);
    assert.equal((await events('inventory', `${product.productId}-${black.variantId}-MAIN`)).length, 0);

    // The first correction of an empty row is its version 1: no gap where nothing happened.
    const adjusted = await adjustStock(api.platform, {
      ...{ productId: product.productId, variantId: black.variantId, locationCode: 'MAIN', quantityChange: 3 },
      ...{ reason: 'COUNTED', caller: '100', idempotencyKey: randomUUID(), requestHash: sha256('x') },
    });
    assert.deepEqual([adjusted.available, adjusted.version], [3, 1]);
  });

  it('are made once for each key, also ten times at the same moment', async () => {
    const [key, body] = [randomUUID(), lamp({ stock: [{ locationCode: 'MAIN', quantity: 7 }] })];
    const answers = await Promise.all(Array.from({ length: 10 }, () => create(body, key)));
    const first = answers[0]?.body as Body;
    for (const res of answers) assert.deepEqual([res.status, res.body], [201, first]);
    assert.equal(answers.filter(({ headers }) => headers['idempotent-replayed'] === undefined).length, 1);
    await change(first['productId'], { name: 'Lamp, copper' });
    assert.deepEqual((await create(body, key)).body, first);
    assert.equal((await events('inventory', `${String(first['productId'])}-0-MAIN`)).length, 1);
    await refused(create(lamp(), key), 422, 'IDEMPOTENCY_KEY_REUSED');
  });

  it('are changed with an event of the next version, and only when something changes', async () => {
    const product = await made({ variants: [{ sku: `V-${randomUUID()}`, name: 'Black' }] });
    const [black] = product.variants;
    const changes = {
      ...{ name: 'Lamp, copper', basePrice: won(40_000), salePrice: won(30_000), status: 'DRAFT' },
      variants: [{ variantId: black?.variantId, price: won(45_000), status: 'ARCHIVED' }],
    };
    const res = await change(product.productId, changes, { 'If-Match': '"1"' });
    assert.deepEqual([res.status, res.headers['etag']], [200, '"2"'], res.text);
    assert.deepEqual(res.body, {
      ...{ ...product, ...changes, version: 2 },
      variants: [{ ...black, price: won(45_000), status: 'ARCHIVED' }],
    });
    assert.deepEqual((await change(product.productId, changes)).body, res.body);
    const happened = await events('product', product.productId);
    assert.deepEqual(
      happened.map(({ type, version }) => [type, version]),
      [
        ['ProductCreated', 1],
        ['ProductUpdated', 2],
      ],
    );
    assert.equal(happened[1]?.data['basePriceMinor'], 40_000);
    await refused(change(product.productId, { name: 'Late' }, { 'If-Match': '"1"' }), 412, 'VERSION_MISMATCH');
    const back = await change(product.productId, { salePrice: null, brand: null, category: 'kitchen' });
    assert.deepEqual([(back.body as Body)['salePrice'], (back.body as Body)['brand']], [null, null]);
  });

  it('get variants later, with stock of their own', async () => {
    const product = await made({ variants: [{ sku: `V-${randomUUID()}`, name: 'Black' }] });
    const sku = `V-${randomUUID()}`;
    const stock = [{ locationCode: 'MAIN', quantity: 4 }];
    const res = await change(product.productId, { variants: [{ sku, name: 'White', stock }] });
    assert.equal(res.status, 200, res.text);
    const { variants } = res.body as typeof product;
    assert.deepEqual([variants[0], variants[1]?.['sku'], variants.length], [product.variants[0], sku, 2]);
    assert.equal((await events('inventory', `${product.productId}-${String(variants[1]?.variantId)}-MAIN`)).length, 1);

    const [event] = (await events('product', product.productId)).slice(-1);
    assert.deepEqual(
      (event?.data['variants'] as readonly Body[]).map((variant) => variant['name']),
      ['Black', 'White'],
    );
  });

  it('get gapless versions however many change them at once', async () => {
    const { productId } = await made();
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => change(productId, { basePrice: won(10_000 + n) })),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const versions = (await events('product', productId)).map(({ version }) => version);
    assert.deepEqual(
      versions,
      Array.from({ length: 13 }, (_, n) => n + 1),
    );
  });

  it('never share an SKU or a slug, and what is refused leaves nothing behind', async () => {
    const taken = await made({ variants: [{ sku: `V-${randomUUID()}`, name: 'Black' }] });
    const variantSku = taken.variants[0]?.['sku'];
    const count = () => query(api.adminUrl('platform'), 'select count(*) from outbox');
    const before = await count();
    await refused(create(lamp({ sku: taken['sku'] })), 409, 'SKU_TAKEN');
    await refused(create(lamp({ slug: taken['slug'] })), 409, 'SLUG_TAKEN');
    await refused(create(lamp({ variants: [{ sku: variantSku, name: 'Again' }] })), 409, 'SKU_TAKEN');
    await refused(create(lamp({ category: 'nowhere' })), 422, 'UNKNOWN_CATEGORY');
    assert.deepEqual(await count(), before);
    const { productId } = await made();
    await refused(change(productId, { slug: taken['slug'] }), 409, 'SLUG_TAKEN');
    await refused(change(productId, { category: 'nowhere' }), 422, 'UNKNOWN_CATEGORY');
    await refused(change('999999999', { name: 'x' }), 404, 'NOT_FOUND');
    await refused(change('x', { name: 'x' }), 404, 'NOT_FOUND');
  });

  it('have one currency, which stays, and no sale above the price', async () => {
    const usd = { minor: 5, currency: 'USD' };
    const variant = { sku: `V-${randomUUID()}`, name: 'Black' };
    await refused(create(lamp({ salePrice: usd })), 422, 'INVALID_REQUEST', '/salePrice/currency');
    await refused(create(lamp({ salePrice: won(39_001) })), 422, 'INVALID_REQUEST', '/salePrice');
    const dear = { variants: [{ ...variant, price: usd }] };
    await refused(create(lamp(dear)), 422, 'INVALID_REQUEST', '/variants/0/price/currency');
    const { productId } = await made({ salePrice: won(39_000) });
    await refused(change(productId, { basePrice: usd }), 422, 'INVALID_REQUEST', '/basePrice/currency');
    await refused(change(productId, { basePrice: won(38_999) }), 422, 'INVALID_REQUEST', '/salePrice');
    await refused(change(productId, { variants: [variant] }), 422, 'INVALID_REQUEST', '/variants/0');
    const stranger = { variants: [{ variantId: '1011', name: 'Mine now' }] };
    await refused(change(productId, stranger), 422, 'INVALID_REQUEST', '/variants/0/variantId');
  });

  it('are refused with every field that cannot be', async () => {
    const variant = { sku: 'V', name: 'V' };
    const [here, there] = [{ locationCode: 'MAIN' }, { locationCode: 'main street' }];
    for (const [pointer, body] of [
      ['/sku', lamp({ sku: 'a b' })],
      ['/slug', lamp({ slug: 'Not-A-Slug' })],
      ['/name', lamp({ name: '' })],
      ['/description', lamp({ description: 'a\u0000b' })],
      ['/basePrice', lamp({ basePrice: 5 })],
      ['/basePrice/minor', lamp({ basePrice: won(-1) })],
      ['/basePrice/minor', lamp({ basePrice: won(2 ** 53) })],
      ['/basePrice/currency', lamp({ basePrice: { minor: 1, currency: 'won' } })],
      ['/status', lamp({ status: 'DELETED' })],
      ['/primaryImageUrl', lamp({ primaryImageUrl: 'javascript:alert(1)' })],
      ['/primaryImageUrl', lamp({ primaryImageUrl: 'https://a.test/\u0000' })],
      ['/primaryImageUrl', lamp({ primaryImageUrl: 'https://a.test/\ud800' })],
      ['/stock', lamp({ variants: [variant], stock: [here] })],
      ['/stock', lamp({ stock: [here, here] })],
      ['/stock/0/locationCode', lamp({ stock: [there] })],
      ['/stock/0/quantity', lamp({ stock: [{ ...here, quantity: -1 }] })],
      ['/variants', lamp({ variants: Array.from({ length: 101 }, () => variant) })],
      ['/variants/0', lamp({ variants: [{ ...variant, variantId: '1' }] })],
      ['/', lamp({ productId: '7' })],
    ] as const) {
      await refused(create(body), 422, 'INVALID_REQUEST', pointer);
    }
    const { productId } = await made();
    await refused(change(productId, {}), 422, 'INVALID_REQUEST', '/');
    await refused(change(productId, { stock: [here] }), 422, 'INVALID_REQUEST', '/');
    await refused(create(lamp(), ''), 400, 'IDEMPOTENCY_KEY_MISSING');
  });

  it('show their stock and every movement of it, the newest first, in pages', async () => {
    const { productId } = await made({ stock: [{ locationCode: 'MAIN', quantity: 5 }] });
    const id = String(productId);
    for (const units of [3, -2]) {
      const body = { productId: id, quantityChange: units, reason: 'STOCKTAKE' };
      const headers = { ...as(api.tokens.admin), 'Idempotency-Key': randomUUID() };
      assert.equal((await api.http.post('/v1/inventory/adjustments').set(headers).send(body)).status, 201);
    }
    const page = async (query: object, status = 200, product = id) => {
      const res = await api.http.get(`/v1/inventory/${product}`).query(query).set(as(api.tokens.admin));
      assert.equal(res.status, status);
      return res.body as Readonly<{ stock: Body[]; ledger: Body[]; next: string | null; code: unknown }>;
    };
    const first = await page({ limit: 2 });
    assert.deepEqual(
      first.stock.map(({ available, reserved, version }) => [available, reserved, version]),
      [[6, 0, 3]],
    );
    const rest = await page({ limit: 2, cursor: first.next });
    assert.deepEqual(
      [...first.ledger, ...rest.ledger].map((row) => [row['movement'], row['quantityChange'], row['availableAfter']]),
      [
        ['ADJUSTED', -2, 6],
        ['ADJUSTED', 3, 8],
        ['ADJUSTED', 5, 5],
      ],
    );
    assert.equal(rest.next, null);
    const { productId: bare } = await made();
    const empty = await page({}, 200, String(bare));
    assert.deepEqual([empty.stock.length, empty.ledger, empty.next], [1, [], null]);
    assert.equal((await page({}, 404, '999999999')).code, 'NOT_FOUND');
    assert.equal((await page({}, 404, 'x')).code, 'NOT_FOUND');
    assert.equal((await page({ cursor: 'bm8' }, 400)).code, 'MALFORMED_REQUEST');
  });

  it('are public to read and for administrators alone to write', async () => {
    assert.equal((await api.http.post('/v1/products').send(lamp())).status, 401);
    assert.equal((await create(lamp(), randomUUID(), api.tokens.customer)).status, 403);
    assert.equal(
      (await api.http.patch('/v1/products/101').set(as(api.tokens.customer)).send({ name: 'x' })).status,
      403,
    );
    const res = await api.http.delete('/v1/products/101').set(as(api.tokens.admin));
    assert.deepEqual([res.status, res.headers['allow']], [405, 'GET, HEAD, PATCH']);
    assert.equal((await api.http.get('/v1/products')).status, 200);
  });
});
