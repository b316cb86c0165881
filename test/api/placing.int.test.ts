import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const COASTER = { productId: '102', quantity: 2 };
const TOTAL = { minor: 7_000, currency: 'KRW' };
type Body = Readonly<Record<string, unknown>>;

/** The API as its own process, with real workers behind it: what a shopper gets for each way of asking. */
describe('placing an order over HTTP', function () {
  this.timeout(120_000);
  let system: TestSystem;
  before(async () => {
    system = await startSystem();
    await system.startWorkers();
  });
  after(() => system.stop());

  const buy = (order: Partial<Parameters<TestSystem['shop']['place']>[0]> = {}) =>
    system.shop.place({ items: [COASTER], ...order });
  const get = (path: string, headers: Record<string, string> = {}, token = system.shop.tokens.customer) =>
    fetch(new URL(path, system.shop.url), { headers: { authorization: `Bearer ${token}`, ...headers } });
  const post = (path: string, token: string) =>
    fetch(new URL(path, system.shop.url), { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  const paid = (orderId: string) =>
    eventually(`order ${orderId} is paid`, async () => {
      const { body } = await system.shop.order(orderId);
      return body['status'] === 'PAID' ? body : undefined;
    });

  it('answers 201 with the order as it was placed, and later the same again', async () => {
    const key = randomUUID();
    const placed = await buy({ key });
    const body = placed.body;
    const orderId = String(body['orderId']);
    assert.equal(placed.status, 201);
    assert.equal(placed.headers.get('location'), `/v1/orders/${orderId}`);
    assert.equal(placed.headers.get('idempotent-replayed'), null);
    assert.equal(placed.headers.get('read-after'), `${orderId}:1`);
    const { orderNumber, placedAt, links, items, ...rest } = body;
    assert.match(String(orderNumber), /^[0-9A-HJKMNP-TV-Z]{6}-[0-9A-HJKMNP-TV-Z]{6}$/);
    assert.ok(Math.abs(Date.parse(String(placedAt)) - Date.now()) < 60_000);
    const self = `/v1/orders/${orderId}`;
    const paths = { self, events: `${self}/events`, story: `${self}/story`, cancel: `${self}/cancel` };
    assert.deepEqual(links, paths);
    assert.deepEqual(rest, {
      orderId,
      status: 'PENDING',
      failure: null,
      total: TOTAL,
      refunded: { minor: 0, currency: 'KRW' },
      payment: { method: 'card', status: 'PENDING', instructions: null, expiresAt: null },
    });

    const order = await paid(orderId);
    assert.deepEqual(order['items'], items, 'the order shows other items than the placed answer');
    assert.equal(order['placedAt'], placedAt);
    await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
    const again = await buy({ key: `"${key}"` });
    assert.deepEqual([again.status, again.headers.get('idempotent-replayed')], [201, 'true']);
    assert.deepEqual(again.body, placed.body);
  });

  it('makes one order of two requests at once with the same key', async () => {
    const key = randomUUID();
    const answers = await Promise.all([buy({ key }), buy({ key }), buy({ key, prefer: 'respond-async' })]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 201, 202],
    );
    assert.equal(new Set(answers.map(({ body }) => String(body['orderId']))).size, 1);
  });

  it('marks a repeat as such also while the order is still being paid', async () => {
    const order = { key: randomUUID(), token: 'tok_slow' };
    const first = await buy(order);
    const again = await buy(order);
    const { body } = await system.shop.order(String(first.body['orderId']));
    assert.equal(body['status'], 'PENDING', 'it was paid too early to show anything');
    assert.deepEqual([first.status, first.headers.get('idempotent-replayed')], [201, null]);
    assert.deepEqual([again.status, again.headers.get('idempotent-replayed')], [201, 'true']);
    assert.deepEqual(again.body, first.body);
  });

  it('refuses another body under the same key, while the first runs and after its end', async () => {
    const key = randomUUID();
    const first = await buy({ key, token: 'tok_slow' });
    const code = ({ status, body }: Awaited<ReturnType<typeof buy>>) => [status, body['code']];
    const other = { key, items: [{ ...COASTER, quantity: 1 }] };
    assert.deepEqual(code(await buy(other)), [422, 'IDEMPOTENCY_KEY_REUSED']);
    assert.deepEqual(code(await buy({ ...other, prefer: 'respond-async' })), [422, 'IDEMPOTENCY_KEY_REUSED']);
    await paid(String(first.body['orderId']));
    assert.deepEqual(code(await buy(other)), [422, 'IDEMPOTENCY_KEY_REUSED']);
  });

  it('gives two customers with the same key an order each', async () => {
    const key = randomUUID();
    const [mine, theirs] = await Promise.all([buy({ key }), buy({ key, bearer: system.shop.tokens.otherCustomer })]);
    assert.notEqual(mine.body['orderId'], theirs.body['orderId']);
  });

  it('waits for the end when asked to: 201 with the final order, 200 when it is repeated', async () => {
    const key = randomUUID();
    const ended = await buy({ key, prefer: 'wait=30' });
    assert.deepEqual([ended.status, ended.headers.get('preference-applied')], [201, 'wait=30']);
    assert.equal(ended.body['status'], 'PAID');
    const again = await buy({ key, prefer: 'wait=30' });
    assert.deepEqual([again.status, again.headers.get('idempotent-replayed')], [200, 'true']);
    assert.equal(again.body['status'], 'PAID');
  });

  it('says 402 for a declined card only to those who wait, and 201 to the others', async () => {
    const key = randomUUID();
    const waited = await buy({ key, token: 'tok_declined', prefer: 'wait=30' });
    const problem = waited.body;
    assert.deepEqual([waited.status, problem['code']], [402, 'PAYMENT_DECLINED']);
    assert.equal(problem['detail'], 'the card was declined', 'why is between the bank and the owner of the card');
    assert.match(String(problem['instance']), /^\/v1\/orders\/[0-9a-f-]{36}$/);
    const again = await buy({ key, token: 'tok_declined' });
    assert.deepEqual([again.status, again.body['status']], [201, 'PENDING']);
  });

  it('refuses what is out of stock with the lines, the same way each time', async () => {
    const [scarce] = await system.query<{ id: string; available: number }>(
      'platform',
      `select s.product_id::text as id, s.available_quantity as available from inventory_snapshots s
       join products p on p.id = s.product_id and p.status = 'ACTIVE'
       where s.variant_id is null and s.location_code = 'MAIN' and s.available_quantity < 900 limit 1`,
    );
    assert.ok(scarce);
    const key = randomUUID();
    const items = [{ productId: scarce.id, quantity: 999 }];
    const refused = await buy({ key, items });
    const body = refused.body;
    assert.deepEqual([refused.status, body['code']], [409, 'OUT_OF_STOCK']);
    assert.deepEqual(body['lines'], [{ lineNo: 1, productId: scarce.id, asked: 999, available: scarce.available }]);
    const again = await buy({ key, items });
    assert.deepEqual([again.status, again.headers.get('idempotent-replayed')], [409, 'true']);
    assert.deepEqual(again.body, refused.body);
  });

  it('shows an order to its owner and to administrators, and to nobody else', async () => {
    const path = `/v1/orders/${String((await buy()).body['orderId'])}`;
    const { customer, otherCustomer, admin } = system.shop.tokens;
    const status = async (token: string) => (await get(path, {}, token)).status;
    assert.deepEqual([await status(customer), await status(admin), await status(otherCustomer)], [200, 200, 404]);
    assert.equal((await post(`${path}/cancel`, otherCustomer)).status, 404);
  });

  it('answers 304 while an order is unchanged', async () => {
    const { body } = await buy({ prefer: 'wait=30' });
    const path = `/v1/orders/${String(body['orderId'])}`;
    const first = await get(path);
    const etag = first.headers.get('etag') ?? '';
    const order = (await first.json()) as { version: number; history: unknown[] };
    assert.equal(etag, `"${order.version}-${order.history.length}"`);
    assert.ok(order.history.length >= 2);
    const unchanged = await get(path, { 'if-none-match': etag });
    assert.deepEqual([unchanged.status, await unchanged.text()], [304, '']);
    assert.equal((await get(path, { 'if-none-match': '"1"' })).status, 200);
  });

  it('cancels an order that is not paid yet, again without harm, and never a paid one', async () => {
    const slow = String((await buy({ token: 'tok_slow' })).body['orderId']);
    const cancelled = await post(`/v1/orders/${slow}/cancel`, system.shop.tokens.customer);
    assert.ok(cancelled.status === 200 || cancelled.status === 202, String(cancelled.status));
    const { status } = (await cancelled.json()) as Body;
    assert.equal(status, cancelled.status === 200 ? 'CANCELLED' : 'CANCELLING');
    await eventually('the order is cancelled', async () => {
      const again = await post(`/v1/orders/${slow}/cancel`, system.shop.tokens.admin);
      return again.status === 200 ? again : undefined;
    });
    assert.equal((await system.shop.order(slow)).body['status'], 'CANCELLED');

    const { body } = await buy({ prefer: 'wait=30' });
    const late = await post(`/v1/orders/${String(body['orderId'])}/cancel`, system.shop.tokens.customer);
    assert.deepEqual([late.status, ((await late.json()) as Body)['code']], [409, 'NOT_CANCELLABLE']);
  });
});
