import assert from 'node:assert/strict';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { eventually } from '../support/eventually.ts';
import { BANK, type MoneyShop, openMoneyShop, UNSOLD } from '../support/money-shop.ts';
import { factsOf } from '../support/saga-facts.ts';

/** Longer than these tests: a held answer is let go by hand. */
const HELD_MS = 120_000;

describe('a gateway that refuses to undo', function () {
  this.timeout(120_000);
  let shop: MoneyShop;

  before(async () => {
    shop = await openMoneyShop({}, { webhooks: false });
  });
  after(() => shop.system.stop());
  beforeEach(() => shop.system.clearFaults());

  /** Cancelled while the gateway has charged and not answered yet, so that the money must go back. */
  const cancelledOverCapture = async (scripts: readonly Readonly<Record<string, unknown>>[]): Promise<string> => {
    const { key, orderId } = shop.nextOrder();
    await shop.fault(orderId, { route: 'confirm', kind: 'hold', ms: HELD_MS });
    // Before anything runs: once the answer is let go, the undo is faster than another script.
    for (const script of scripts) await shop.fault(orderId, script);
    await shop.place(undefined, { key });
    await eventually('the gateway has charged', async () => {
      const { charges } = await shop.outcomeOf(orderId);
      return charges > 0 ? true : undefined;
    });
    const cancelled = shop.system.shop.cancel(orderId);
    await eventually('the cancel has arrived', async () => {
      const handle = shop.system.temporal.workflow.getHandle(checkoutWorkflowId(orderId));
      const timeline = await handle.query<{ what: string }[]>('timeline');
      return timeline.some(({ what }) => what === 'cancel was accepted') ? true : undefined;
    });
    await shop.system.releaseHolds();
    assert.ok([200, 202].includes((await cancelled).status));
    return orderId;
  };
  /** What the administrator finds, once the search of Temporal has heard of it. */
  const isListed = (orderId: string) =>
    eventually(`order ${orderId} is listed`, async () => {
      const { status, body } = await shop.system.shop.attention();
      assert.equal(status, 200, JSON.stringify(body));
      return (body['items'] as Record<string, unknown>[]).find((item) => item['orderId'] === orderId);
    });

  it('frees stock and closes the order at once, calls a person, and is settled when it gives the money back', async () => {
    const orderId = await cancelledOverCapture([{ route: 'refund', kind: 'refuse', times: 1 }]);
    await shop.untilCheckout(orderId, 'NEEDS_ATTENTION');
    const parked = { stock: 'RELEASED', order: 'CANCELLED', payment: 'CAPTURED', charges: 1, kept: 'all' };
    assert.deepEqual(await shop.outcomeOf(orderId), parked);
    const found = await isListed(orderId);
    assert.equal(found['workflowId'], checkoutWorkflowId(orderId));
    const [step] = found['parked'] as Record<string, unknown>[];
    assert.equal(step?.['step'], 'settleWithGateway');
    assert.match(String(step?.['reason']), /REFUND_REFUSED/);

    const answer = await shop.system.shop.resolve(orderId, { action: 'retry', reason: 'the gateway was asked' });
    assert.deepEqual(answer.status, 200, JSON.stringify(answer.body));
    assert.equal((await shop.ended(orderId)).status, 'CANCELLED');
    const undone = { ...UNSOLD, order: 'CANCELLED', payment: 'REFUNDED', charges: 1 };
    assert.deepEqual(await shop.outcomeOf(orderId), undone);
    const { history } = await factsOf(shop.system, orderId);
    assert.ok(
      history.some(({ reason }) => reason?.includes('the gateway was asked')),
      JSON.stringify(history),
    );
    const again = await shop.system.shop.resolve(orderId, { action: 'retry', reason: 'once more' });
    assert.equal(again.status, 409);
  });

  it('frees stock at once when it does not close the account, and is settled when it does', async () => {
    const orderId = await shop.place(BANK);
    await shop.untilCheckout(orderId, 'AWAITING_PAYMENT');
    await shop.fault(orderId, { route: 'cancel', kind: 'refuse', times: 1 });
    assert.ok([200, 202].includes((await shop.system.shop.cancel(orderId)).status));
    await shop.untilCheckout(orderId, 'NEEDS_ATTENTION');
    const { stock, order } = await shop.outcomeOf(orderId);
    assert.deepEqual([stock, order], ['RELEASED', 'CANCELLED']);
    await shop.system.shop.resolve(orderId, { action: 'retry', reason: 'the account can be closed now' });
    assert.equal((await shop.ended(orderId)).status, 'CANCELLED');
    const undone = { ...UNSOLD, order: 'CANCELLED', payment: 'CANCELLED', charges: 0 };
    assert.deepEqual(await shop.outcomeOf(orderId), undone);
  });

  it('frees stock at once while the gateway does not answer, and is settled without anybody when it does', async () => {
    const orderId = await cancelledOverCapture([{ route: 'refund', kind: 'status', status: 503, times: 3 }]);
    await eventually('the stock is free', async () => {
      const { stock, order, kept } = await shop.outcomeOf(orderId);
      return stock === 'RELEASED' && order === 'CANCELLED' && kept === 'all' ? true : undefined;
    });
    assert.equal((await shop.ended(orderId)).status, 'CANCELLED');
    const undone = { ...UNSOLD, order: 'CANCELLED', payment: 'REFUNDED', charges: 1 };
    assert.deepEqual(await shop.outcomeOf(orderId), undone);
  });

  it('leaves books that agree', () => shop.booksAgree());
});
