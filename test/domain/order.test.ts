import assert from 'node:assert/strict';

import { closedStatusOf, paymentStatusOf } from '../../domain/order.ts';

describe('an order that was not paid', () => {
  it('is FAILED when the checkout was rejected, and CANCELLED when it was cancelled or expired', () => {
    assert.equal(closedStatusOf('REJECTED'), 'FAILED');
    assert.equal(closedStatusOf('CANCELLED'), 'CANCELLED');
    assert.equal(closedStatusOf('EXPIRED'), 'CANCELLED');
  });
});

describe('what an order says of its payment', () => {
  it('is CAPTURED when it is paid, AWAITING_CONFIRMATION once the shopper was told how to pay, its own state otherwise', () => {
    assert.equal(paymentStatusOf('PENDING', true), 'AWAITING_CONFIRMATION');
    assert.equal(paymentStatusOf('PAID', true), 'CAPTURED');
    for (const status of ['PENDING', 'FAILED', 'CANCELLED', 'REFUNDED', 'PARTIALLY_REFUNDED'] as const) {
      assert.equal(paymentStatusOf(status, false), status);
    }
  });
});
