import assert from 'node:assert/strict';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import type { Answer } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const COASTER = '102';
const UNKNOWN = '999999999';
/** Temporal lets a workflow have ten updates at a time. */
const MANY = 15;

/** Workers are started one after another, so that a checkout stands still where the test wants it. */
describe('an order that is followed after a 202', function () {
  this.timeout(120_000);
  let system: TestSystem;
  before(async () => {
    system = await startSystem();
    await system.startWorkers('checkout-worker');
  });
  after(() => system.stop());

  const code = ({ status, body }: Answer) => [status, body['code'] ?? body['status']];
  const cancel = (orderId: string, bearer: string) =>
    system.shop.call('POST', `/v1/orders/${orderId}/cancel`, { bearer });
  const start = async (productId: string): Promise<string> => {
    const items = [{ productId, quantity: 1 }];
    const { status, body } = await system.shop.place({ items, prefer: 'respond-async' });
    assert.equal(status, 202);
    return String(body['orderId']);
  };

  it('and never came to be tells its owner and administrators how it ended, and does not exist for strangers', async () => {
    const { customer, otherCustomer, admin } = system.shop.tokens;
    const refused = await start(UNKNOWN);
    const cancelled = await start(COASTER);

    // Without the services the undo goes on: all of them are told so, and they are one update.
    const answers = await Promise.all(Array.from({ length: MANY }, () => cancel(cancelled, customer)));
    assert.deepEqual(
      answers.map(code),
      answers.map(() => [202, 'CANCELLING']),
    );
    const handle = system.temporal.workflow.getHandle(checkoutWorkflowId(cancelled));
    const { events } = await handle.fetchHistory();
    const updates = events?.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes != null);
    assert.equal(updates?.length, 2, 'one is `placed`, and the cancels are one');

    const services = await system.startWorkers('inventory-worker', 'order-worker', 'payment-worker');
    await handle.result();
    await system.temporal.workflow.getHandle(checkoutWorkflowId(refused)).result();
    assert.equal(await services.stop(), 0);

    for (const bearer of [customer, admin]) {
      const gone = await system.shop.order(refused, bearer);
      assert.deepEqual(code(gone), [422, 'UNKNOWN_PRODUCT']);
      assert.match(gone.headers.get('content-type') ?? '', /^application\/problem\+json/);
      assert.equal(gone.body['instance'], `/v1/orders/${refused}`);
      assert.deepEqual(code(await cancel(refused, bearer)), [409, 'NOT_CANCELLABLE']);

      assert.deepEqual(code(await system.shop.order(cancelled, bearer)), [409, 'CHECKOUT_CANCELLED']);
      assert.deepEqual(code(await cancel(cancelled, bearer)), [200, 'CANCELLED']);
    }
    for (const orderId of [refused, cancelled]) {
      assert.deepEqual(code(await system.shop.order(orderId, otherCustomer)), [404, 'NOT_FOUND']);
      assert.deepEqual(code(await cancel(orderId, otherCustomer)), [404, 'NOT_FOUND']);
    }
  });

  it('of its cancellation is cancelled in the end, although the first answer was that it is not yet', async () => {
    const { customer } = system.shop.tokens;
    await system.startWorkers('inventory-worker', 'order-worker');
    const { status, body } = await system.shop.place({ items: [{ productId: COASTER, quantity: 1 }] });
    assert.equal(status, 201);
    const orderId = String(body['orderId']);
    assert.deepEqual(code(await cancel(orderId, customer)), [202, 'CANCELLING']);
    assert.deepEqual(code(await cancel(orderId, customer)), [202, 'CANCELLING'], 'the payment is still to be settled');

    await system.startWorkers('payment-worker');
    await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
    assert.deepEqual(code(await cancel(orderId, customer)), [200, 'CANCELLED']);
  });
});
