import assert from 'node:assert/strict';

import { eventually } from '../support/eventually.ts';
import { BANK, type MoneyShop, openMoneyShop, SOLD, UNSOLD } from '../support/money-shop.ts';
import { factsOf } from '../support/saga-facts.ts';

const CONFIRM = { method: 'card', token: 'tok_requires_confirmation' } as const;
/** The shortest that a shopper may ask for. */
const SHORT_HOLD = { ...BANK, holdSeconds: 10 } as const;

describe('a payment that the shopper must finish', function () {
  this.timeout(120_000);
  let shop: MoneyShop;

  before(async () => {
    shop = await openMoneyShop();
  });
  after(() => shop.system.stop());

  const awaited = async (...[payment, more]: Parameters<MoneyShop['place']>): Promise<string> => {
    const orderId = await shop.place(payment, more);
    await shop.untilCheckout(orderId, 'AWAITING_PAYMENT');
    return orderId;
  };
  const completes = async (orderId: string): Promise<void> => {
    assert.deepEqual(await shop.ended(orderId), { status: 'COMPLETED' });
    assert.deepEqual(await shop.outcomeOf(orderId), SOLD);
  };
  const expires = async (orderId: string): Promise<void> => {
    const { status, code } = await shop.ended(orderId);
    assert.deepEqual([status, code], ['EXPIRED', 'HOLD_EXPIRED']);
  };

  it('shows how to pay by bank transfer, and is paid when the money arrives', async () => {
    const orderId = await awaited(BANK);
    const { body } = await shop.system.shop.order(orderId);
    const payment = body['payment'] as Record<string, unknown>;
    const instructions = payment['instructions'] as Record<string, unknown>;
    assert.deepEqual([body['status'], payment['status']], ['PENDING', 'AWAITING_CONFIRMATION']);
    assert.equal(instructions['type'], 'bank_transfer');
    for (const part of ['bank', 'account', 'reference']) assert.equal(typeof instructions[part], 'string', part);
    const leftMs = Date.parse(String(payment['expiresAt'])) - Date.now();
    assert.ok(leftMs > 13 * 60_000 && leftMs <= 15 * 60_000, `${leftMs} ms are left`);

    assert.equal(await shop.transfer(orderId), 200);
    await completes(orderId);
  });

  it('is paid by a card that its holder confirms, and refused when the holder declines', async () => {
    const [approved, declined] = [await awaited(CONFIRM), await awaited(CONFIRM)];
    assert.equal(await shop.authorize(approved, 'approve'), 200);
    assert.equal(await shop.authorize(declined, 'decline'), 200);
    await completes(approved);
    const { status, code } = await shop.ended(declined);
    assert.deepEqual([status, code], ['REJECTED', 'PAYMENT_DECLINED']);
    const expected = { ...UNSOLD, order: 'FAILED', payment: 'FAILED', charges: 0 };
    assert.deepEqual(await shop.outcomeOf(declined), expected);
  });

  it('ends with the hold when the bank closes the account, without waiting for it', async () => {
    const orderId = await awaited(BANK);
    assert.equal(await shop.expire(orderId), 200);
    await expires(orderId);
    const { order, ...seen } = await shop.outcomeOf(orderId);
    assert.deepEqual([order, seen.stock, seen.charges], ['CANCELLED', 'RELEASED', 0]);
  });

  it('can be cancelled at once while it waits', async () => {
    const orderId = await awaited(BANK);
    const { status } = await shop.system.shop.cancel(orderId);
    assert.ok(status === 200 || status === 202, `cancel answered ${status}`);
    assert.equal((await shop.ended(orderId)).status, 'CANCELLED');
    const expected = { ...UNSOLD, order: 'CANCELLED', payment: 'CANCELLED', charges: 0 };
    assert.deepEqual(await shop.outcomeOf(orderId), expected);
    assert.equal(await shop.transfer(orderId), 409, 'the account is closed');
  });

  it('keeps to the hold: expired, paid without a webhook, and paid so late that it is given back', async () => {
    const lost = shop.nextOrder();
    await shop.fault(lost.orderId, { kind: 'webhook', mode: 'lose', times: 20 });
    const [expired, late] = [await awaited(SHORT_HOLD), await awaited(SHORT_HOLD)];
    await awaited(SHORT_HOLD, { key: lost.key });
    // The account stays open a while after the order is closed: the gateway fails to close it.
    await shop.fault(late, { route: 'cancel', kind: 'status', status: 503, times: 4 });
    assert.equal(await shop.transfer(lost.orderId), 200);

    await shop.untilOrder(late, 'CANCELLED');
    assert.equal(await shop.transfer(late), 200);
    await completes(lost.orderId);
    await expires(expired);
    await expires(late);
    const closed = { ...UNSOLD, order: 'CANCELLED' };
    assert.deepEqual(await shop.outcomeOf(expired), { ...closed, payment: 'CANCELLED', charges: 0 });
    assert.deepEqual(await shop.outcomeOf(late), { ...closed, payment: 'REFUNDED', charges: 1 });
    const lines = await eventually('the order tells of the money that came too late', async () => {
      const { history } = await factsOf(shop.system, late);
      const told = history.filter(({ status, reason }) => `${status} ${reason}`.includes('LATE_PAYMENT_REFUNDED'));
      return told.length > 0 ? told : undefined;
    });
    assert.equal(lines.length, 1, 'once, whoever noticed');
    const { gateway } = await factsOf(shop.system, late);
    assert.deepEqual(
      gateway.map(({ kind }) => kind),
      ['CAPTURE', 'REFUND'],
    );
  });

  it('gives another amount than was asked for back, and calls a person', async () => {
    const orderId = await awaited(BANK);
    assert.equal(await shop.transfer(orderId, { minor: 1, currency: 'KRW' }), 200);
    await shop.untilCheckout(orderId, 'NEEDS_ATTENTION');
    const expected = { ...UNSOLD, order: 'FAILED', payment: 'REFUNDED', charges: 1 };
    assert.deepEqual(await shop.outcomeOf(orderId), expected);
    const { status } = await shop.system.shop.resolve(orderId, { action: 'markDone', reason: 'the shopper was told' });
    assert.equal(status, 200);
    assert.equal((await shop.ended(orderId)).code, 'PAYMENT_AMOUNT_MISMATCH');
  });

  it('leaves books that agree', () => shop.booksAgree());
});
