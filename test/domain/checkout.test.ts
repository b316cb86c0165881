import assert from 'node:assert/strict';

import fc from 'fast-check';

import { orderNumberOf, placedOrder, type Reservation } from '../../domain/checkout.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor } from '../../events/ids.ts';

describe('the order number', () => {
  it('is always the same for one order id', () => {
    const orderId = 'f2eb5057-9767-530e-a084-7a44c40e3312';
    assert.equal(orderNumberOf(orderId), '113T8K-20WCRJ');
    fc.assert(fc.property(fc.uuid(), (id) => assert.equal(orderNumberOf(id), orderNumberOf(id))));
  });

  it('is twelve characters that cannot be mistaken for others, in two groups', () => {
    fc.assert(
      fc.property(fc.uuid(), (id) => assert.match(orderNumberOf(id), /^[0-9A-HJKMNP-TV-Z]{6}-[0-9A-HJKMNP-TV-Z]{6}$/)),
    );
  });

  it('differs when any of the sixty bits it shows differs', () => {
    const bit = fc.integer({ min: 0, max: 59 });
    fc.assert(
      fc.property(fc.uuid(), bit, (id, position) => {
        const digits = id.replaceAll('-', '');
        const flipped = (BigInt(`0x${digits}`) ^ (1n << BigInt(position))).toString(16).padStart(32, '0');
        assert.notEqual(orderNumberOf(id), orderNumberOf(flipped));
      }),
    );
  });

  it('differs for a hundred thousand orders in a row', () => {
    const numbers = new Set(
      Array.from({ length: 100_000 }, (_, key) => orderNumberOf(orderIdFor('/v1/checkouts', '1', `${key}`))),
    );
    assert.equal(numbers.size, 100_000);
  });

  it('does not care how the id is written: the bits count', () => {
    const id = 'f2eb5057-9767-530e-a084-7a44c40e3312';
    assert.equal(orderNumberOf(id.toUpperCase()), orderNumberOf(id));
  });
});

describe('a checkout', () => {
  it('has one workflow, found by the order id', () => {
    assert.equal(
      checkoutWorkflowId('f2eb5057-9767-530e-a084-7a44c40e3312'),
      'checkout-f2eb5057-9767-530e-a084-7a44c40e3312',
    );
  });

  it('places the order that was reserved, as it was reserved', () => {
    const reservation: Reservation = {
      lines: [],
      total: { minor: 7_000, currency: 'KRW' },
      paymentMethod: 'card',
      placedAt: '2026-11-23T01:02:03.000Z',
    };
    const orderId = 'f2eb5057-9767-530e-a084-7a44c40e3312';
    assert.deepEqual(placedOrder(orderId, reservation), {
      ...reservation,
      orderId,
      orderNumber: '113T8K-20WCRJ',
      status: 'PENDING',
    });
  });
});
