import { buyAndCancel, buying, buyNonsense, buyTooMuch, buyTwice } from './cards.ts';
import { refundAll, refundRefused, returnOne, undoRefused, wrongAmount } from './desk.ts';
import { confirming, transferInTime, transferNever, transferTooLate } from './later.ts';
import type { Seen, Visit } from './visit.ts';

export type Scenario = Readonly<{
  name: string;
  /** Of 100 visits, while all scenarios can be shown. */
  share: number;
  expected: string;
  visit: (visit: Visit) => Promise<Seen>;
  /** What it cannot be shown without: the simulated gateway's controls, an administrator's token. */
  needs?: readonly Need[];
}>;
export type Need = 'bank' | 'desk';

const PAID = 'PAID';
const DECLINED = 'FAILED (PAYMENT_DECLINED)';
const CANCELLED = 'CANCELLED (CHECKOUT_CANCELLED)';
const EXPIRED = 'CANCELLED (HOLD_EXPIRED)';
const MISMATCH = 'FAILED (PAYMENT_AMOUNT_MISMATCH)';

/** What happens in a shop, with its shares. They add up to 100. */
export const SCENARIOS: readonly Scenario[] = [
  { name: 'paid', share: 16, expected: PAID, visit: buying('tok_ok') },
  { name: 'card declined', share: 5, expected: DECLINED, visit: buying('tok_declined') },
  { name: 'insufficient funds', share: 4, expected: DECLINED, visit: buying('tok_insufficient_funds') },
  { name: 'out of stock', share: 5, expected: 'OUT_OF_STOCK', visit: buyTooMuch },
  { name: 'slow gateway', share: 4, expected: PAID, visit: buying('tok_slow') },
  { name: 'gateway error, then success', share: 4, expected: PAID, visit: buying('tok_error_500') },
  { name: 'time-out before the charge', share: 3, expected: PAID, visit: buying('tok_timeout_before_charge') },
  { name: 'time-out after the charge', share: 4, expected: PAID, visit: buying('tok_timeout_after_charge') },
  { name: 'wrong amount taken', share: 3, expected: `${MISMATCH}, resolved`, visit: wrongAmount, needs: ['desk'] },
  { name: 'card confirmed at its bank', share: 5, expected: PAID, visit: confirming('approve'), needs: ['bank'] },
  { name: 'card not confirmed', share: 3, expected: DECLINED, visit: confirming('decline'), needs: ['bank'] },
  { name: 'bank transfer', share: 6, expected: PAID, visit: transferInTime, needs: ['bank'] },
  { name: 'bank transfer that never came', share: 3, expected: EXPIRED, visit: transferNever },
  {
    name: 'bank transfer after the hold',
    share: 3,
    expected: `${EXPIRED}, given back`,
    visit: transferTooLate,
    needs: ['bank'],
  },
  { name: 'one piece returned', share: 4, expected: 'PARTIALLY_REFUNDED', visit: returnOne, needs: ['desk'] },
  { name: 'all refunded', share: 3, expected: 'REFUNDED', visit: refundAll, needs: ['desk'] },
  {
    name: 'refund refused by the gateway',
    share: 3,
    expected: `${PAID}, refund FAILED`,
    visit: refundRefused,
    needs: ['bank', 'desk'],
  },
  { name: 'cancelled', share: 6, expected: CANCELLED, visit: buyAndCancel },
  {
    name: 'undo refused by the gateway',
    share: 3,
    expected: `${CANCELLED}, resolved`,
    visit: undoRefused,
    needs: ['bank', 'desk'],
  },
  { name: 'same key repeated', share: 8, expected: 'one order, PAID', visit: buyTwice },
  { name: 'malformed request', share: 5, expected: 'refused', visit: buyNonsense },
];

/** Those that can be shown with what there is. */
export const shownWith = (has: readonly Need[]): readonly Scenario[] =>
  SCENARIOS.filter(({ needs = [] }) => needs.every((need) => has.includes(need)));

/** So many of these scenarios as visits, by share: the largest remainders get what rounding leaves. */
export function mixOf(scenarios: readonly Scenario[], visits: number): Scenario[] {
  const whole = scenarios.reduce((sum, { share }) => sum + share, 0);
  const exact = scenarios.map((scenario) => ({ scenario, quota: (scenario.share * visits) / whole }));
  const counts = new Map(exact.map(({ scenario, quota }) => [scenario, Math.floor(quota)]));
  const left = visits - [...counts.values()].reduce((sum, count) => sum + count, 0);
  const byRemainder = exact.sort((a, b) => (b.quota % 1) - (a.quota % 1)).slice(0, left);
  for (const { scenario } of byRemainder) counts.set(scenario, (counts.get(scenario) ?? 0) + 1);
  return [...counts].flatMap(([scenario, count]) => Array<Scenario>(count).fill(scenario));
}
