import assert from 'node:assert/strict';

import fc from 'fast-check';

import { isRefusal } from '../../domain/errors.ts';
import { decideRefund, type Refundable, type RefundableLine, valueOf } from '../../domain/refund.ts';

const won = (minor: number) => ({ minor, currency: 'KRW' });
const untouched = (minor = 39_000): Refundable => ({ captured: won(minor), takenMinor: 0, returned: new Map() });
const line = (changes: Partial<RefundableLine> = {}): RefundableLine => ({
  ...{ lineNo: 1, quantity: 1, restock: false, ordered: 3, valueMinor: 13_000 },
  ...changes,
});

/** The code of a refusal with its detail; a decision for an amount fails the test. */
function refused(...input: Parameters<typeof decideRefund>) {
  const answer = decideRefund(...input);
  assert.ok(isRefusal(answer), JSON.stringify(answer));
  return { code: answer.code, detail: answer.detail };
}

describe('what can be given back of a payment', () => {
  it('is all that is left when neither an amount nor a line is named', () => {
    assert.deepEqual(decideRefund(null, [], untouched()), won(39_000));
    assert.deepEqual(decideRefund(null, [], { ...untouched(), takenMinor: 38_999 }), won(1));
  });

  it('is what the named lines cost', () => {
    const lines = [line({ quantity: 2, valueMinor: 26_000 }), line({ lineNo: 2, ordered: 1, valueMinor: 1_000 })];
    assert.deepEqual(decideRefund(null, lines, untouched()), won(27_000));
  });

  it('is the amount as given, where lines are named for their units only', () => {
    assert.deepEqual(decideRefund(won(5), [line()], untouched()), won(5));
  });

  it('never exceeds what is left, refunds under way included', () => {
    const rest = { ...untouched(), takenMinor: 30_000 };
    assert.deepEqual(decideRefund(won(9_000), [], rest), won(9_000));
    assert.deepEqual(refused(won(9_001), [], rest), {
      code: 'REFUND_EXCEEDS_CAPTURE',
      detail: { left: won(9_000) },
    });
    assert.equal(refused(null, [line()], rest).code, 'REFUND_EXCEEDS_CAPTURE');
  });

  it('is nothing once everything went back, also where more was taken than was captured', () => {
    for (const takenMinor of [39_000, 39_001]) {
      assert.deepEqual(refused(null, [], { ...untouched(), takenMinor }), {
        code: 'REFUND_EXCEEDS_CAPTURE',
        detail: { left: won(0) },
      });
    }
  });

  it('is never nothing, less than nothing or a part of a unit', () => {
    for (const minor of [0, -1, 0.5, Number.NaN]) {
      assert.equal(refused(won(minor), [], untouched()).code, 'AMOUNT_OUT_OF_RANGE');
    }
    assert.equal(refused(null, [line({ valueMinor: 0 })], untouched()).code, 'AMOUNT_OUT_OF_RANGE');
  });

  it('is given in the currency that was taken', () => {
    assert.deepEqual(refused({ minor: 5, currency: 'USD' }, [], untouched()), {
      code: 'INVALID_REQUEST',
      detail: { errors: [{ pointer: '/amount/currency', message: 'the order was paid in KRW' }] },
    });
  });

  it('names every line of which more units come back than are left', () => {
    const lines = [line({ quantity: 2 }), line({ lineNo: 2, quantity: 2, ordered: 1 }), line({ lineNo: 3 })];
    assert.deepEqual(refused(won(1), lines, { ...untouched(), returned: new Map([[1, 2]]) }), {
      code: 'REFUND_QUANTITY_EXCEEDED',
      detail: [
        { lineNo: 1, asked: 2, left: 1 },
        { lineNo: 2, asked: 2, left: 1 },
      ],
    });
  });

  it('takes a line once and whole units only', () => {
    assert.equal(refused(null, [line(), line()], untouched()).code, 'INVALID_REQUEST');
    for (const quantity of [0, -1, 1.5]) {
      assert.equal(refused(null, [line({ quantity })], untouched()).code, 'INVALID_REQUEST');
    }
  });

  it('does not lose its way in values beyond the safe integers', () => {
    const huge = valueOf(Number.MAX_SAFE_INTEGER, 2);
    assert.ok(Number.isSafeInteger(huge));
    const lines = [line({ valueMinor: huge }), line({ lineNo: 2, valueMinor: huge })];
    assert.equal(refused(null, lines, untouched()).code, 'REFUND_EXCEEDS_CAPTURE');
  });

  it('adds up to the capture at most, and per line to the ordered units, whatever is asked for in whatever order', () => {
    const request = fc.record({
      asked: fc.option(fc.integer({ min: -5, max: 60 }).map(won)),
      quantities: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 12 }), fc.integer({ min: 1, max: 100 }), (requests, captured) => {
        const ordered = 3;
        let taken = 0;
        const returned = new Map<number, number>();
        for (const { asked, quantities } of requests) {
          const lines = quantities.map((quantity, index) =>
            line({ lineNo: index + 1, quantity, ordered, valueMinor: valueOf(7, quantity) }),
          );
          const answer = decideRefund(asked, lines, { captured: won(captured), takenMinor: taken, returned });
          if (isRefusal(answer)) continue;
          assert.ok(answer.minor > 0);
          taken += answer.minor;
          for (const { lineNo, quantity } of lines) returned.set(lineNo, (returned.get(lineNo) ?? 0) + quantity);
        }
        assert.ok(taken <= captured);
        assert.ok([...returned.values()].every((units) => units <= ordered));
      }),
      { numRuns: 500 },
    );
  });
});
