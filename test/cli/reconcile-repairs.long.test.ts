import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';

import type { ReconcileResult } from '../../domain/reconcile.ts';
import { readConfig } from '../../infra/config.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { openCheckoutWorker } from '../../workers/checkout-worker.ts';
import { openInventoryWorker } from '../../workers/inventory-worker.ts';
import { openOrderWorker } from '../../workers/order-worker.ts';
import { openPaymentWorker } from '../../workers/payment-worker.ts';
import { refused } from '../support/activity-refusal.ts';
import { type AuditedShop, CUSTOMER, MUG, openAuditedShop } from '../support/audited-shop.ts';
import { type Ended, runEntry } from '../support/commands.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { checkoutInput } from '../support/shop.ts';

const LIMIT_MS = 100_000;
const FAILED = ['FAILED', 'CHECKOUT_FAILED', 'RELEASED'] as const;
const PAID = ['PAID', null, 'COMMITTED'] as const;

describe('npm run reconcile', function () {
  this.timeout(LIMIT_MS);
  let shop: AuditedShop;
  let folder: string;
  let stopWorkers: (() => Promise<void>) | undefined;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-reconcile-'));
    shop = await openAuditedShop();
    stopWorkers = await startWorkers(shop);
  });
  after(async () => {
    await stopWorkers?.();
    await shop?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const reconcile = (args: readonly string[], changes: Readonly<Record<string, string>> = {}): Promise<Ended> => {
    const env = { ...inheritedEnvironment(), DATA_DIR: folder, TEMPORAL_ADDRESS: shop.address, ...changes };
    return runEntry('cli/reconcile.ts', args, env, LIMIT_MS);
  };

  it('ends what was lost at each step, once, with the books and the audit in agreement', async () => {
    const left = await leaveOneOfEach(shop);
    await shop.paid(); // nothing is left of it
    assert.notDeepEqual((await shop.audit()).findings, []);

    const dry = await reconcile(['--json']);
    const found = JSON.parse(dry.stdout) as ReconcileResult;
    assert.deepEqual([dry.code, found.apply, found.next, found.unreachable], [1, false, null, []]);
    assert.deepEqual(
      found.rows.map(({ id, result }) => [id, result]).sort(),
      [...left.keys()].map((id) => [id, 'FOUND']).sort(),
    );
    assert.notDeepEqual((await shop.audit()).findings, []);

    const applied = await reconcile(['--apply']);
    assert.equal(applied.code, 0, applied.stdout + applied.stderr);
    assert.match(applied.stdout, new RegExp(`\nreconcile: ${left.size} repaired\n$`));

    for (const [id, [what, states]] of left) {
      if (states !== null) assert.deepEqual(await statesOf(id), states, what);
    }
    const { findings, unknown, inProgress } = await shop.audit();
    assert.deepEqual([findings, unknown, inProgress], [[], [], []]);

    const again = await reconcile(['--apply']);
    assert.deepEqual([again.code, again.stdout], [0, 'reconcile: nothing to do\n']);
  });

  it('shows a table in a dry run, says how to go on, and ends with 1', async () => {
    const { orderId } = await shop.steps.place();
    const { code, stdout } = await reconcile([]);
    assert.equal(code, 1);
    assert.match(stdout, /^what +id +found +action +result\n/);
    assert.match(stdout, new RegExp(`\ncheckout +${orderId} +stock RESERVED, order PENDING +repair +FOUND\n`));
    assert.match(stdout, /\nreconcile: 1 found, nothing was changed: run it with --apply\n$/);
    assert.equal((await reconcile(['--apply'])).code, 0);
  });

  for (const [what, changes, line] of [
    ['Temporal does not answer', { TEMPORAL_ADDRESS: '127.0.0.1:1' }, /^reconcile: Temporal at 127\.0\.0\.1:1, .*\n$/],
    ['nothing runs', { TEMPORAL_ADDRESS: '' }, /^reconcile: Nothing is running on .*: run `npm start`, .*\n$/],
  ] as const) {
    it(`ends with 2 and one line when ${what}`, async () => {
      const { code, stdout, stderr } = await reconcile(['--apply'], changes);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, line);
    });
  }

  it('ends with 2 for what it does not know, and explains itself with 0', async () => {
    assert.equal((await reconcile(['--aply'])).code, 2);
    const { code, stdout } = await reconcile(['--help']);
    assert.equal(code, 0);
    assert.match(stdout, /Exit codes: 0 when nothing is left/);
  });

  /** Status and failure of the order, and state of its stock. */
  async function statesOf(orderId: string): Promise<unknown[]> {
    const [order] = await shop.ask('order', 'select status, failure_code from orders where id = $1', [orderId]);
    const [header] = await shop.ask('platform', 'select state from inventory_orders where order_id = $1', [orderId]);
    const states: unknown[] = [order?.['status'], order?.['failure_code'], header?.['state']];
    return states.map((state) => state ?? null);
  }
});

type Left = ReadonlyMap<string, readonly [what: string, states: readonly unknown[] | null]>;

/** What workflows that were terminated after each step leave. @returns what each must come to; null for refunds */
async function leaveOneOfEach(shop: AuditedShop): Promise<Left> {
  const { steps, inventory, orders, payments, refunds } = shop;
  const left = new Map<string, readonly [string, readonly unknown[] | null]>();
  const keyOf = ({ orderId, customerId, requestHash }: ReturnType<typeof checkoutInput>) => ({
    ...{ orderId, customerId, requestHash },
  });

  const reserved = checkoutInput(CUSTOMER, [{ item: MUG, quantity: 1 }]);
  await inventory.reserveStock(reserved);
  left.set(reserved.orderId, ['after the reservation', [null, null, 'RELEASED']]);

  const placed = await steps.place();
  left.set(placed.orderId, ['before the charge', FAILED]);

  const declined = await steps.place(undefined, 'tok_declined');
  await refused(steps.capture(declined));
  left.set(declined.orderId, ['after a declined charge', ['FAILED', 'PAYMENT_DECLINED', 'RELEASED']]);

  const captured = await steps.place();
  await steps.capture(captured);
  left.set(captured.orderId, ['after the capture', PAID]);

  const orderPaid = await steps.place();
  const { paymentId } = await steps.capture(orderPaid);
  await orders.markOrderPaid({ orderId: orderPaid.orderId, paymentId });
  left.set(orderPaid.orderId, ['after the order was paid', PAID]);

  const committed = await steps.place();
  await steps.capture(committed);
  await inventory.commitStock(keyOf(committed));
  left.set(committed.orderId, ['after the stock was committed', PAID]);

  const inDoubt = await steps.place(undefined, 'tok_timeout_after_charge');
  await assert.rejects(steps.capture(inDoubt));
  left.set(inDoubt.orderId, ['charged without an answer', FAILED]);

  const abandoned = await steps.place();
  await payments.abandonPayment({ orderId: abandoned.orderId });
  await inventory.releaseStock({ ...keyOf(abandoned), unplaced: null });
  left.set(abandoned.orderId, ['half undone', FAILED]);

  const cancelled = await steps.place();
  await steps.capture(cancelled);
  await inventory.releaseStock({ ...keyOf(cancelled), unplaced: null });
  left.set(cancelled.orderId, ['captured, and its stock given back', FAILED]);

  const onRecord = await shop.begun(await shop.paid(), {});
  left.set(onRecord.refundId, ['a refund on record', null]);

  const atGateway = await shop.begun(await shop.paid(), { lines: [{ lineNo: 1, quantity: 1, restock: true }] });
  await refunds.refundAtGateway({ refundId: atGateway.refundId });
  left.set(atGateway.refundId, ['a refund that the gateway made', null]);
  return left;
}

/** Real workers in this process, on the databases and the gateway of the shop. @returns how they are ended */
async function startWorkers({ urls, gatewayUrl, address }: AuditedShop): Promise<() => Promise<void>> {
  quietRuntime();
  const connection = await NativeConnection.connect({ address });
  const config = readConfig({
    PLATFORM_DATABASE_URL: urls.platform,
    ORDER_DATABASE_URL: urls.order,
    PAYMENT_DATABASE_URL: urls.payment,
    GATEWAY_URL: gatewayUrl,
    GATEWAY_TIMEOUT_MS: '2000',
    GATEWAY_MAX_PROCESSING_MS: '1000',
    SHUTDOWN_GRACE_MS: '5000',
  });
  const context = {
    config,
    connection,
    namespace: 'default',
    dataConverter: {},
    log: pino({ level: 'error' }, process.stderr),
  };
  const open = [openCheckoutWorker, openInventoryWorker, openOrderWorker, openPaymentWorker];
  const workers = await Promise.all(open.map((one) => one(context)));
  const running = Promise.all(workers.map(({ worker }) => worker.run()));
  return async () => {
    for (const { worker } of workers) worker.shutdown();
    await running;
    await Promise.all(workers.map(({ close }) => close()));
    await connection.close();
  };
}
