import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { eventually } from '../support/eventually.ts';
import type { Answer } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const COASTER = { productId: '102', quantity: 1 };

type Payment = Readonly<{
  method: string;
  status: string;
  instructions: Readonly<{ type: string; bank: string; account: string; reference: string }> | null;
  expiresAt: string | null;
}>;
const paymentIn = ({ body }: Answer) => body['payment'] as Payment;

/** The whole system as processes: the gateway tells the API by webhook that the money has come. */
describe('paying by bank transfer over HTTP', function () {
  this.timeout(120_000);
  let system: TestSystem;
  before(async () => {
    system = await startSystem({ holdMs: 300_000 });
    await system.startWorkers();
  });
  after(() => system.stop());

  const place = async (holdSeconds?: number): Promise<string> => {
    const payment = { method: 'bank_transfer', ...(holdSeconds !== undefined && { holdSeconds }) } as const;
    const { status, body } = await system.shop.place({ items: [COASTER], payment });
    assert.equal(status, 201, JSON.stringify(body));
    return String(body['orderId']);
  };
  const untilShown = (orderId: string) =>
    eventually(`order ${orderId} shows how to pay`, async () => {
      const answer = await system.shop.order(orderId);
      return paymentIn(answer).instructions === null ? undefined : answer;
    });
  const holdOf = (answer: Answer): number => Date.parse(paymentIn(answer).expiresAt ?? '') - Date.now();

  it('shows where to pay until when, and the order as paid once the money has come', async () => {
    const orderId = await place();
    const waiting = await untilShown(orderId);
    const { method, status, instructions } = paymentIn(waiting);
    assert.deepEqual([method, status, instructions?.type], ['bank_transfer', 'AWAITING_CONFIRMATION', 'bank_transfer']);
    assert.equal(waiting.body['status'], 'PENDING');
    const left = holdOf(waiting);
    assert.ok(left > 270_000 && left <= 300_000, `${left} ms are left`);

    const transferred = await fetch(`${system.gatewayUrl}/transfers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ account: instructions?.account }),
    });
    assert.equal(transferred.status, 200, await transferred.text());
    const paid = await eventually('the order is paid', async () => {
      const answer = await system.shop.order(orderId);
      return answer.body['status'] === 'PAID' ? answer : undefined;
    });
    assert.deepEqual([paymentIn(paid).instructions, paymentIn(paid).expiresAt], [null, null]);
    assert.notEqual(paid.headers.get('etag'), waiting.headers.get('etag'));
    const events = await system.query('payment', "select 1 from payment_webhooks where type = 'charge.captured'");
    assert.equal(events.length, 1);
  });

  it('is told how to pay at once, also who would wait for the end', async () => {
    const payment = { method: 'bank_transfer' } as const;
    const key = randomUUID();
    for (const status of [201, 200]) {
      const answer = await system.shop.place({ items: [COASTER], payment, prefer: 'wait=60', key });
      assert.deepEqual([answer.status, answer.body['status']], [status, 'PENDING'], JSON.stringify(answer.body));
      assert.equal(paymentIn(answer).instructions?.type, 'bank_transfer');
    }
  });

  it('holds the stock for the shorter of what the shopper asks for and what the shop allows', async () => {
    const [short, long] = [await untilShown(await place(60)), await untilShown(await place(86_400))];
    assert.ok(holdOf(short) <= 60_000 && holdOf(short) > 30_000, `${holdOf(short)} ms are left`);
    assert.ok(holdOf(long) <= 300_000 && holdOf(long) > 270_000, `${holdOf(long)} ms are left`);
  });
});
