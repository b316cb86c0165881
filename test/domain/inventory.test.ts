import assert from 'node:assert/strict';

import fc from 'fast-check';

import type { CartLine } from '../../domain/checkout.ts';
import {
  commit,
  type Movement,
  release,
  reserve,
  type Stock,
  type StockLine,
  takeBack,
} from '../../domain/inventory.ts';
import { mergeLines } from '../../domain/pricing.ts';

const mugs: Stock = { id: '1', available: 5, reserved: 1, version: 3 };
const hats: Stock = { id: '2', available: 2, reserved: 0, version: 9 };

const moved = (answer: ReturnType<typeof reserve>): Movement[] => {
  assert.ok(Array.isArray(answer), JSON.stringify(answer));
  return answer;
};

describe('taking stock back', () => {
  it('puts the units on sale again and touches nothing that is reserved', () => {
    assert.deepEqual(takeBack([{ lineNo: 2, quantity: 3, stock: mugs }]), [
      {
        ...{ type: 'ADJUSTED', lineNo: 2, quantityChange: 3, reservedChange: 0 },
        ...{ before: mugs, after: { id: '1', available: 8, reserved: 1, version: 4 } },
      },
    ]);
  });
});

describe('reserving stock', () => {
  it('moves every line from available to reserved', () => {
    const lines = [
      { lineNo: 1, quantity: 2, stock: mugs },
      { lineNo: 2, quantity: 1, stock: hats },
    ];
    assert.deepEqual(reserve(lines), [
      {
        type: 'RESERVED',
        lineNo: 1,
        quantityChange: -2,
        reservedChange: 2,
        before: mugs,
        after: { id: '1', available: 3, reserved: 3, version: 4 },
      },
      {
        type: 'RESERVED',
        lineNo: 2,
        quantityChange: -1,
        reservedChange: 1,
        before: hats,
        after: { id: '2', available: 1, reserved: 1, version: 10 },
      },
    ]);
  });

  it('takes the last piece, and not one more', () => {
    assert.equal(moved(reserve([{ lineNo: 1, quantity: 5, stock: mugs }]))[0]?.after.available, 0);
    assert.deepEqual(reserve([{ lineNo: 1, quantity: 6, stock: mugs }]), {
      code: 'OUT_OF_STOCK',
      message: '1 of 1 lines are short',
      detail: [{ lineNo: 1, asked: 6, available: 5 }],
    });
  });

  it('refuses every line when some are short, and names only those, stock that does not exist too', () => {
    const lines = [
      { lineNo: 1, quantity: 1, stock: mugs },
      { lineNo: 2, quantity: 3, stock: hats },
      { lineNo: 3, quantity: 1, stock: null },
    ];
    assert.deepEqual(reserve(lines), {
      code: 'OUT_OF_STOCK',
      message: '2 of 3 lines are short',
      detail: [
        { lineNo: 2, asked: 3, available: 2 },
        { lineNo: 3, asked: 1, available: 0 },
      ],
    });
  });
});

describe('stock that was reserved', () => {
  it('is sold: it leaves reserved, and available stays', () => {
    const [movement] = commit([{ lineNo: 1, quantity: 1, stock: mugs }]);
    assert.deepEqual(movement?.after, { id: '1', available: 5, reserved: 0, version: 4 });
    assert.deepEqual([movement?.quantityChange, movement?.reservedChange], [0, -1]);
  });

  it('goes back to where it came from', () => {
    const [movement] = release([{ lineNo: 1, quantity: 1, stock: mugs }]);
    assert.deepEqual(movement?.after, { id: '1', available: 6, reserved: 0, version: 4 });
    assert.deepEqual([movement?.quantityChange, movement?.reservedChange], [1, -1]);
  });
});

/** Carts in which the same product comes on several lines, in any order. */
const carts = fc.uniqueArray(
  fc.record({
    lineNo: fc.integer({ min: 1, max: 200 }),
    productId: fc.constantFrom('1', '2', '3'),
    variantId: fc.constantFrom(null, '11', '12'),
    quantity: fc.integer({ min: 1, max: 999 }),
    locationCode: fc.constantFrom('MAIN', 'BUSAN'),
  }),
  { minLength: 1, maxLength: 30, selector: ({ lineNo }) => lineNo },
);
const amounts = fc.array(fc.nat(3_000), { minLength: 18, maxLength: 18 });
const keyOf = ({ productId, variantId, locationCode }: CartLine): string => `${productId}/${variantId}/${locationCode}`;

/** One row of stock for each product, variant and location, with these amounts available. */
function shelves(cart: readonly CartLine[], available: readonly number[]): Map<string, Stock> {
  const keys = [...new Set(cart.map(keyOf))].sort();
  return new Map(keys.map((id, index) => [id, { id, available: available[index] ?? 0, reserved: 0, version: 1 }]));
}

function linesOn(shelf: ReadonlyMap<string, Stock>, cart: readonly CartLine[]): StockLine[] {
  return mergeLines(cart).map((line) => {
    const stock = shelf.get(keyOf(line));
    assert.ok(stock);
    return { lineNo: line.lineNo, quantity: line.quantity, stock };
  });
}

describe('any cart', () => {
  it('is reserved whole exactly when every product has enough for all its lines together', () => {
    fc.assert(
      fc.property(carts, amounts, (cart, available) => {
        const shelf = shelves(cart, available);
        const enough = [...shelf].every(([key, stock]) => {
          const asked = cart.filter((line) => keyOf(line) === key).reduce((sum, { quantity }) => sum + quantity, 0);
          return asked <= stock.available;
        });
        assert.equal(Array.isArray(reserve(linesOn(shelf, cart))), enough);
      }),
    );
  });

  it('never makes stock negative, loses a piece or moves a row twice, and released leaves it as it was', () => {
    fc.assert(
      fc.property(carts, amounts, (cart, available) => {
        const shelf = shelves(cart, available);
        const answer = reserve(linesOn(shelf, cart));
        if (!Array.isArray(answer)) return;

        assert.equal(new Set(answer.map(({ before }) => before.id)).size, answer.length);
        for (const { before, after } of answer) {
          assert.ok(after.available >= 0);
          assert.equal(after.available + after.reserved, before.available + before.reserved);
        }
        const held = answer.map(({ lineNo, reservedChange, after }) => ({
          lineNo,
          quantity: reservedChange,
          stock: after,
        }));
        for (const { before, after } of release(held)) {
          const { id, available: then, reserved } = after;
          assert.deepEqual(
            { ...shelf.get(id), version: before.version + 1 },
            { id, available: then, reserved, version: 3 },
          );
        }
        for (const { after } of commit(held)) assert.deepEqual(after.reserved, 0);
      }),
    );
  });

  it('asks for the same pieces after equal lines became one, whatever the order of its lines', () => {
    fc.assert(
      fc.property(carts, fc.infiniteStream(fc.nat()), (cart, luck) => {
        const merged = mergeLines(cart);
        const total = (lines: readonly CartLine[]): number => lines.reduce((sum, { quantity }) => sum + quantity, 0);
        assert.equal(total(merged), total(cart));
        assert.equal(new Set(merged.map(keyOf)).size, merged.length);
        const shuffled = cart.map((line) => [luck.next().value, line] as const).sort(([a], [b]) => a - b);
        assert.deepEqual(mergeLines(shuffled.map(([, line]) => line)), merged);
      }),
    );
  });
});
