import assert from 'node:assert/strict';

import { WorkflowNotFoundError } from '@temporalio/client';

import { checkoutWorkflowId, webhookWorkflowId } from '../../domain/workflow-ids.ts';
import { cancelUpdate } from '../../workflows/contract.ts';
import { runEntry } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { type HeldLock, holdLock } from '../support/locks.ts';
import { BANK, moneyOf, SHORT_LIMITS, SOLD, UNSOLD } from '../support/money-shop.ts';
import { factsOf } from '../support/saga-facts.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const RECONCILE_LIMIT_MS = 240_000;

describe('money of an order whose workflow was lost or runs a second time', function () {
  this.timeout(400_000);
  let system: TestSystem;
  let shop: ReturnType<typeof moneyOf>;

  before(async () => {
    // Only the command reconciles here: the first scheduled run is far away.
    system = await startSystem({ env: SHORT_LIMITS, reconcileIntervalMs: 24 * 3_600_000 });
    shop = moneyOf(system);
    await system.startWorkers();
  });
  after(() => system.stop());

  const handle = (orderId: string) => system.temporal.workflow.getHandle(checkoutWorkflowId(orderId));
  const lock = (database: 'PLATFORM' | 'ORDER' | 'PAYMENT', table: string, column: string, orderId: string) =>
    holdLock(String(system.env[`${database}_DATABASE_URL`]), `select 1 from ${table} where ${column} = $1 for update`, [
      orderId,
    ]);
  const historyOf = async (orderId: string) => (await factsOf(system, orderId)).history.map(({ reason }) => reason);
  const untilPaymentIs = (orderId: string, status: string) =>
    eventually(`the payment is ${status}`, async () =>
      (await shop.outcomeOf(orderId)).payment === status ? true : undefined,
    );
  async function reconcile(): Promise<void> {
    const { code, stderr } = await runEntry('cli/reconcile.ts', ['--json', '--apply'], system.env, RECONCILE_LIMIT_MS);
    assert.equal(code, 0, stderr);
  }
  /** Cancels the second run while it waits for this lock. @returns the answer to come */
  async function cancelBehind(held: HeldLock, orderId: string): Promise<() => Promise<string>> {
    await held.untilWaiting(1);
    const update = await handle(orderId).startUpdate(cancelUpdate, { waitForStage: 'ACCEPTED' });
    await held.release();
    return () => update.result();
  }

  it('is carried to its order by the event that decided it, when no checkout runs any more', async () => {
    const orderId = await shop.place(BANK);
    await shop.untilCheckout(orderId, 'AWAITING_PAYMENT');
    await handle(orderId).terminate('test');
    await shop.transfer(orderId);
    await shop.untilOrder(orderId, 'PAID');
    await eventually('the stock is sold', async () =>
      (await shop.outcomeOf(orderId)).stock === 'COMMITTED' ? true : undefined,
    );
    assert.deepEqual(await shop.outcomeOf(orderId), SOLD);
    await shop.booksAgree();
  });

  it('goes back when a second run, which never saw it, is cancelled during its reservation', async () => {
    const orderId = await shop.place(BANK);
    await shop.untilCheckout(orderId, 'AWAITING_PAYMENT');
    // The order cannot be paid before the second run cancels it: markOrderPaid of the repair waits for this lock too.
    const order = await lock('ORDER', 'order_marks', 'order_id', orderId);
    await handle(orderId).terminate('test');
    const stock = await lock('PLATFORM', 'inventory_orders', 'order_id', orderId);
    await shop.reset(orderId);
    const answer = await cancelBehind(stock, orderId);
    await shop.transfer(orderId);
    await order.release();
    assert.equal(await answer(), 'CANCELLED');
    assert.deepEqual(await shop.ended(orderId), { status: 'CANCELLED', code: 'CHECKOUT_CANCELLED' });
    await reconcile();
    const { kept, stock: state } = await shop.outcomeOf(orderId);
    assert.deepEqual({ kept, stock: state }, UNSOLD);
    await shop.booksAgree();
  });

  it('stays where the order is paid, when a second run is cancelled before it knows, and the cancel is refused', async () => {
    const orderId = await shop.place();
    assert.deepEqual(await shop.ended(orderId), { status: 'COMPLETED' });
    const held = await lock('PAYMENT', 'payment_marks', 'order_id', orderId);
    await shop.reset(orderId);
    const answer = await cancelBehind(held, orderId);
    await assert.rejects(answer());
    assert.deepEqual(await shop.ended(orderId), { status: 'COMPLETED' });
    assert.deepEqual(await shop.outcomeOf(orderId), SOLD);
    await shop.booksAgree();
  });

  it('that was given back is in the history of its order, although the workflow that did it was terminated', async () => {
    const orderId = await shop.place({ method: 'bank_transfer', holdSeconds: 10 });
    assert.equal((await shop.ended(orderId)).status, 'EXPIRED');
    const [charge] = await system.query<{ account: string }>(
      'gateway',
      "select instructions ->> 'account' as account from charges where order_id = $1",
      [orderId],
    );
    const held = await lock('ORDER', 'orders', 'id', orderId);
    const { status } = await fetch(`${system.gatewayUrl}/transfers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ account: charge?.account, late: true }),
    });
    assert.equal(status, 200);
    await untilPaymentIs(orderId, 'REFUNDED');
    // Both events of this charge: the one that brought the money, and the one about its refund.
    const open = await eventually('both events are worked on', async () => {
      const rows = await system.query<{ id: string }>(
        'payment',
        'select event_id as id from payment_webhooks where outcome is null',
      );
      return rows.length >= 2 ? rows : undefined;
    });
    for (const { id } of open) {
      await eventually('its workflow is terminated', async () => {
        try {
          await system.temporal.workflow.getHandle(webhookWorkflowId('simulated', id)).terminate('test');
          return true;
        } catch (error) {
          // The poller has not come to this event yet.
          if (error instanceof WorkflowNotFoundError) return undefined;
          throw error;
        }
      });
      await system.query('payment', "update payment_webhooks set outcome = 'LATE_CAPTURE' where event_id = $1", [id]);
    }
    // A step in flight outlives its workflow: the line must not be written by one that the lock let go.
    await held.untilNobodyWaits();
    await held.release();
    assert.ok(!(await historyOf(orderId)).includes('LATE_PAYMENT_REFUNDED 12000 KRW'));
    const before = await shop.audit();
    assert.deepEqual(
      before.findings.map(({ invariant, orderId: about }) => [invariant, about]),
      [[3, orderId]],
    );
    await reconcile();
    assert.ok((await historyOf(orderId)).includes('LATE_PAYMENT_REFUNDED 12000 KRW'));
    await shop.booksAgree();
  });
});
