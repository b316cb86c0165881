import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';

import type { ReconcileResult } from '../../domain/reconcile.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { audited, runEntry } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { BANK, moneyOf, SHORT_LIMITS, SOLD, UNSOLD } from '../support/money-shop.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

/** A paid checkout has fewer than 45 events; every second boundary is ended at, from the first task to the last. */
const ENDED_AT_EVENTS = Array.from({ length: 16 }, (_, index) => 2 + 2 * index);
const PAYMENTS = {
  'a card': { method: 'card', token: 'tok_ok' },
  'a card that is declined': { method: 'card', token: 'tok_declined' },
  'a card whose charge times out': { method: 'card', token: 'tok_timeout_after_charge' },
  'a transfer': BANK,
} as const;
const RECONCILE_LIMIT_MS = 240_000;

describe('checkouts whose workflow is lost', function () {
  this.timeout(900_000);
  let system: TestSystem;
  let shop: ReturnType<typeof moneyOf>;

  before(async () => {
    // Only the command reconciles here: the first scheduled run is far away.
    system = await startSystem({ env: SHORT_LIMITS, reconcileIntervalMs: 24 * 3_600_000 });
    shop = moneyOf(system);
    await system.startWorkers();
  });
  after(() => system.stop());

  const workflowOf = (orderId: string) => system.temporal.workflow.getHandle(checkoutWorkflowId(orderId));
  /** Starts one checkout for each way to pay. */
  const placeAll = () =>
    Promise.all(
      Object.values(PAYMENTS).map(async (payment) => {
        const { key, orderId } = shop.nextOrder();
        const items = [{ productId: '101', variantId: '1011', quantity: 1 }];
        const { status } = await system.shop.place({ items, payment, key, prefer: 'respond-async' });
        assert.equal(status, 202);
        return orderId;
      }),
    );
  const reconcile = async (...args: string[]): Promise<ReconcileResult & Readonly<{ code: number }>> => {
    const { code, stdout, stderr } = await runEntry(
      'cli/reconcile.ts',
      ['--json', ...args],
      system.env,
      RECONCILE_LIMIT_MS,
    );
    assert.ok(code === 0 || code === 1, `reconcile ended with ${code}: ${stderr}`);
    return { code, ...(JSON.parse(stdout) as ReconcileResult) };
  };
  /** Paid with exactly one net charge and sold, or closed without money and stock. */
  const isWhole = async (orderId: string): Promise<'sold' | 'undone'> => {
    const seen = await shop.outcomeOf(orderId);
    if (seen.order === 'PAID') assert.deepEqual(seen, SOLD, orderId);
    else {
      const { stock = 'RELEASED', order = 'CANCELLED', kept, charges } = seen;
      assert.ok(order === 'FAILED' || order === 'CANCELLED', `order ${orderId} is ${order}`);
      assert.deepEqual([stock, kept, charges <= 1], ['RELEASED', 'nothing', true], orderId);
    }
    return seen.order === 'PAID' ? 'sold' : 'undone';
  };
  const standsOf = async (orderId: string) => {
    const [order] = await system.query<{ failure: string | null; version: number }>(
      'order',
      'select failure_code as failure, version::int from orders where id = $1',
      [orderId],
    );
    return { ...(await shop.outcomeOf(orderId)), ...order };
  };
  const auditsClean = async (): Promise<void> => {
    await shop.booksAgree();
    const { code, stdout, stderr } = await audited(system);
    assert.equal(code, 0, stdout + stderr);
  };

  it('are ended by npm run reconcile wherever they were terminated, which finds nothing the second time', async () => {
    const placed: string[] = [];
    let terminated = 0;
    for (const events of ENDED_AT_EVENTS) {
      const batch = await placeAll();
      placed.push(...batch);
      await Promise.all(
        batch.map(async (orderId) => {
          const running = await eventually(
            `checkout ${orderId} has ${events} events, or less and no more`,
            async () => {
              const { historyLength, status } = await workflowOf(orderId).describe();
              if (status.name !== 'RUNNING') return { ended: true };
              // One that waits for a transfer may wait for ever with fewer.
              return historyLength >= events || historyLength >= WAITING_EVENTS ? { ended: false } : undefined;
            },
          );
          if (running.ended) return;
          terminated += await workflowOf(orderId)
            .terminate('a rehearsal')
            .then(() => 1)
            .catch(endedMeanwhile);
        }),
      );
    }
    assert.ok(terminated > placed.length / 4, `only ${terminated} of ${placed.length} were caught in time`);

    const dry = await reconcile();
    assert.ok(dry.code === 1 && dry.rows.length > 0, JSON.stringify(dry));
    assert.ok(dry.rows.every(({ result }) => result === 'FOUND'));
    const applied = await reconcile('--apply');
    assert.equal(applied.code, 0, JSON.stringify(applied.rows.filter(({ result }) => result !== 'REPAIRED')));
    const again = await reconcile('--apply');
    assert.deepEqual([again.code, again.rows], [0, []]);

    const ends = await Promise.all(placed.map(isWhole));
    assert.ok(ends.includes('sold') && ends.includes('undone'));
    await auditsClean();
  });

  it('charge nobody twice when they are reset to their beginning', async () => {
    const [card, declined, doubted, transfer] = await placeAll();
    assert.ok(card && declined && doubted && transfer);
    await shop.untilCheckout(transfer, 'AWAITING_PAYMENT');
    assert.equal(await shop.transfer(transfer), 200);
    const expired = await shop.place({ method: 'bank_transfer', holdSeconds: 10 });
    const orders = [card, declined, doubted, transfer, expired];
    const before = new Map<string, object>();
    for (const orderId of orders) before.set(orderId, { ...(await shop.ended(orderId)), ...(await standsOf(orderId)) });
    for (const orderId of orders) await shop.reset(orderId);
    for (const [orderId, first] of before) {
      const { status } = await shop.ended(orderId);
      const stands = await standsOf(orderId);
      assert.deepEqual({ ...first, ...stands }, first);
      // What was undone stays so: its run is told that it comes too late, and the order keeps the first reason.
      assert.equal(status, stands.order === 'PAID' ? 'COMPLETED' : 'REJECTED');
    }
    await auditsClean();
  });

  it('are ended by npm run reconcile when all of Temporal is lost under load, and nobody pays twice', async () => {
    const placed: string[] = [];
    for (let round = 0; round < 10; round++) placed.push(...(await placeAll()));
    await eventually('some are paid, and some are not yet', async () => {
      const rows = await system.query<{ status: string }>(
        'payment',
        'select status from payments where order_id = any($1)',
        [placed],
      );
      return rows.some(({ status }) => status === 'CAPTURED') ? true : undefined;
    });
    await system.crashTemporal({ loseData: true });
    // Money that arrives while nobody waits for it any more.
    const [waiting] = await system.query<{ orderId: string }>(
      'payment',
      `select order_id::text as "orderId" from payments
       where status = 'AWAITING_CONFIRMATION' and order_id = any($1) limit 1`,
      [placed],
    );
    if (waiting !== undefined) assert.equal(await shop.transfer(waiting.orderId), 200);
    await eventually(
      'nothing is left to reconcile',
      async () => ((await reconcile('--apply')).rows.length === 0 ? true : undefined),
      RECONCILE_LIMIT_MS,
    );
    const ends = await Promise.all(placed.map(isWhole));
    assert.ok(ends.includes('sold') && ends.includes('undone'));
    await auditsClean();
  });
});

describe('checkouts whose workflow is lost beside a schedule', function () {
  this.timeout(600_000);
  let system: TestSystem;
  let shop: ReturnType<typeof moneyOf>;

  before(async () => {
    system = await startSystem({ env: SHORT_LIMITS, reconcileIntervalMs: 5_000 });
    shop = moneyOf(system);
    await system.startWorkers();
  });
  after(() => system.stop());

  it('are ended without anybody, and the ones that live are left alone', async () => {
    const [living, dead] = [await shop.place(BANK), await shop.place(BANK)];
    for (const orderId of [living, dead]) await shop.untilCheckout(orderId, 'AWAITING_PAYMENT');
    await system.temporal.workflow.getHandle(checkoutWorkflowId(dead)).terminate('a rehearsal');
    await shop.untilOrder(dead, 'FAILED');
    const undone = { ...UNSOLD, order: 'FAILED', payment: 'CANCELLED', charges: 0 };
    await eventually('the dead one is undone', async () =>
      isDeepStrictEqual(await shop.outcomeOf(dead), undone) ? true : undefined,
    );
    assert.equal((await shop.outcomeOf(living)).stock, 'RESERVED');
    assert.equal(await shop.transfer(living), 200);
    assert.deepEqual(await shop.ended(living), { status: 'COMPLETED' });
    await shop.booksAgree();
  });
});

/** A checkout that waits for its shopper has about so many events. */
const WAITING_EVENTS = 24;

function endedMeanwhile(error: unknown): 0 {
  if (error instanceof Error && error.name === 'WorkflowNotFoundError') return 0;
  throw error;
}
