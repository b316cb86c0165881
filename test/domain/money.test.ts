import assert from 'node:assert/strict';

import fc from 'fast-check';

import { sameMoney, times } from '../../domain/money.ts';

describe('money', () => {
  it('is the same only in amount and currency', () => {
    const won = { minor: 1_500, currency: 'KRW' };
    assert.equal(sameMoney(won, { ...won }), true);
    assert.equal(sameMoney(won, { ...won, minor: 1_501 }), false);
    assert.equal(sameMoney(won, { ...won, currency: 'USD' }), false);
  });

  it('times a quantity is exact, or nothing when it is no longer a safe integer', () => {
    assert.equal(times(Number.MAX_SAFE_INTEGER, 1), Number.MAX_SAFE_INTEGER);
    assert.equal(times(Number.MAX_SAFE_INTEGER, 2), undefined);
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(1_000_000), (unit, quantity) => {
        const exact = BigInt(unit) * BigInt(quantity);
        const expected = exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : undefined;
        assert.equal(times(unit, quantity), expected);
      }),
    );
  });
});
