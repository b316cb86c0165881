import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import pLimit from 'p-limit';

import { eventually } from '../support/eventually.ts';
import { BANK, type MoneyShop, openMoneyShop, SOLD, UNSOLD } from '../support/money-shop.ts';

const HOLD_MS = 8_000;
/** Orders that wait at once for the ends of their holds. */
const AT_ONCE = 30;
/** A hold runs from the moment that its order is placed: on a busy machine too it must be known long before its end. */
const PLACED_AT_ONCE = 5;

/** Milliseconds from the end of the hold to the transfer, negative before it. */
const AT_THE_END = Array.from({ length: 200 }, (_, index) => (index % 11) - 5);
/**
 * The checkout decides some time after the hold is over: its timer, its last look and its undo take a while, the longer
 * the busier the machine. So each of these lanes feels its way to that moment: later after a sale, sooner after none.
 */
const LANES = 12;
const ROUNDS = 7;
const FIRST_STEP_MS = 400;
const LAST_STEP_MS = 5;

describe('transfers that arrive as the hold ends', function () {
  this.timeout(600_000);
  let shop: MoneyShop;

  before(async () => {
    shop = await openMoneyShop({ HOLD_BANK_TRANSFER_MS: String(HOLD_MS) });
  });
  after(() => shop.system.stop());

  const holdEndOf = (orderId: string): Promise<number> =>
    eventually(`order ${orderId} waits for its payment`, async () => {
      const [row] = await shop.system.query<{ endsAt: Date | null }>(
        'payment',
        'select expires_at as "endsAt" from payments where order_id = $1',
        [orderId],
      );
      return row?.endsAt?.getTime();
    });
  const placing = pLimit(PLACED_AT_ONCE);
  const placed = async (): Promise<Readonly<{ orderId: string; endsAt: number }>> => {
    const orderId = await shop.place(BANK);
    const endsAt = await holdEndOf(orderId);
    await shop.chargeOf(orderId); // known before, so that the transfer is one request
    return { orderId, endsAt };
  };
  /** @returns what became of it: `sold`, `given back`, or `in vain` where the bank was told that the account is closed */
  const race = async (offsetMs: number): Promise<string> => {
    const { orderId, endsAt } = await placing(placed);
    const waitMs = endsAt + offsetMs - Date.now();
    assert.ok(waitMs > 0, 'the hold was over before the transfer could be timed');
    await sleep(waitMs);
    return becomes(orderId, await shop.transfer(orderId));
  };
  const becomes = async (orderId: string, transferred: number): Promise<string> => {
    assert.ok(transferred === 200 || transferred === 409, `the bank was answered ${transferred}`);
    const { status } = await shop.ended(orderId);
    const seen = await shop.outcomeOf(orderId);
    if (status === 'COMPLETED') {
      assert.deepEqual([transferred, seen], [200, SOLD], orderId);
      return 'sold';
    }
    assert.equal(status, 'EXPIRED');
    const late = transferred === 200;
    const money = late ? { payment: 'REFUNDED', charges: 1 } : { payment: 'CANCELLED', charges: 0 };
    assert.deepEqual(seen, { ...UNSOLD, order: 'CANCELLED', ...money }, orderId);
    return late ? 'given back' : 'in vain';
  };

  const counts = new Map<string, number>();
  const counted = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);

  it('at the very end are sold with their stock or given back without it, never both, never neither', async () => {
    const racing = pLimit(AT_ONCE);
    (await Promise.all(AT_THE_END.map((offsetMs) => racing(race, offsetMs)))).forEach(counted);
    assert.equal(sumOf(counts), AT_THE_END.length);
  });

  it('while the checkout decides are sold or given back, too', async () => {
    await Promise.all(
      Array.from({ length: LANES }, async () => {
        let offsetMs = 0;
        let stepMs = FIRST_STEP_MS;
        let last = 'sold';
        for (let round = 0; round < ROUNDS; round++) {
          const what = await race(offsetMs);
          counted(what);
          if ((what === 'sold') !== (last === 'sold')) stepMs = Math.max(stepMs / 2, LAST_STEP_MS);
          last = what;
          offsetMs += what === 'sold' ? stepMs : -stepMs;
        }
      }),
    );
    const text = [...counts].map(([what, count]) => `${count} ${what}`).join(', ');
    process.stdout.write(`      ${text}\n`);
    assert.ok(counts.has('sold') && counts.size > 1, `nothing was raced: ${text}`);
  });

  it('leave books that agree', () => shop.booksAgree());
});

const sumOf = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((sum, one) => sum + one, 0);
