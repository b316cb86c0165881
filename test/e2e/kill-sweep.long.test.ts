import assert from 'node:assert/strict';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { abandonedReservations, factsOf, leakedStock } from '../support/saga-facts.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

/** A paid checkout has fewer than 45 events; every third boundary is killed at, from the first task to the last. */
const KILL_AT_EVENTS = [2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32];
const PLACE_BETWEEN_KILLS = 3;
const TOKENS = ['tok_ok', 'tok_declined', 'tok_error_500'] as const;

describe('checkouts whose worker is killed again and again', function () {
  this.timeout(900_000);
  let system: TestSystem;

  before(async () => {
    system = await startSystem({ env: { MAX_OPEN_CHECKOUTS: '1000' } });
  });
  after(() => system.stop());

  it('all end as they would have ended in peace, whatever event the worker was killed at', async () => {
    const placed: { orderId: string; token: (typeof TOKENS)[number] }[] = [];
    let worker: Child = await system.startWorkers();
    for (const events of KILL_AT_EVENTS) {
      const batch = await Promise.all(
        TOKENS.slice(0, PLACE_BETWEEN_KILLS).map(async (token) => {
          const items = [{ productId: '101', variantId: '1011', quantity: 1 }];
          const { status, body } = await system.shop.place({ items, token, prefer: 'respond-async' });
          assert.equal(status, 202);
          return { orderId: String(body['orderId']), token };
        }),
      );
      placed.push(...batch);
      await eventually(`a history has ${events} events, or has ended with fewer`, async () => {
        const descriptions = await Promise.all(
          batch.map(({ orderId }) => system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).describe()),
        );
        const reached = descriptions.some(({ historyLength }) => historyLength >= events);
        return reached || descriptions.every(({ status }) => status.name !== 'RUNNING') ? true : undefined;
      });
      await worker.kill();
      worker = await system.startWorkers();
    }

    for (const { orderId, token } of placed) {
      const handle = system.temporal.workflow.getHandle(checkoutWorkflowId(orderId));
      const { status, code } = (await handle.result()) as { status: string; code?: string };
      const { header, order, payment, gateway } = await factsOf(system, orderId);
      const seen = { status, code, header, order: order?.status, payment: payment?.status, entries: gateway.length };
      const expected =
        token === 'tok_declined'
          ? {
              status: 'REJECTED',
              code: 'PAYMENT_DECLINED',
              header: 'RELEASED',
              order: 'FAILED',
              payment: 'FAILED',
              entries: 0,
            }
          : {
              status: 'COMPLETED',
              code: undefined,
              header: 'COMMITTED',
              order: 'PAID',
              payment: 'CAPTURED',
              entries: 1,
            };
      assert.deepEqual(seen, expected, `${orderId} paid with ${token}`);
    }
    assert.deepEqual(await leakedStock(system), []);
    assert.deepEqual(await abandonedReservations(system), []);
    assert.equal(await worker.stop(), 0);
  });
});
