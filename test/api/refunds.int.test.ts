import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { refundWorkflowId } from '../../domain/workflow-ids.ts';
import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import type { Answer } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

/** ₩3,500 each. */
const COASTERS = { productId: '102', quantity: 4 };
const won = (minor: number) => ({ minor, currency: 'KRW' });

/** The API as its own process, with real workers and the gateway behind it. */
describe('refunding an order over HTTP', function () {
  this.timeout(120_000);
  let system: TestSystem;
  let workers: Child;
  before(async () => {
    system = await startSystem();
    workers = await system.startWorkers();
  });
  after(() => system.stop());

  const paidOrder = async (): Promise<string> => {
    const { status, body } = await system.shop.place({ items: [COASTERS], prefer: 'wait=30' });
    assert.equal(body['status'], 'PAID', `${status} ${JSON.stringify(body)}`);
    return String(body['orderId']);
  };
  const untilRefunded = (orderId: string, minor: number) =>
    eventually(`order ${orderId} has ${minor} refunded`, async () => {
      const { body } = await system.shop.order(orderId);
      return (body['refunded'] as { minor: number }).minor === minor ? body : undefined;
    });
  const refundsOf = (orderId: string) =>
    system.query<{ amount: number; status: string }>(
      'payment',
      `select r.amount::int as amount, r.status from refunds r join payments p on p.id = r.payment_id
       where p.order_id = $1 order by r.requested_at`,
      [orderId],
    );
  /** The payment is the last to hear of a refund: the order shows it before. */
  const untilOnly = (orderId: string, amount: number) =>
    eventually(`one refund of ${amount} has succeeded`, async () => {
      const refunds = await refundsOf(orderId);
      assert.deepEqual(
        refunds.map((refund) => refund.amount),
        [amount],
      );
      return refunds[0]?.status === 'SUCCEEDED' ? true : undefined;
    });
  const brief = ({ status, body, headers }: Answer) => ({
    status,
    ...(body['code'] === undefined ? { amount: body['amount'] } : { code: body['code'] }),
    replayed: headers.get('idempotent-replayed') === 'true',
  });

  it('answers 202 with what is given back, and the same again under the same key', async () => {
    const orderId = await paidOrder();
    const key = randomUUID();
    const body = { lines: [{ lineNo: 1, quantity: 1, restock: true }] };
    const first = await system.shop.refund(orderId, body, key);
    assert.deepEqual(brief(first), { status: 202, amount: won(3_500), replayed: false });
    assert.equal(first.headers.get('location'), `/v1/orders/${orderId}`);
    assert.equal(first.body['status'], 'PENDING');
    const again = await system.shop.refund(orderId, body, key);
    assert.deepEqual(brief(again), { status: 202, amount: won(3_500), replayed: true });
    assert.equal(again.body['refundId'], first.body['refundId']);
    assert.deepEqual(brief(await system.shop.refund(orderId, {}, key)), {
      ...{ status: 422, code: 'IDEMPOTENCY_KEY_REUSED', replayed: false },
    });

    const order = await untilRefunded(orderId, 3_500);
    assert.equal(order['status'], 'PARTIALLY_REFUNDED');
    await untilOnly(orderId, 3_500);
    const late = await system.shop.refund(orderId, body, key);
    assert.deepEqual([late.status, late.body], [202, { ...first.body, status: 'SUCCEEDED' }], 'after its end');
  });

  it('says under the same key that the gateway did not give the money back, and another key may try again', async () => {
    const orderId = await paidOrder();
    await system.fault({ orderId, route: 'refund', kind: 'refuse', times: 1 });
    const key = randomUUID();
    const first = await system.shop.refund(orderId, {}, key);
    assert.deepEqual([first.status, first.body['status'], first.body['failureCode']], [202, 'PENDING', null]);
    const failed = await eventually('the refund has failed', async () => {
      const answer = await system.shop.refund(orderId, {}, key);
      return answer.body['status'] === 'PENDING' ? undefined : answer;
    });
    assert.deepEqual(
      [brief(failed).replayed, failed.body],
      [true, { ...first.body, status: 'FAILED', failureCode: 'refund_refused' }],
    );
    const told = async (token?: string) => JSON.stringify((await system.shop.order(orderId, token)).body['history']);
    assert.match(
      await told(system.shop.tokens.admin),
      /REFUND_FAILED 14000 KRW \(refund_refused\): [^"]+","actor":"operator:100"/,
    );
    assert.doesNotMatch(
      await told(),
      /REFUND_FAILED|operator/,
      'what the shop tried in vain is no news for the shopper',
    );
    await system.shop.refund(orderId, {});
    await untilRefunded(orderId, 14_000);
  });

  it("shows the refund in the order's history, and the operator's words to administrators alone", async () => {
    const orderId = await paidOrder();
    await system.shop.refund(orderId, { reason: 'BROKEN-CRATE', amount: won(1_000) });
    const seen = JSON.stringify(await untilRefunded(orderId, 1_000));
    assert.match(seen, /"PARTIALLY_REFUNDED","reason":null,"actor":"shop"/);
    assert.doesNotMatch(seen, /BROKEN-CRATE|operator/);
    const { body } = await system.shop.order(orderId, system.shop.tokens.admin);
    assert.match(JSON.stringify(body['history']), /BROKEN-CRATE.*operator:100/);
  });

  it('makes one refund of requests at once with the same key, and gives back all that is left without an amount', async () => {
    const orderId = await paidOrder();
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 6 }, () => system.shop.refund(orderId, {}, key)));
    for (const { status, body } of answers) assert.deepEqual([status, body['amount']], [202, won(14_000)]);
    assert.equal(new Set(answers.map(({ body }) => body['refundId'])).size, 1);
    assert.equal((await untilRefunded(orderId, 14_000))['status'], 'REFUNDED');
    await untilOnly(orderId, 14_000);
  });

  it('refuses more than is left and says what is, and refuses an order that is not paid, each time the same', async () => {
    const orderId = await paidOrder();
    const [key, key2] = [randomUUID(), randomUUID()];
    const tooMuch = await system.shop.refund(orderId, { amount: won(14_001) }, key);
    assert.deepEqual(brief(tooMuch), { status: 409, code: 'REFUND_EXCEEDS_CAPTURE', replayed: false });
    assert.deepEqual(tooMuch.body['left'], won(14_000));
    assert.equal(tooMuch.body['instance'], `/v1/orders/${orderId}`);
    const again = await system.shop.refund(orderId, { amount: won(14_001) }, key);
    assert.deepEqual([brief(again).replayed, again.body], [true, tooMuch.body]);
    const units = await system.shop.refund(orderId, { lines: [{ lineNo: 1, quantity: 5 }] });
    assert.deepEqual(brief(units), { status: 409, code: 'REFUND_QUANTITY_EXCEEDED', replayed: false });
    const unknown = { lines: [{ lineNo: 2, quantity: 1 }] };
    const line = await system.shop.refund(orderId, unknown, key2);
    assert.deepEqual(brief(line), { status: 422, code: 'INVALID_REQUEST', replayed: false });
    assert.deepEqual(line.body['errors'], [{ pointer: '/lines/0/lineNo', message: 'the order has no line 2' }]);
    const repeated = await system.shop.refund(orderId, unknown, key2);
    assert.deepEqual([repeated.status, brief(repeated).replayed, repeated.body], [422, true, line.body]);
    const dollars = await system.shop.refund(orderId, { amount: { minor: 1, currency: 'USD' } });
    assert.deepEqual(brief(dollars), { status: 422, code: 'INVALID_REQUEST', replayed: false });
    assert.match(JSON.stringify(dollars.body['errors']), /"pointer":"\/amount\/currency"/);

    const { body } = await system.shop.place({ items: [COASTERS], payment: { method: 'bank_transfer' } });
    const unpaid = String(body['orderId']);
    const other = randomUUID();
    const notPaid = await system.shop.refund(unpaid, {}, other);
    assert.deepEqual(brief(notPaid), { status: 409, code: 'ORDER_NOT_REFUNDABLE', replayed: false });
    const notPaidAgain = await system.shop.refund(unpaid, {}, other);
    assert.deepEqual([brief(notPaidAgain).replayed, notPaidAgain.body], [true, notPaid.body]);
    assert.deepEqual(await refundsOf(orderId), []);
    await system.shop.cancel(unpaid);
  });

  it('lets a refund that was terminated before it was on record go on when it is asked for again', async () => {
    const orderId = await paidOrder();
    await workers.stop();
    const key = randomUUID();
    const early = await system.shop.refund(orderId, {}, key);
    assert.deepEqual(brief(early), { status: 202, amount: null, replayed: false }, 'nobody can tell the amount yet');
    const refundId = String(early.body['refundId']);
    await system.temporal.workflow.getHandle(refundWorkflowId(refundId)).terminate('lost');
    workers = await system.startWorkers();
    const again = await system.shop.refund(orderId, {}, key);
    assert.deepEqual(brief(again), { status: 202, amount: won(14_000), replayed: true });
    assert.equal(again.body['refundId'], refundId);
    await untilRefunded(orderId, 14_000);
    await untilOnly(orderId, 14_000);
  });
});
