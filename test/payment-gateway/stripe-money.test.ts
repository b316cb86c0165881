import assert from 'node:assert/strict';

import fc from 'fast-check';

import { fromStripe, toStripe } from '../../infra/payment-gateway/stripe-money.ts';

describe('amounts in the unit that Stripe counts', () => {
  for (const [minor, currency, amount, why] of [
    [39_000, 'KRW', 39_000, 'the won has no decimals here nor there'],
    [2_500, 'USD', 2_500, 'cents are cents'],
    [5, 'ISK', 500, 'the króna has no decimals, but Stripe counts hundredths'],
    [5, 'UGX', 500, 'the shilling of Uganda likewise'],
    [5_120, 'KWD', 5_120, 'the dinar has three decimals, and Stripe wants the last one to be 0'],
    [300, 'MGA', 3, 'the ariary has two decimals in ISO 4217, but Stripe counts whole ones'],
    [1_045, 'HUF', 1_045, 'the forint has its decimals in charges'],
  ] as const) {
    it(`${minor} ${currency} is ${amount}: ${why}`, () => {
      assert.deepEqual(toStripe({ minor, currency }), { amount, currency: currency.toLowerCase() });
      assert.deepEqual(fromStripe({ amount, currency: currency.toLowerCase() }), { minor, currency });
    });
  }

  it('an amount that Stripe cannot take exactly is undefined, never rounded', () => {
    for (const money of [
      { minor: 5_124, currency: 'KWD' },
      { minor: 250, currency: 'MGA' },
      { minor: Number.MAX_SAFE_INTEGER, currency: 'ISK' },
      { minor: 1, currency: 'XTS' },
      { minor: 1, currency: 'usd' },
      { minor: 1, currency: 'constructor' },
    ]) {
      assert.equal(toStripe(money), undefined, JSON.stringify(money));
    }
  });

  it('an answer that is no whole number of our unit is undefined, never rounded', () => {
    assert.equal(fromStripe({ amount: 150, currency: 'isk' }), undefined);
    assert.equal(fromStripe({ amount: 1, currency: 'xts' }), undefined);
    assert.equal(fromStripe({ amount: Number.MAX_SAFE_INTEGER, currency: 'mga' }), undefined);
  });

  it('whatever can be asked for comes back as the same money', () => {
    const currency = fc.constantFrom('KRW', 'USD', 'EUR', 'ISK', 'UGX', 'KWD', 'MGA', 'JPY', 'TWD', 'HUF');
    fc.assert(
      fc.property(fc.nat(), currency, (minor, code) => {
        const asked = toStripe({ minor, currency: code });
        if (asked !== undefined) assert.deepEqual(fromStripe(asked), { minor, currency: code });
      }),
    );
  });
});
