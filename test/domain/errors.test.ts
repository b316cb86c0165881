import assert from 'node:assert/strict';

import { CheckoutError, ERROR_CODES, httpStatusOf, isErrorCode, isRefusal } from '../../domain/errors.ts';

/** Callers and recorded answers know these: a code may be added, never renamed, and its status stays. */
const RELEASED = {
  ALREADY_DISCARDED: 409,
  ALREADY_REDRIVEN: 409,
  AMOUNT_OUT_OF_RANGE: 422,
  CHECKOUT_ABANDONED: 409,
  CHECKOUT_CANCELLED: 409,
  CHECKOUT_FAILED: 409,
  EMAIL_TAKEN: 409,
  FORBIDDEN: 403,
  HEADERS_TOO_LARGE: 431,
  HOLD_EXPIRED: 409,
  IDEMPOTENCY_KEY_MISSING: 400,
  IDEMPOTENCY_KEY_REUSED: 422,
  INTERNAL_ERROR: 500,
  INVALID_REQUEST: 422,
  MALFORMED_REQUEST: 400,
  METHOD_NOT_ALLOWED: 405,
  MIXED_CURRENCY: 422,
  NOT_CANCELLABLE: 409,
  NOT_FOUND: 404,
  NOT_TRIED: 409,
  NOTHING_PARKED: 409,
  ORDER_NOT_REFUNDABLE: 409,
  OUT_OF_STOCK: 409,
  PAYLOAD_TOO_LARGE: 413,
  PAYMENT_AMOUNT_MISMATCH: 409,
  PAYMENT_DECLINED: 402,
  PAYMENT_METHOD_INVALID: 422,
  PRICE_CHANGED: 409,
  PRODUCT_NOT_FOR_SALE: 422,
  REFUND_EXCEEDS_CAPTURE: 409,
  REFUND_QUANTITY_EXCEEDED: 409,
  REFUND_REFUSED: 409,
  REQUEST_TIMEOUT: 408,
  SKU_TAKEN: 409,
  SLUG_TAKEN: 409,
  START_DEADLINE_PASSED: 409,
  STOCK_BELOW_ZERO: 409,
  TEMPORARILY_UNAVAILABLE: 503,
  TOO_MANY_OPEN_CHECKOUTS: 429,
  TOO_MANY_REQUESTS: 429,
  UNAUTHENTICATED: 401,
  UNITS_LIMIT: 422,
  UNKNOWN_CATEGORY: 422,
  UNKNOWN_PRODUCT: 422,
  UNKNOWN_USER: 422,
  UNSUPPORTED_MEDIA_TYPE: 415,
  USERNAME_TAKEN: 409,
  VERSION_MISMATCH: 412,
  WEBHOOK_REJECTED: 401,
} as const;

describe('the registry of errors', () => {
  for (const [code, status] of Object.entries(RELEASED)) {
    it(`answers ${code} with ${status}`, () => {
      assert.ok(isErrorCode(code));
      assert.equal(httpStatusOf(code), status);
      assert.equal(new CheckoutError(code, 'no').httpStatus, status);
    });
  }

  it('holds no code that is not pinned here', () => {
    assert.deepEqual([...ERROR_CODES].sort(), Object.keys(RELEASED).sort());
  });

  it('knows its own codes only, not what every object has', () => {
    for (const other of ['toString', '__proto__', 'constructor', 'out_of_stock', '', 404, null, undefined]) {
      assert.equal(isErrorCode(other), false, String(other));
    }
  });

  it('takes for a refusal what has a code of it, and nothing else', () => {
    assert.equal(isRefusal({ code: 'OUT_OF_STOCK', message: 'short' }), true);
    assert.equal(isRefusal(new CheckoutError('OUT_OF_STOCK', 'short')), true);
    for (const other of [{ code: 'ENOENT' }, { lines: [] }, 'OUT_OF_STOCK', null, undefined, []]) {
      assert.equal(isRefusal(other), false, JSON.stringify(other));
    }
  });

  it('keeps code, words and detail in a CheckoutError', () => {
    const { code, message, detail, name } = new CheckoutError('OUT_OF_STOCK', 'short', [{ lineNo: 1 }]);
    assert.deepEqual(
      { code, message, detail, name },
      { code: 'OUT_OF_STOCK', message: 'short', detail: [{ lineNo: 1 }], name: 'CheckoutError' },
    );
  });
});
