import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { checkoutWorkflowId, refundWorkflowId } from '../../domain/workflow-ids.ts';
import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import type { Answer, ResolveBody } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const COASTER = { productId: '102', quantity: 1 };
const RETRY = { action: 'retry', reason: 'the bank was asked' } as const;
/** For the list and everybody on it. */
const BOUND_MS = 12_000;

type Item = Readonly<{
  workflowId: string;
  type: string;
  orderId: string;
  orderNumber: string;
  customerId: string;
  parked: readonly Readonly<{ step: string; reason: string; since: string }>[] | null;
  links: Readonly<Record<string, string>>;
}>;
const itemsOf = ({ status, body }: Answer): readonly Item[] => {
  assert.equal(status, 200, JSON.stringify(body));
  return body['items'] as Item[];
};
const codeOf = ({ status, body }: Answer) => [status, body['code']];

/** Two checkouts whose account the gateway does not close: their undo waits for a person. */
describe('what waits for a person, over HTTP', function () {
  this.timeout(180_000);
  let system: TestSystem;
  let workers: Child;
  const orders: string[] = [];
  before(async () => {
    system = await startSystem({ env: { TEMPORAL_UI_URL: 'http://temporal.test' } });
    workers = await system.startWorkers();
    for (let i = 0; i < 2; i++) orders.push(await parkedOrder());
    await eventually('both are listed', async () => {
      const items = itemsOf(await system.shop.attention());
      return items.length === 2 ? items : undefined;
    });
  });
  after(() => system.stop());

  async function parkedOrder(): Promise<string> {
    const { body } = await system.shop.place({ items: [COASTER], payment: { method: 'bank_transfer' } });
    const orderId = String(body['orderId']);
    await eventually(`order ${orderId} can be paid`, async () => {
      const { payment } = (await system.shop.order(orderId)).body as { payment: { instructions: unknown } };
      return payment.instructions === null ? undefined : true;
    });
    await system.fault({ orderId, route: 'cancel', kind: 'refuse', times: 1 });
    await system.shop.cancel(orderId);
    return orderId;
  }
  const attention = (query: string, bearer = system.shop.tokens.admin) =>
    system.shop.call('GET', `/v1/admin/attention${query}`, { bearer });
  const resolve = (orderId: string, body: object, bearer = system.shop.tokens.admin) =>
    system.shop.call('POST', `/v1/admin/orders/${orderId}/resolve`, { bearer, body });

  it('is for administrators alone', async () => {
    const [orderId = ''] = orders;
    const { customer } = system.shop.tokens;
    assert.deepEqual(codeOf(await attention('', customer)), [403, 'FORBIDDEN']);
    assert.deepEqual(codeOf(await resolve(orderId, RETRY, customer)), [403, 'FORBIDDEN']);
    assert.deepEqual(codeOf(await attention('', 'nonsense')), [401, 'UNAUTHENTICATED']);
    assert.deepEqual(codeOf(await resolve(orderId, RETRY, 'nonsense')), [401, 'UNAUTHENTICATED']);
  });

  it('is listed with whose order it is, what is parked since when and why, and where to look', async () => {
    const [orderId = ''] = orders;
    const item = itemsOf(await attention('')).find((one) => one.orderId === orderId);
    assert.ok(item);
    const { parked, orderNumber, ...rest } = item;
    assert.deepEqual(rest, {
      ...{ workflowId: checkoutWorkflowId(orderId), type: 'checkout', orderId, customerId: '1' },
      links: {
        order: `/v1/orders/${orderId}`,
        temporal: `http://temporal.test/namespaces/default/workflows/checkout-${orderId}`,
      },
    });
    assert.match(orderNumber, /^\w{6}-\w{6}$/);
    assert.equal(parked?.length, 1);
    assert.equal(parked[0]?.step, 'settleWithGateway');
    assert.match(parked[0].reason, /REFUND_REFUSED/);
    assert.ok(Math.abs(Date.parse(parked[0].since) - Date.now()) < 180_000);
  });

  it('comes in pages, without a gap or a repeat, and cursors that nobody gave are refused', async () => {
    const first = await attention('?limit=1');
    const cursor = String(first.body['next']);
    const second = await attention(`?limit=1&cursor=${cursor}`);
    const seen = [...itemsOf(first), ...itemsOf(second)].map((item) => item.orderId);
    assert.deepEqual([...seen].sort(), [...orders].sort());
    for (const query of ['?cursor=abcd', '?cursor=', `?cursor=A${cursor}`, '?limit=101', '?limit=0', '?all=yes']) {
      assert.deepEqual(codeOf(await attention(query)), [422, 'INVALID_REQUEST'], query);
    }
  });

  it('is listed without its steps, in bounded time, while no worker can say what they are', async () => {
    await workers.stop();
    const since = Date.now();
    const items = itemsOf(await attention(''));
    assert.ok(Date.now() - since < BOUND_MS, `it took ${Date.now() - since} ms`);
    assert.deepEqual(items.map(({ orderId }) => orderId).sort(), [...orders].sort());
    assert.deepEqual(new Set(items.map(({ parked }) => parked)), new Set([null]));

    const [orderId = ''] = orders;
    const decided = await resolve(orderId, { ...RETRY, workflowId: refundWorkflowId(randomUUID()) });
    assert.deepEqual(codeOf(decided), [404, 'NOT_FOUND'], 'there is no such workflow');
    workers = await system.startWorkers();
  });

  it('takes no decision that is malformed, or about a workflow of another order', async () => {
    const [orderId = '', other = ''] = orders;
    for (const bad of [
      {},
      { action: 'retry' },
      { ...RETRY, action: 'delete' },
      { ...RETRY, reason: ' ' },
      { ...RETRY, reason: 'x'.repeat(401) },
      { ...RETRY, reason: 'a\u0000b' },
      { ...RETRY, by: '7' },
      { ...RETRY, workflowId: 'reconcile' },
      { ...RETRY, workflowId: `checkout-\n${orderId}` },
    ]) {
      assert.deepEqual(codeOf(await resolve(orderId, bad)), [422, 'INVALID_REQUEST'], JSON.stringify(bad));
    }
    assert.deepEqual(codeOf(await resolve(orderId, { reason: 'x'.repeat(65_537) })), [413, 'PAYLOAD_TOO_LARGE']);
    const foreign: ResolveBody = { ...RETRY, workflowId: checkoutWorkflowId(other) };
    assert.deepEqual(codeOf(await resolve(orderId, foreign)), [404, 'NOT_FOUND']);
    assert.deepEqual(codeOf(await resolve('no-order', RETRY)), [404, 'NOT_FOUND']);
    assert.deepEqual(codeOf(await resolve(randomUUID(), RETRY)), [409, 'NOTHING_PARKED']);
  });

  it('goes on when it is decided, once, with the decision in the history; then nothing waits any more', async () => {
    const [orderId = ''] = orders;
    const answers = await Promise.all(Array.from({ length: 4 }, () => resolve(orderId, RETRY)));
    const taken = answers.filter(({ status }) => status === 200);
    assert.ok(taken.length >= 1, JSON.stringify(answers.map(({ body }) => body)));
    for (const { body } of taken) {
      assert.deepEqual(body, { workflowId: checkoutWorkflowId(orderId), steps: ['settleWithGateway'] });
    }
    for (const { status, body } of answers.filter((answer) => !taken.includes(answer))) {
      assert.deepEqual([status, body['code']], [409, 'NOTHING_PARKED']);
    }
    await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
    assert.deepEqual(codeOf(await resolve(orderId, RETRY)), [409, 'NOTHING_PARKED']);
    const { body } = await system.shop.order(orderId, system.shop.tokens.admin);
    assert.match(JSON.stringify(body['history']), /retry settleWithGateway: the bank was asked.*operator:100/);
  });

  it('may be marked as done by whoever has done it, by the name of its workflow', async () => {
    const [, orderId = ''] = orders;
    const workflowId = checkoutWorkflowId(orderId);
    const done = await resolve(orderId, { action: 'markDone', reason: 'closed at the bank', workflowId });
    assert.deepEqual([done.status, done.body], [200, { workflowId, steps: ['settleWithGateway'] }]);
    await system.temporal.workflow.getHandle(workflowId).result();
    await eventually('nothing is listed', async () => (itemsOf(await attention('')).length === 0 ? true : undefined));
  });

  it('is found by its order, also when it is the event of money that came after the end', async () => {
    const { body } = await system.shop.place({ items: [COASTER], payment: { method: 'bank_transfer' } });
    const orderId = String(body['orderId']);
    const account = await eventually(`order ${orderId} can be paid`, async () => {
      const { payment } = (await system.shop.order(orderId)).body as {
        payment: { instructions: { account: string } | null };
      };
      return payment.instructions?.account;
    });
    await system.shop.cancel(orderId);
    await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
    // Else this event may find the late money as well, and one of the two gives back what the other was refused.
    await eventually('the event of the cancellation is handled', async () => {
      const [handled] = await system.query(
        'payment',
        `select 1 from payment_webhooks w join payments p using (provider_payment_id)
         where p.order_id = $1 and w.type = 'charge.cancelled' and w.handled_at is not null`,
        [orderId],
      );
      return handled;
    });
    await system.fault({ orderId, route: 'refund', kind: 'refuse', times: 1 });
    const late = await fetch(`${system.gatewayUrl}/transfers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ account, late: true }),
    });
    assert.equal(late.status, 200, await late.text());
    const { workflowId } = await eventually('the event waits', async () =>
      itemsOf(await attention('')).find((one) => one.orderId === orderId),
    );
    assert.match(workflowId, /^webhook-/);
    assert.deepEqual(codeOf(await resolve(randomUUID(), RETRY)), [409, 'NOTHING_PARKED'], 'of another order');
    const done = await resolve(orderId, RETRY);
    assert.deepEqual([done.status, done.body], [200, { workflowId, steps: ['settleWithGateway'] }]);
    await system.temporal.workflow.getHandle(workflowId).result();
  });
});
