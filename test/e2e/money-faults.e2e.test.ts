import assert from 'node:assert/strict';

import { type MoneyShop, openMoneyShop, SOLD, UNSOLD } from '../support/money-shop.ts';

/** What goes wrong when the gateway is asked to charge, and how the order stands in the end all the same. */
type Case = Readonly<{ title: string; token?: string; scripts: readonly Readonly<Record<string, unknown>>[] }>;

const confirm = (kind: string, more: Readonly<Record<string, unknown>> = {}) => ({ route: 'confirm', kind, ...more });

const PAID: readonly Case[] = [
  { title: 'times out after the charge', token: 'tok_timeout_after_charge', scripts: [] },
  { title: 'times out before the charge', token: 'tok_timeout_before_charge', scripts: [] },
  { title: 'times out after the charge at three attempts', scripts: [confirm('hang_after', { times: 3 })] },
  { title: 'times out before the charge at three attempts', scripts: [confirm('hang_before', { times: 3 })] },
  {
    title: 'times out before the charge, then after it',
    scripts: [confirm('hang_before'), confirm('hang_after')],
  },
  { title: 'cuts the connection before the charge', scripts: [confirm('drop_before', { times: 2 })] },
  { title: 'cuts the connection after the charge', scripts: [confirm('drop_after', { times: 2 })] },
  { title: 'answers 429', scripts: [confirm('status', { status: 429, retryAfterSeconds: 1, times: 2 })] },
  { title: 'answers 500 several times', scripts: [confirm('status', { status: 500, times: 3 })] },
  { title: 'answers 500 by its token', token: 'tok_error_500', scripts: [] },
  { title: 'answers what is no JSON', scripts: [confirm('invalid_json', { times: 2 })] },
  { title: 'says that the key is in use', scripts: [confirm('key_in_use', { times: 2 })] },
  { title: 'charges long after it was asked', token: 'tok_slow', scripts: [] },
  {
    title: 'charges after it said that it knows no such charge',
    scripts: [confirm('land_late', { ms: 1_500 }), { route: 'lookup', kind: 'not_found', times: 2 }],
  },
  { title: 'fails to open the charge', scripts: [{ route: 'prepare', kind: 'drop_after', times: 2 }] },
  {
    title: 'fails to open the charge for another reason',
    scripts: [{ route: 'prepare', kind: 'status', status: 503 }],
  },
];

const GIVEN_UP: readonly (Case & Readonly<{ charges: number; payment: string }>)[] = [
  {
    title: 'never answers, and charged at the first attempt',
    scripts: [confirm('hang_after', { times: 1_000 })],
    ...{ charges: 1, payment: 'REFUNDED' },
  },
  {
    title: 'never answers, and never charged',
    scripts: [confirm('hang_before', { times: 1_000 })],
    ...{ charges: 0, payment: 'CANCELLED' },
  },
  {
    title: 'charges although the charge was cancelled meanwhile',
    scripts: [confirm('land_anyway', { ms: 1_800 }), confirm('hang_before', { times: 1_000 })],
    ...{ charges: 1, payment: 'REFUNDED' },
  },
];

describe('a gateway that fails in every way', function () {
  this.timeout(180_000);
  let shop: MoneyShop;

  before(async () => {
    shop = await openMoneyShop();
  });
  after(() => shop.system.stop());

  const placeWith = async ({ token = 'tok_ok', scripts }: Case): Promise<string> => {
    const { key, orderId } = shop.nextOrder();
    for (const script of scripts) await shop.fault(orderId, script);
    assert.equal(await shop.place({ method: 'card', token }, { key }), orderId);
    return orderId;
  };

  it('takes the money once, and the order is paid, whatever happens to the answers', async () => {
    const placed = await Promise.all(PAID.map(async (one) => ({ ...one, orderId: await placeWith(one) })));
    for (const { title, orderId } of placed) {
      const { status } = await shop.ended(orderId);
      const seen = { status, ...(await shop.outcomeOf(orderId)) };
      assert.deepEqual(seen, { status: 'COMPLETED', ...SOLD }, title);
    }
  });

  it('keeps no money of an order that is cancelled while nobody knows whether it was charged', async () => {
    const placed = await Promise.all(GIVEN_UP.map(async (one) => ({ ...one, orderId: await placeWith(one) })));
    for (const { orderId } of placed) await shop.chargeOf(orderId);
    const answers = await Promise.all(placed.map(({ orderId }) => shop.system.shop.cancel(orderId)));
    for (const { status } of answers) assert.ok(status === 200 || status === 202, `cancel answered ${status}`);
    for (const { title, orderId, charges, payment } of placed) {
      const { status } = await shop.ended(orderId);
      const seen = { status, ...(await shop.outcomeOf(orderId)) };
      const expected = { status: 'CANCELLED', ...UNSOLD, order: 'CANCELLED', charges, payment };
      assert.deepEqual(seen, expected, title);
    }
  });

  it('asks a declined card once, and takes nothing', async () => {
    const orderId = await shop.place({ method: 'card', token: 'tok_declined' });
    const { status, code } = await shop.ended(orderId);
    assert.deepEqual([status, code], ['REJECTED', 'PAYMENT_DECLINED']);
    const expected = { ...UNSOLD, order: 'FAILED', payment: 'FAILED', charges: 0 };
    assert.deepEqual(await shop.outcomeOf(orderId), expected);
    const [charge] = await shop.system.query<{ attempts: number }>(
      'gateway',
      'select confirm_attempts as attempts from charges where order_id = $1',
      [orderId],
    );
    assert.equal(charge?.attempts, 1);
  });

  for (const kind of ['wrong_amount', 'wrong_currency']) {
    it(`gives the money back and calls a person when it takes a ${kind.replace('_', ' ')}`, async () => {
      const orderId = await placeWith({ title: kind, scripts: [confirm(kind)] });
      await shop.untilCheckout(orderId, 'NEEDS_ATTENTION');
      // The shopper does not wait for that person.
      const expected = { ...UNSOLD, order: 'FAILED', payment: 'REFUNDED', charges: 1 };
      assert.deepEqual(await shop.outcomeOf(orderId), expected);
      const { status, body } = await shop.system.shop.resolve(orderId, {
        action: 'markDone',
        reason: 'books compared',
      });
      assert.equal(status, 200, JSON.stringify(body));
      assert.deepEqual((await shop.ended(orderId)).code, 'PAYMENT_AMOUNT_MISMATCH');
    });
  }

  it('leaves books that agree', () => shop.booksAgree());
});
