import assert from 'node:assert/strict';

import type { CartLine } from '../../domain/checkout.ts';
import { type CatalogueEntry, mergeLines, priceCart } from '../../domain/pricing.ts';

const line = (change: Partial<CartLine> = {}): CartLine => ({
  lineNo: 1,
  productId: '1',
  variantId: null,
  quantity: 2,
  locationCode: 'MAIN',
  ...change,
});

const MUG = { sku: 'MUG', name: 'Mug', forSale: true, hasVariants: false, price: { minor: 1_500, currency: 'KRW' } };
const BLUE = { sku: 'MUG-BLUE', name: 'Blue', forSale: true, priceMinor: null };
const entry = (change: Partial<CatalogueEntry> = {}): CatalogueEntry => ({
  lineNo: 1,
  product: MUG,
  variant: null,
  ...change,
});

/** The refusal's code, or nothing when the cart has a price. */
function codeOf(answer: ReturnType<typeof priceCart>): string | undefined {
  return 'code' in answer ? answer.code : undefined;
}

describe('merging lines', () => {
  it('adds up equal lines under the lowest line number', () => {
    const merged = mergeLines([line({ lineNo: 7, quantity: 3 }), line({ lineNo: 2, quantity: 1 })]);
    assert.deepEqual(merged, [line({ lineNo: 2, quantity: 4 })]);
  });

  it('keeps apart what differs in product, variant or location', () => {
    const lines = [
      line({ lineNo: 1 }),
      line({ lineNo: 2, productId: '2' }),
      line({ lineNo: 3, variantId: '11' }),
      line({ lineNo: 4, locationCode: 'BUSAN' }),
    ];
    assert.deepEqual(mergeLines(lines), lines);
  });
});

describe('pricing a cart', () => {
  it('takes the price of the catalogue and remembers what the product was called', () => {
    assert.deepEqual(priceCart([line()], [entry()], null), {
      lines: [
        {
          lineNo: 1,
          productId: '1',
          variantId: null,
          locationCode: 'MAIN',
          sku: 'MUG',
          name: 'Mug',
          variantName: null,
          unitPrice: { minor: 1_500, currency: 'KRW' },
          quantity: 2,
          lineTotal: { minor: 3_000, currency: 'KRW' },
        },
      ],
      total: { minor: 3_000, currency: 'KRW' },
    });
  });

  it("takes a variant's price where it has one, and the product's where it has none", () => {
    const product = { ...MUG, hasVariants: true };
    const lines = [line({ variantId: '11' }), line({ lineNo: 2, variantId: '12', quantity: 1 })];
    const entries = [
      entry({ product, variant: BLUE }),
      entry({ lineNo: 2, product, variant: { ...BLUE, sku: 'MUG-GOLD', name: 'Gold', priceMinor: 9_000 } }),
    ];
    const priced = priceCart(lines, entries, null);
    assert.ok('lines' in priced);
    assert.deepEqual(
      priced.lines.map(({ sku, variantName, unitPrice }) => [sku, variantName, unitPrice.minor]),
      [
        ['MUG-BLUE', 'Blue', 1_500],
        ['MUG-GOLD', 'Gold', 9_000],
      ],
    );
    assert.deepEqual(priced.total, { minor: 12_000, currency: 'KRW' });
  });

  it('refuses a cart that costs nothing as a whole, because nothing can be charged', () => {
    const gift = { ...MUG, price: { minor: 0, currency: 'KRW' } };
    assert.equal(codeOf(priceCart([line()], [entry({ product: gift })], null)), 'AMOUNT_OUT_OF_RANGE');
    const entries = [entry({ product: gift }), entry({ lineNo: 2 })];
    assert.equal(codeOf(priceCart([line(), line({ lineNo: 2 })], entries, null)), undefined);
  });

  it('refuses a product or a variant that the catalogue does not know', () => {
    const variants = { ...MUG, hasVariants: true };
    assert.equal(codeOf(priceCart([line()], [entry({ product: null })], null)), 'UNKNOWN_PRODUCT');
    assert.equal(codeOf(priceCart([line()], [], null)), 'UNKNOWN_PRODUCT');
    assert.equal(
      codeOf(priceCart([line({ variantId: '11' })], [entry({ product: variants })], null)),
      'UNKNOWN_PRODUCT',
    );
  });

  it('refuses a product with variants that is asked for without one, and the other way round', () => {
    const variants = { ...MUG, hasVariants: true };
    assert.equal(codeOf(priceCart([line()], [entry({ product: variants })], null)), 'UNKNOWN_PRODUCT');
    assert.equal(codeOf(priceCart([line({ variantId: '11' })], [entry({ variant: BLUE })], null)), 'UNKNOWN_PRODUCT');
  });

  it('refuses what is not for sale, product or variant', () => {
    const entries = [
      entry({ product: { ...MUG, forSale: false } }),
      entry({ lineNo: 2, product: { ...MUG, hasVariants: true }, variant: { ...BLUE, forSale: false } }),
    ];
    assert.deepEqual(priceCart([line(), line({ lineNo: 2, variantId: '11' })], entries, null), {
      code: 'PRODUCT_NOT_FOR_SALE',
      message: 'lines 1, 2: not for sale',
      detail: [{ lineNo: 1 }, { lineNo: 2 }],
    });
  });

  it('tells of unknown products before those not for sale, and names all lines of one kind', () => {
    const entries = [
      entry({ product: { ...MUG, forSale: false } }),
      entry({ lineNo: 2, product: null }),
      entry({ lineNo: 3, product: null }),
    ];
    assert.deepEqual(priceCart([line(), line({ lineNo: 2 }), line({ lineNo: 3 })], entries, null), {
      code: 'UNKNOWN_PRODUCT',
      message: 'lines 2, 3: no such product or variant',
      detail: [{ lineNo: 2 }, { lineNo: 3 }],
    });
  });

  it('refuses two currencies in one cart', () => {
    const entries = [entry(), entry({ lineNo: 2, product: { ...MUG, price: { minor: 100, currency: 'USD' } } })];
    assert.deepEqual(priceCart([line(), line({ lineNo: 2 })], entries, null), {
      code: 'MIXED_CURRENCY',
      message: 'all lines must have one currency',
      detail: { currencies: ['KRW', 'USD'] },
    });
  });

  it('refuses an empty cart', () => {
    assert.equal(codeOf(priceCart([], [], null)), 'INVALID_REQUEST');
  });

  it('refuses a line or a total that is too large to be exact', () => {
    const dear = { ...MUG, price: { minor: Number.MAX_SAFE_INTEGER, currency: 'KRW' } };
    assert.equal(codeOf(priceCart([line({ quantity: 2 })], [entry({ product: dear })], null)), 'AMOUNT_OUT_OF_RANGE');
    const two = [line({ quantity: 1 }), line({ lineNo: 2, quantity: 1 })];
    const entries = [entry({ product: dear }), entry({ lineNo: 2, product: dear })];
    assert.equal(codeOf(priceCart(two, entries, null)), 'AMOUNT_OUT_OF_RANGE');
    assert.equal(codeOf(priceCart([line({ quantity: 1 })], [entry({ product: dear })], null)), undefined);
  });

  it('refuses when the total is no longer the expected one, and tells the new one', () => {
    const total = { minor: 3_000, currency: 'KRW' };
    assert.equal(codeOf(priceCart([line()], [entry()], total)), undefined);
    for (const expected of [
      { ...total, minor: 2_999 },
      { ...total, currency: 'USD' },
    ]) {
      assert.deepEqual(priceCart([line()], [entry()], expected), {
        code: 'PRICE_CHANGED',
        message: 'the total is no longer what was expected',
        detail: { total },
      });
    }
  });
});
