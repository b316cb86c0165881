import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { factsOf, leakedStock, outboxOf, stockOf } from '../support/saga-facts.ts';
import { attemptsOf, type StallingWorker, startStallingWorker } from '../support/stalling-worker.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const MUG = { productId: '101', variantId: '1011' };
const COASTER = { productId: '102' };
const PLENTY = 10_000;

describe('a step whose worker freezes until others have given it up', function () {
  this.timeout(180_000);
  let system: TestSystem;
  /** What a test started: ended after it also when it failed, or it would serve the next test's order. */
  const started: { kill: () => Promise<void> }[] = [];

  before(async () => {
    system = await startSystem();
    await system.startWorkers('checkout-worker', 'order-worker', 'payment-worker');
  });
  after(() => system.stop());
  afterEach(() => Promise.all(started.splice(0).map((worker) => worker.kill())));

  const stallingInventory = async (): Promise<StallingWorker> => {
    const worker = await startStallingWorker(system, { names: ['inventory-worker'] });
    started.push(worker);
    return worker;
  };
  const secondInventory = async (): Promise<Child> => {
    const worker = await system.startWorkers('inventory-worker');
    started.push(worker);
    return worker;
  };
  const place = async (line: Readonly<{ productId: string; variantId?: string }>, key = randomUUID()) => {
    const { status, body } = await system.shop.place({
      items: [{ ...line, quantity: 1 }],
      prefer: 'respond-async',
      key,
    });
    assert.equal(status, 202);
    return String(body['orderId']);
  };
  const ended = (orderId: string): Promise<unknown> =>
    system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
  const leave = async (units: number) => {
    const { available } = await stockOf(system, COASTER.productId, null);
    await system.shop.adjust(COASTER, units - available);
  };
  /** An order that nobody will ever see: nothing was taken from the shelf, from the customer or told to anyone. */
  const nothingHappened = async (orderId: string, header: string): Promise<void> => {
    const facts = await factsOf(system, orderId);
    const nothing = { ledger: [], order: undefined, history: [], payment: undefined, gateway: [] };
    assert.deepEqual(facts, { header, ...nothing });
    for (const database of ['platform', 'order', 'payment'] as const) {
      assert.deepEqual(await outboxOf(system, orderId, database), []);
    }
    assert.deepEqual(await leakedStock(system), []);
  };

  it('reserves nothing after a later attempt was refused and the checkout closed, although stock is back', async () => {
    const late = await stallingInventory();
    late.freeze();
    const orderId = await place(COASTER);
    await late.takes(orderId, 'reserveStock');
    await leave(0);
    const second = await secondInventory();
    const detail = [{ lineNo: 1, asked: 1, available: 0 }];
    assert.deepEqual(await ended(orderId), { status: 'REJECTED', code: 'OUT_OF_STOCK', detail });
    assert.deepEqual(await attemptsOf(system, orderId), { reserveStock: 2 });

    await leave(PLENTY);
    assert.deepEqual(await late.wakes('reserveStock'), { reserveStock: '1 of 1 lines are short' });
    await nothingHappened(orderId, 'REFUSED');
    const { available, reserved } = await stockOf(system, COASTER.productId, null);
    assert.deepEqual({ available, reserved }, { available: PLENTY, reserved: 0 });
    assert.equal(await second.stop(), 0);
  });

  it('is refused by the mark of its undo when the checkout was cancelled meanwhile', async () => {
    const late = await stallingInventory();
    late.freeze();
    const orderId = await place(COASTER);
    await late.takes(orderId, 'reserveStock');
    const second = await secondInventory();
    assert.ok([200, 202].includes((await system.shop.cancel(orderId)).status));
    assert.deepEqual(await ended(orderId), { status: 'CANCELLED', code: 'CHECKOUT_CANCELLED' });
    const undos = { abandonPayment: 1, releaseStock: 1, closeOrder: 1, settleWithGateway: 1 };
    assert.deepEqual(await attemptsOf(system, orderId), { reserveStock: 1, ...undos });
    const before = await stockOf(system, COASTER.productId, null);

    assert.deepEqual(await late.wakes('reserveStock'), { reserveStock: `order ${orderId} was given up` });
    await nothingHappened(orderId, 'RELEASED');
    assert.deepEqual(await stockOf(system, COASTER.productId, null), before);
    assert.equal(await second.stop(), 0);
  });

  it('keeps the price of its first attempt when that was committed, its answer lost and the price changed', async () => {
    const late = await stallingInventory();
    const committed = late.wires.platform.muteAfter('COMMIT');
    const key = randomUUID();
    const orderId = await place(MUG, key);
    await committed;
    late.freeze();
    late.cutOff();
    const first = await eventually('the first reservation is there', () => reservedTotal(orderId));
    await system.query('platform', 'update product_variants set price = $1 where id = $2', [
      first + 700,
      MUG.variantId,
    ]);

    const second = await secondInventory();
    assert.deepEqual(await ended(orderId), { status: 'COMPLETED' });
    assert.equal((await attemptsOf(system, orderId))['reserveStock'], 2);
    await late.wires.platform.close();
    assert.match(
      (await late.wakes('reserveStock'))['reserveStock'] ?? '',
      /connection|Query read timeout/i,
      'it never heard of its commit',
    );

    const { header, ledger, order, payment, gateway } = await factsOf(system, orderId);
    assert.deepEqual([header, order?.status], ['COMMITTED', 'PAID']);
    assert.deepEqual(
      ledger.map(({ type }) => type),
      ['RESERVED', 'COMMITTED'],
    );
    assert.deepEqual(payment, { status: 'CAPTURED', captured: first, refunded: 0 });
    assert.deepEqual(gateway, [{ kind: 'CAPTURE', amount: first }]);
    assert.deepEqual((await system.shop.order(orderId)).body['total'], { minor: first, currency: 'KRW' });
    assert.deepEqual(await leakedStock(system), []);

    const next = await place(MUG);
    assert.deepEqual(await ended(next), { status: 'COMPLETED' });
    assert.equal(await reservedTotal(next), first + 700, 'whoever comes later pays the new price');
    assert.equal(await second.stop(), 0);
  });

  /** What a reservation says that the order costs, minor units. */
  const reservedTotal = async (orderId: string): Promise<number | undefined> => {
    const [row] = await system.query<{ total: number }>(
      'platform',
      `select (answer #>> '{total,minor}')::int as total from inventory_orders where order_id = $1`,
      [orderId],
    );
    return row?.total;
  };
});
