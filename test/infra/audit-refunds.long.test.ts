import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { refundWorkflowId, webhookWorkflowId } from '../../domain/workflow-ids.ts';
import { paymentIdFor, settlementIdFor } from '../../events/ids.ts';
import { type AuditedShop, brokenIn, MUG, openAuditedShop, SIMPLE } from '../support/audited-shop.ts';

const CART = [
  { item: MUG, quantity: 3 },
  { item: SIMPLE, quantity: 2 },
];

describe('the audit of money and units that go back', function () {
  this.timeout(60_000);
  let shop: AuditedShop;
  /** What earlier tests have broken. */
  let known: Set<string>;

  before(async () => {
    shop = await openAuditedShop();
  });
  after(() => shop.close());
  beforeEach(async () => {
    known = new Set(brokenIn(await shop.audit()));
  });

  /** What this test has broken. */
  const broken = async (): Promise<string[]> => brokenIn(await shop.audit()).filter((row) => !known.has(row));
  const refund = (refundId: string, set: string) =>
    shop.damage('payment', `update refunds set ${set} where id = $1`, [refundId]);

  it('finds nothing in a shop that refunded by amount, by line and in full, with and without returned stock', async () => {
    const input = await shop.paid(CART);
    await shop.refunded(input, { amount: { minor: 1_000, currency: 'KRW' } });
    await shop.refunded(input, { lines: [{ lineNo: 1, quantity: 2, restock: true }] });
    await shop.refunded(input, { lines: [{ lineNo: 2, quantity: 1, restock: false }] });
    await shop.refunded(await shop.paid(CART), {});
    await shop.cancelled();
    await shop.mismatched();
    const { findings, inProgress, unknown, invariants } = await shop.audit();
    assert.deepEqual({ findings, inProgress, unknown }, { findings: [], inProgress: [], unknown: [] });
    const looked = Object.fromEntries(invariants.map(({ id, looked }) => [id, looked]));
    assert.deepEqual([looked[3], looked[9]], [4 + 6, 4 + 4]);
  });

  it("lets a refund that failed count for nothing, and its line in the order's history for no refund", async () => {
    const input = await shop.paid(CART);
    await shop.refundFailed(input, { lines: [{ lineNo: 1, quantity: 3, restock: true }] });
    assert.deepEqual(await broken(), []);
    await shop.refunded(input, { lines: [{ lineNo: 1, quantity: 3, restock: true }] });
    assert.deepEqual(await broken(), []);
  });

  it('6: names a refund that is PENDING, and only lists it while its workflow runs', async () => {
    const input = await shop.paid(CART);
    const { refundId } = await shop.begun(input, { lines: [{ lineNo: 1, quantity: 1, restock: true }] });
    assert.deepEqual(await broken(), [`6 refund ${refundId}`]);
    const end = await shop.openWorkflow(refundWorkflowId(refundId));
    assert.deepEqual(await broken(), []);
    await end();
  });

  it('5: names a refund that the gateway made and nobody finished, and excuses it while its workflow runs', async () => {
    const input = await shop.paid(CART);
    const { refundId } = await shop.begun(input, { amount: { minor: 700, currency: 'KRW' } });
    await shop.refunds.refundAtGateway({ refundId });
    const rows = [`5 payment ${input.paymentId}`, `6 refund ${refundId}`];
    assert.deepEqual(await broken(), rows);
    const end = await shop.openWorkflow(refundWorkflowId(refundId));
    const { inProgress } = await shop.audit();
    assert.deepEqual(inProgress.map(({ invariant, row }) => `${invariant} ${row}`).sort(), rows);
    await end();
  });

  it('3: names an order that does not know of a finished refund, and a payment whose refunds pass its capture', async () => {
    const [unrecorded, over] = [await shop.paid(CART), await shop.paid(CART)];
    const { refundId } = await shop.begun(unrecorded, { amount: { minor: 500, currency: 'KRW' } });
    await shop.refunds.finishRefund({ refundId, ...(await shop.refunds.refundAtGateway({ refundId })) });
    const first = await shop.begun(over, { amount: { minor: 500, currency: 'KRW' } });
    await refund(first.refundId, 'amount = 100000000');
    assert.deepEqual(
      await broken(),
      [
        `3 order ${unrecorded.orderId}`,
        `3 payment ${over.paymentId}`,
        `6 refund ${first.refundId}`,
        `9 refund ${first.refundId}`,
      ].sort(),
    );
  });

  it('3: names a refund in a currency that was not captured', async () => {
    const input = await shop.paid(CART);
    const { refundId } = await shop.refunded(input, { amount: { minor: 500, currency: 'KRW' } });
    await refund(refundId, `currency = 'USD'`);
    assert.deepEqual(await broken(), [`3 payment ${input.paymentId}`, `9 refund ${refundId}`].sort());
  });

  it('5: names a payment that says another sum than its refunds, a settlement among them', async () => {
    const [input, cancelled] = [await shop.paid(CART), await shop.cancelled()];
    const { refundId } = await shop.refunded(input, { amount: { minor: 500, currency: 'KRW' } });
    await refund(refundId, `status = 'FAILED'`);
    await refund(settlementIdFor(cancelled.orderId), 'amount = amount - 1');
    assert.deepEqual(
      await broken(),
      [`5 payment ${input.paymentId}`, `5 payment ${paymentIdFor(cancelled.orderId)}`].sort(),
    );
  });

  it('3: names the line of which more units came back than were ordered', async () => {
    const input = await shop.paid(CART);
    const { refundId } = await shop.refunded(input, { lines: [{ lineNo: 2, quantity: 1, restock: false }] });
    await shop.damage('payment', `update refund_lines set quantity = 3 where refund_id = $1`, [refundId]);
    assert.deepEqual(await broken(), [`3 line 2 of order ${input.orderId}`, `9 refund ${refundId}`]);
  });

  it('3: names returned units that are not in the ledger, in another quantity, or in it for no refund', async () => {
    const orders = [await shop.paid(CART), await shop.paid(CART), await shop.paid(CART), await shop.paid(CART)];
    const returned = await Promise.all(
      orders.map((input) => shop.refunded(input, { lines: [{ lineNo: 1, quantity: 2, restock: true }] })),
    );
    const [missing, fewer, failed, unasked] = returned.map(({ refundId }) => refundId);
    // What the ledger folds to is another invariant: the rows stay, under a name that is nobody's.
    const stranger = randomUUID();
    await shop.damage('platform', `update inventory_events set reference_id = $2 where reference_id = $1`, [
      ...[missing, stranger],
    ]);
    await shop.damage('payment', `update refund_lines set quantity = 1 where refund_id = $1`, [fewer]);
    await shop.damage('payment', `update refund_lines set restock = false where refund_id = $1`, [unasked]);
    await shop.damage('payment', `update refunds set status = 'FAILED' where id = $1`, [failed]);
    const found = await broken();
    assert.deepEqual(
      found.filter((row) => row.startsWith('3')),
      [...[missing, fewer, failed, unasked].map((id) => `3 refund ${id}`), `3 return ${stranger}`].sort(),
    );
  });

  it('2: names a line that counts other units as returned than the ledger, and one whose return is in no ledger', async () => {
    const [counted, lost] = [await shop.paid(CART), await shop.paid(CART)];
    const lines = [{ lineNo: 1, quantity: 1, restock: true }];
    const [, { refundId }] = [await shop.refunded(counted, { lines }), await shop.refunded(lost, { lines })];
    await shop.damage('platform', `update inventory_reservations set returned_quantity = 2 where order_id = $1`, [
      counted.orderId,
    ]);
    await shop.damage('platform', `update inventory_events set reference_type = 'OTHER' where reference_id = $1`, [
      refundId,
    ]);
    const orders = [counted, lost].map(({ orderId }) => `2 order ${orderId}`);
    assert.deepEqual(await broken(), [...orders, `3 refund ${refundId}`].sort());
  });

  it('3: names returned units of stock that was never sold', async () => {
    const input = await shop.paid(CART);
    const { refundId } = await shop.refunded(input, { lines: [{ lineNo: 1, quantity: 1, restock: true }] });
    await shop.damage(
      'platform',
      `update inventory_reservations set state = 'RELEASED', returned_quantity = 0 where order_id = $1 and line_no = 1`,
      [input.orderId],
    );
    assert.deepEqual(await broken(), [`2 order ${input.orderId}`, `3 refund ${refundId}`]);
  });

  it('9: names a refund that nobody asked for, one that was answered otherwise, and one that was granted but is gone', async () => {
    const [unasked, other, gone] = await Promise.all(
      [await shop.paid(CART), await shop.paid(CART), await shop.paid(CART)].map((input) =>
        shop.refunded(input, { lines: [{ lineNo: 2, quantity: 1, restock: false }] }),
      ),
    );
    await shop.damage('payment', `delete from refund_requests where id = $1`, [unasked?.refundId]);
    await shop.damage(
      'payment',
      `update refund_requests set answer = jsonb_set(answer, '{amount,minor}', '1') where id = $1`,
      [other?.refundId],
    );
    await shop.damage('payment', `delete from refund_lines where refund_id = $1`, [gone?.refundId]);
    await shop.damage('payment', `delete from refunds where id = $1`, [gone?.refundId]);
    assert.deepEqual(
      (await broken()).filter((row) => row.startsWith('9')),
      [unasked, other, gone].map((one) => `9 refund ${one?.refundId}`).sort(),
    );
  });

  it('9: names a request without an answer, and not one that was refused', async () => {
    const input = await shop.paid(CART);
    await assert.rejects(shop.begun(input, { amount: { minor: 100_000_000, currency: 'KRW' } }));
    assert.deepEqual(await broken(), []);
    const { refundId } = await shop.refunded(input, { amount: { minor: 5, currency: 'KRW' } });
    await shop.damage('payment', `update refund_requests set answer = null where id = $1`, [refundId]);
    assert.deepEqual(await broken(), [`9 refund ${refundId}`]);
  });

  it('excuses an order that a webhook may still put right, until the webhook is closed', async () => {
    const input = await shop.paid(CART);
    await shop.damage('order', `update orders set status = 'CANCELLED', failure_code = 'HOLD_EXPIRED' where id = $1`, [
      input.orderId,
    ]);
    const before = await broken();
    assert.ok(before.includes(`3 order ${input.orderId}`) && before.includes(`4 order ${input.orderId}`));
    await shop.damage(
      'payment',
      `insert into payment_webhooks (provider, event_id, type, provider_payment_id, fields, body_hash)
       select provider, 'evt-late', 'charge.captured', provider_payment_id, '{}', repeat('a', 64)
       from payments where order_id = $1`,
      [input.orderId],
    );
    const end = await shop.openWorkflow(webhookWorkflowId('simulated', 'evt-late'));
    assert.deepEqual(await broken(), []);
    await shop.damage('payment', `update payment_webhooks set outcome = 'UNCHANGED', handled_at = now()`);
    assert.deepEqual(await broken(), before);
    await end();
  });
});
