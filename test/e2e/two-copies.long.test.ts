import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { eventually } from '../support/eventually.ts';
import { factsOf, leakedStock, outboxOf } from '../support/saga-facts.ts';
import { attemptsOf, attemptStarted, type StallingWorker, startStallingWorker } from '../support/stalling-worker.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const MUG = { productId: '101', variantId: '1011', quantity: 1 };
/** Longer than any of these tests: what is held goes on when the test says so. */
const HELD_MS = 600_000;
/** A charge has 35 s; the worker that its undo finds frozen is started in what is left. */
const UNTIL_CHARGE_IS_NEARLY_GIVEN_UP_MS = 15_000;
type Name = 'inventory-worker' | 'order-worker' | 'payment-worker';

/** Copy 1 of a step sits in a frozen process while copy 2 does the work elsewhere; then copy 1 goes on, too late. */
describe('two live copies of one step', function () {
  this.timeout(400_000);
  let system: TestSystem;
  /** What a test started: ended after it also when it failed, or it would serve the next test's order. */
  const started: { kill: () => Promise<void> }[] = [];
  const placed: string[] = [];

  before(async () => {
    system = await startSystem({ webhooks: false });
    await system.startWorkers('checkout-worker');
  });
  after(() => system.stop());
  afterEach(async () => {
    await Promise.all(started.splice(0).map((worker) => worker.kill()));
    await system.clearFaults();
    for (const handle of placed.splice(0).map(handleOf)) {
      if ((await handle.describe()).status.name === 'RUNNING') await handle.terminate('its test failed');
    }
  });

  /** To be started shortly before its step, and woken soon after: a poll that it has open ends about a minute later. */
  const stalling = async (names: readonly Name[], env: Readonly<Record<string, string>> = {}) => {
    const worker = await startStallingWorker(system, { names, env });
    started.push(worker);
    return worker;
  };
  const healthy = async (...names: readonly Name[]): Promise<{ kill: () => Promise<void> }> => {
    const worker = await system.startWorkers(...names);
    started.push(worker);
    return worker;
  };
  const place = async (): Promise<string> => {
    const { status, body } = await system.shop.place({ items: [MUG], prefer: 'respond-async' });
    assert.equal(status, 202);
    const orderId = String(body['orderId']);
    placed.push(orderId);
    return orderId;
  };
  const handleOf = (orderId: string) => system.temporal.workflow.getHandle(checkoutWorkflowId(orderId));
  const isCharged = (orderId: string) =>
    eventually('the gateway has charged', async () => {
      const { gateway } = await factsOf(system, orderId);
      return gateway.length > 0 ? gateway : undefined;
    });
  /** Every effect of an order, once; where versions count its own changes, with them. */
  const effectsOf = async (orderId: string) => {
    const { header, ledger, history, payment, gateway } = await factsOf(system, orderId);
    assert.deepEqual(await leakedStock(system), []);
    return {
      header,
      ledger: ledger.map(({ type }) => type),
      stockEvents: (await outboxOf(system, orderId, 'platform')).map((event) => event.split(' ')[0]),
      history: history.map(({ status, version }) => `${status} v${version}`),
      orderEvents: await outboxOf(system, orderId, 'order'),
      payment: payment?.status,
      paymentEvents: await outboxOf(system, orderId, 'payment'),
      gateway: gateway.map(({ kind }) => kind),
    };
  };
  const SOLD_ONCE = {
    header: 'COMMITTED',
    ledger: ['RESERVED', 'COMMITTED'],
    stockEvents: ['InventoryReserved', 'InventoryCommitted'],
    history: ['PENDING v1', 'PAID v2'],
    orderEvents: ['OrderCreated v1', 'OrderPaid v2'],
    payment: 'CAPTURED',
    paymentEvents: ['PaymentPending v1', 'PaymentCompleted v2'],
    gateway: ['CAPTURE'],
  };

  it('has one effect when frozen copies of reserveStock and createOrder begin after the order is sold', async () => {
    const steps = [
      ['inventory-worker', 'reserveStock'],
      ['order-worker', 'createOrder'],
    ] as const;
    const late: StallingWorker[] = [];
    let orderId = '';
    for (const [i, [name, step]] of steps.entries()) {
      const worker = await stalling([name]);
      worker.freeze();
      late.push(worker);
      // The second copy of the step before is let in only now, so that this step finds the frozen worker alone.
      const before = steps[i - 1];
      if (before === undefined) orderId = await place();
      else await healthy(before[0]);
      await worker.takes(orderId, step);
    }
    await healthy('order-worker', 'payment-worker');
    assert.deepEqual(await handleOf(orderId).result(), { status: 'COMPLETED' });
    const attempts = { reserveStock: 2, createOrder: 2, capturePayment: 1, markOrderPaid: 1, commitStock: 1 };
    assert.deepEqual(await attemptsOf(system, orderId), attempts);

    const ends = await Promise.all(late.map((worker, i) => worker.wakes(steps[i]?.[1] ?? '')));
    assert.deepEqual(ends, [{ reserveStock: undefined }, { createOrder: undefined }], 'both get the first answer');
    assert.deepEqual(await effectsOf(orderId), SOLD_ONCE);
  });

  it('charges once when a frozen copy of capturePayment begins after the order is sold', async () => {
    await healthy('inventory-worker', 'order-worker');
    const late = await stalling(['payment-worker']);
    late.freeze();
    const orderId = await place();
    await late.takes(orderId, 'capturePayment');
    await healthy('payment-worker');
    assert.deepEqual(await handleOf(orderId).result(), { status: 'COMPLETED' });
    assert.equal((await attemptsOf(system, orderId))['capturePayment'], 2);

    assert.deepEqual(await late.wakes('capturePayment'), { capturePayment: undefined });
    assert.deepEqual(await effectsOf(orderId), SOLD_ONCE);
  });

  it('has one effect when copies freeze between charge and record, and before the order is paid and the stock sold', async () => {
    const first = await healthy('inventory-worker', 'order-worker');
    const charging = await stalling(['payment-worker'], { GATEWAY_TIMEOUT_MS: String(HELD_MS) });
    await system.fault({ route: 'confirm', kind: 'hold', ms: HELD_MS });
    const orderId = await place();
    await isCharged(orderId);
    charging.freeze();
    charging.cutOff();
    await system.clearFaults(); // the gateway's answer now lies in the frozen copy's socket
    await first.kill();

    // The second copy is held while it looks the charge up, so that the next steps find a worker that is frozen.
    const store = await stalling(['inventory-worker', 'order-worker']);
    await system.fault({ route: 'lookup', kind: 'hold', ms: HELD_MS });
    await healthy('payment-worker');
    await attemptStarted(system, orderId, 'capturePayment', 2);
    store.freeze();
    await system.clearFaults();
    await store.takes(orderId, 'markOrderPaid', 'commitStock');
    assert.deepEqual(await charging.wakes('capturePayment'), { capturePayment: undefined });
    await healthy('inventory-worker', 'order-worker');
    assert.deepEqual(await handleOf(orderId).result(), { status: 'COMPLETED' });
    const attempts = { reserveStock: 1, createOrder: 1, capturePayment: 2, markOrderPaid: 2, commitStock: 2 };
    assert.deepEqual(await attemptsOf(system, orderId), attempts);

    const ends = await store.wakes('markOrderPaid', 'commitStock');
    assert.deepEqual(ends, { markOrderPaid: undefined, commitStock: undefined });
    assert.deepEqual(await effectsOf(orderId), SOLD_ONCE);
  });

  it('undoes once, and refunds a charge once, when a copy of every undo and of the charge itself comes late', async () => {
    const first = await healthy('inventory-worker', 'order-worker');
    const charging = await stalling(['payment-worker'], { GATEWAY_TIMEOUT_MS: String(HELD_MS) });
    await system.fault({ route: 'confirm', kind: 'hold', ms: HELD_MS });
    const orderId = await place();
    await isCharged(orderId);
    charging.freeze();
    charging.cutOff();
    await system.clearFaults();
    await first.kill();
    assert.equal((await system.shop.cancel(orderId)).status, 202, 'the charge in flight is waited for');

    // Every worker is woken when the second copy of its step has ended: the next step has begun.
    await sleep(UNTIL_CHARGE_IS_NEARLY_GIVEN_UP_MS);
    const abandoning = await stalling(['payment-worker']);
    abandoning.freeze();
    await abandoning.takes(orderId, 'abandonPayment');
    const stock = await stalling(['inventory-worker']);
    stock.freeze();
    const second = await healthy('payment-worker');
    await stock.takes(orderId, 'releaseStock');
    await second.kill();
    assert.deepEqual(await abandoning.wakes('abandonPayment'), { abandonPayment: undefined });
    assert.deepEqual(await charging.wakes('capturePayment'), {
      capturePayment: `the payment of order ${orderId} was given up`,
    });

    const orders = await stalling(['order-worker']);
    orders.freeze();
    await healthy('inventory-worker');
    await orders.takes(orderId, 'closeOrder');
    assert.deepEqual(await stock.wakes('releaseStock'), { releaseStock: undefined });

    const settling = await stalling(['payment-worker']);
    settling.freeze();
    await healthy('order-worker');
    await settling.takes(orderId, 'settleWithGateway');
    assert.deepEqual(await orders.wakes('closeOrder'), { closeOrder: undefined });

    await healthy('payment-worker');
    assert.deepEqual(await handleOf(orderId).result(), { status: 'CANCELLED', code: 'CHECKOUT_CANCELLED' });
    assert.deepEqual(await settling.wakes('settleWithGateway'), { settleWithGateway: undefined });
    assert.deepEqual(await attemptsOf(system, orderId), {
      ...{ reserveStock: 1, createOrder: 1, capturePayment: 1 },
      ...{ abandonPayment: 2, releaseStock: 2, closeOrder: 2, settleWithGateway: 2, recordSettlement: 1 },
    });
    assert.deepEqual(await effectsOf(orderId), {
      header: 'RELEASED',
      ledger: ['RESERVED', 'RELEASED'],
      stockEvents: ['InventoryReserved', 'InventoryReleased'],
      history: ['PENDING v1', 'CANCELLED v2', 'CANCELLED v2'], // the last says what was given back
      orderEvents: ['OrderCreated v1', 'OrderCancelled v2'],
      payment: 'REFUNDED',
      paymentEvents: ['PaymentPending v1', 'PaymentCompleted v2', 'PaymentRefunded v3'],
      gateway: ['CAPTURE', 'REFUND'],
    });
  });

  it('lets no copy that freezes inside its transaction hold up the next, nor commit after it', async () => {
    /** Freezes a worker when it is about to commit. */
    const freezeBeforeCommit = async (late: StallingWorker, wire: 'platform' | 'order', nth: number) => {
      const { held, release } = late.wires[wire].holdBefore('COMMIT', nth);
      await held;
      late.freeze();
      late.cutOff();
      return release;
    };
    const stock = await stalling(['inventory-worker']);
    const orders = await stalling(['order-worker']);
    const reserving = freezeBeforeCommit(stock, 'platform', 1);
    const creating = freezeBeforeCommit(orders, 'order', 1);
    await healthy('payment-worker');
    const orderId = await place();
    const letGo = [await reserving];
    await healthy('inventory-worker');
    letGo.push(await creating);
    await healthy('order-worker');
    assert.deepEqual(await handleOf(orderId).result(), { status: 'COMPLETED' });
    const attempts = { reserveStock: 2, createOrder: 2, capturePayment: 1, markOrderPaid: 1, commitStock: 1 };
    assert.deepEqual(await attemptsOf(system, orderId), attempts);

    for (const release of letGo) release();
    const { reserveStock } = await stock.wakes('reserveStock');
    const { createOrder } = await orders.wakes('createOrder');
    for (const end of [reserveStock, createOrder]) assert.match(end ?? '', /connection|closed|Query read timeout/i);
    assert.deepEqual(await effectsOf(orderId), SOLD_ONCE);
  });
});
