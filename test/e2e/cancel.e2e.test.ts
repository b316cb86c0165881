import assert from 'node:assert/strict';

import type { Client as PgClient } from 'pg';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import type { DatabaseName } from '../../infra/config.ts';
import { eventually } from '../support/eventually.ts';
import { factsOf, leakedStock } from '../support/saga-facts.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const MUG = { productId: '101', variantId: '1011', quantity: 1 };
/** A step that takes longer than its attempt may would be repeated; the holds below end well before. */
const SETTLED_WITHIN_MS = 60_000;

/** Each step before the pivot, and what holds it up: the table whose lock it needs, or the gateway. */
const STEPS = [
  { step: 'reserveStock', database: 'platform', table: 'inventory_orders' },
  { step: 'createOrder', database: 'order', table: 'order_marks' },
  { step: 'capturePayment', database: 'payment', table: 'payment_marks' },
] as const satisfies readonly { step: string; database: DatabaseName; table: string }[];

const WAYS = {
  'by the API': (system: TestSystem, orderId: string) => system.shop.cancel(orderId).then(({ status }) => status),
  'by Temporal': (system: TestSystem, orderId: string) =>
    system.temporal.workflow
      .getHandle(checkoutWorkflowId(orderId))
      .cancel()
      .then(() => 200),
} as const;

describe('cancelling a checkout', function () {
  this.timeout(240_000);
  let system: TestSystem;

  before(async () => {
    system = await startSystem();
    await system.startWorkers();
  });
  after(() => system.stop());

  const place = async (): Promise<string> => {
    const { status, body } = await system.shop.place({ items: [MUG], prefer: 'respond-async' });
    assert.equal(status, 202);
    return String(body['orderId']);
  };
  /** What must hold of a cancelled order, wherever it was cancelled. */
  const isUndone = async (orderId: string): Promise<void> => {
    const result = (await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result()) as object;
    assert.deepEqual(result, { status: 'CANCELLED', code: 'CHECKOUT_CANCELLED' });
    const { header, order, payment, gateway, ledger } = await factsOf(system, orderId);
    assert.equal(header, 'RELEASED');
    assert.ok(order === undefined || order.status === 'CANCELLED', `order is ${order?.status}`);
    const net = gateway.reduce((sum, { kind, amount }) => sum + (kind === 'CAPTURE' ? amount : -amount), 0);
    assert.equal(net, 0, 'net charge at the gateway');
    const settled = payment === undefined || ['CANCELLED', 'REFUNDED'].includes(payment.status);
    assert.ok(settled, `payment is ${payment?.status}`);
    assert.equal(
      ledger.reduce((sum, { change }) => sum + change, 0),
      0,
      'units that are gone',
    );
    assert.deepEqual(await leakedStock(system), []);
  };

  for (const [way, cancel] of Object.entries(WAYS)) {
    for (const { step, database, table } of STEPS) {
      it(`undoes everything when it comes during ${step}, ${way}`, async () => {
        const holder = await holdTable(system, database, table);
        const orderId = await place();
        await eventually(`${step} waits for the lock`, async () => {
          const waiting = await system.query(database, `select from pg_stat_activity where wait_event_type = 'Lock'`);
          return waiting.length > 0 ? waiting : undefined;
        });
        const cancelled = cancel(system, orderId);
        // The request must be in the workflow before the step may end.
        await eventually('the cancel has arrived', async () => {
          const timeline = await system.temporal.workflow
            .getHandle(checkoutWorkflowId(orderId))
            .query<{ what: string }[]>('timeline');
          return timeline.some(({ what }) => what === 'cancel was accepted') ? timeline : undefined;
        });
        await holder.query('rollback');
        assert.ok([200, 202].includes(await cancelled));
        await isUndone(orderId);
      });
    }

    it(`wins over a capture that succeeds meanwhile, which is refunded, ${way}`, async () => {
      await system.fault({ route: 'confirm', times: 1, kind: 'hold', ms: SETTLED_WITHIN_MS });
      const orderId = await place();
      await eventually('the gateway has charged', async () => {
        const { gateway } = await factsOf(system, orderId);
        return gateway.length > 0 ? gateway : undefined;
      });
      const cancelled = cancel(system, orderId);
      await eventually('the cancel has arrived', async () => {
        const timeline = await system.temporal.workflow
          .getHandle(checkoutWorkflowId(orderId))
          .query<{ what: string }[]>('timeline');
        return timeline.some(({ what }) => what === 'cancel was accepted') ? timeline : undefined;
      });
      await system.clearFaults();
      assert.ok([200, 202].includes(await cancelled));
      await isUndone(orderId);
      const { payment, gateway } = await factsOf(system, orderId);
      assert.equal(payment?.status, 'REFUNDED');
      assert.deepEqual(
        gateway.map(({ kind }) => kind),
        ['CAPTURE', 'REFUND'],
      );
    });
  }

  it('is refused once the order is paid, and changes nothing', async () => {
    const orderId = await place();
    await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
    const { status, body } = await system.shop.cancel(orderId);
    assert.deepEqual([status, body['code']], [409, 'NOT_CANCELLABLE']);
    const { header, order, payment } = await factsOf(system, orderId);
    assert.deepEqual([header, order?.status, payment?.status], ['COMMITTED', 'PAID', 'CAPTURED']);
  });
});

/** Holds up every step that writes to the table, until `rollback`. */
async function holdTable(system: TestSystem, database: DatabaseName, table: string): Promise<PgClient> {
  const holder = await system.connect(database);
  await holder.query('begin');
  await holder.query(`lock table ${table} in exclusive mode`);
  return holder;
}
