import assert from 'node:assert/strict';

import { moneyOf, MUG, SHORT_LIMITS } from '../support/money-shop.ts';
import { factsOf, stockOf } from '../support/saga-facts.ts';
import type { Answer } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const PIECES = 4;

describe('refunds of a paid order', function () {
  this.timeout(120_000);
  let system: TestSystem;
  let shop: ReturnType<typeof moneyOf>;

  before(async () => {
    system = await startSystem({ env: SHORT_LIMITS });
    shop = moneyOf(system);
    await system.startWorkers();
  });
  after(() => system.stop());

  /** An order of four mugs. @returns its id and what was paid, minor units */
  const paid = async (): Promise<Readonly<{ orderId: string; minor: number }>> => {
    const { body } = await system.shop.place({ items: [{ ...MUG, quantity: PIECES }], prefer: 'wait=30' });
    const orderId = String(body['orderId']);
    assert.deepEqual(await shop.ended(orderId), { status: 'COMPLETED' });
    const { gateway } = await factsOf(system, orderId);
    return { orderId, minor: gateway[0]?.amount ?? 0 };
  };
  const accepted = (answers: readonly Answer[]): string[] =>
    answers.filter(({ status }) => status === 202).map(({ body }) => String(body['refundId']));
  const refused = (answers: readonly Answer[]): unknown[] =>
    answers.filter(({ status }) => status !== 202).map(({ status, body }) => [status, body['code']]);
  const succeed = async (refundIds: readonly string[]): Promise<void> => {
    for (const refundId of refundIds) assert.deepEqual(await shop.refundEnded(refundId), { status: 'SUCCEEDED' });
  };

  it('never pass what was captured, though twenty at once ask for twice as much', async () => {
    const { orderId, minor } = await paid();
    const part = { minor: minor / 10, currency: 'KRW' };
    assert.ok(Number.isInteger(part.minor));
    const answers = await Promise.all(Array.from({ length: 20 }, () => system.shop.refund(orderId, { amount: part })));
    assert.equal(accepted(answers).length, 10);
    assert.deepEqual(
      refused(answers),
      Array.from({ length: 10 }, () => [409, 'REFUND_EXCEEDS_CAPTURE']),
    );
    await succeed(accepted(answers));
    const { order, payment, kept } = await shop.outcomeOf(orderId);
    assert.deepEqual([order, payment, kept], ['REFUNDED', 'REFUNDED', 'nothing']);
  });

  it('take each unit back once, though all are returned twice at once', async () => {
    const { orderId } = await paid();
    const before = await stockOf(system, MUG.productId, MUG.variantId);
    const lines = [{ lineNo: 1, quantity: PIECES - 1, restock: true }];
    const answers = await Promise.all([system.shop.refund(orderId, { lines }), system.shop.refund(orderId, { lines })]);
    assert.equal(accepted(answers).length, 1);
    assert.deepEqual(refused(answers), [[409, 'REFUND_QUANTITY_EXCEEDED']]);
    await succeed(accepted(answers));
    const { available, reserved } = await stockOf(system, MUG.productId, MUG.variantId);
    assert.deepEqual([available - before.available, reserved - before.reserved], [PIECES - 1, 0]);
    const { order, payment, stock } = await shop.outcomeOf(orderId);
    assert.deepEqual([order, payment, stock], ['PARTIALLY_REFUNDED', 'PARTIALLY_REFUNDED', 'COMMITTED']);
  });

  it('free amount and units when the gateway refuses one for good, and return nothing to stock', async () => {
    const { orderId } = await paid();
    await shop.fault(orderId, { route: 'refund', kind: 'refuse', times: 1 });
    const before = await stockOf(system, MUG.productId, MUG.variantId);
    const lines = [{ lineNo: 1, quantity: PIECES, restock: true }];
    const [first] = accepted([await system.shop.refund(orderId, { lines })]);
    assert.ok(first);
    assert.equal((await shop.refundEnded(first)).status, 'FAILED');
    const { order, kept } = await shop.outcomeOf(orderId);
    assert.deepEqual([order, kept], ['PAID', 'all']);
    assert.equal((await stockOf(system, MUG.productId, MUG.variantId)).available, before.available);
    await succeed(accepted([await system.shop.refund(orderId, { lines })]));
    assert.equal((await stockOf(system, MUG.productId, MUG.variantId)).available, before.available + PIECES);
  });

  it('leave books that agree', () => shop.booksAgree());
});
