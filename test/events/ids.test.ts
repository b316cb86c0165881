import assert from 'node:assert/strict';

import * as ids from '../../events/ids.ts';

const ORDER = '0b8f9a0e-5d3c-5c0b-9a55-0f5f1d6b7a10';

/** UUIDv5 over the JSON of the parts, computed with another implementation. */
const PINNED = {
  order: '56850469-a6fa-5fb9-8429-970bcc98e35f',
  movement: '7b045def-a27e-5180-aa28-c24bd56f3fa7',
  adjustment: '7091d3ff-f24b-5059-8bf9-eb0ffaebc071',
  payment: 'a32c909b-998b-55d6-8e17-1d6608ac5aa1',
  settlement: '1accb1ec-a55f-506c-839f-3e7a195623f1',
  event: '457d6e01-0018-5bf9-914c-96fc5556ced8',
};

describe('repeatable ids', () => {
  it('never change: another value would let a request happen twice', () => {
    assert.deepEqual(
      {
        order: ids.orderIdFor('POST /v1/checkouts', '42', 'key-1'),
        movement: ids.movementIdFor(ORDER, 'RESERVED', 1),
        adjustment: ids.adjustmentIdFor('7', 'key-1'),
        payment: ids.paymentIdFor(ORDER),
        settlement: ids.settlementIdFor(ORDER),
        event: ids.eventIdFor('order', ORDER, 1, 'OrderCreated'),
      },
      PINNED,
    );
  });

  it('differ in every part that tells two things apart', () => {
    const all = [
      ...[ids.orderIdFor('/a', '1', 'k'), ids.orderIdFor('/b', '1', 'k'), ids.orderIdFor('/a', '2', 'k')],
      ...[ids.orderIdFor('/a', '1', 'l'), ids.orderIdFor('/a', '1k', ''), ids.orderIdFor('/a","1', 'k', '')],
      ...[ids.movementIdFor(ORDER, 'RESERVED', 1), ids.movementIdFor(ORDER, 'RESERVED', 2)],
      ...[ids.movementIdFor(ORDER, 'RELEASED', 1), ids.movementIdFor(ORDER, 'COMMITTED', 1)],
      ...[ids.adjustmentIdFor('1', 'k'), ids.adjustmentIdFor('2', 'k'), ids.adjustmentIdFor('1', 'l')],
      ...[ids.paymentIdFor(ORDER), ids.settlementIdFor(ORDER)],
      ...[ids.eventIdFor('order', ORDER, 1, 'OrderPaid'), ids.eventIdFor('order', ORDER, 2, 'OrderPaid')],
      ...[ids.eventIdFor('payment', ORDER, 1, 'OrderPaid'), ids.eventIdFor('order', ORDER, 1, 'OrderFailed')],
    ];
    assert.equal(new Set(all).size, all.length);
    for (const id of all) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('name a row of stock by product, variant and location, with 0 for no variant', () => {
    assert.equal(ids.stockAggregateId('10', null, 'MAIN'), '10-0-MAIN');
    assert.equal(ids.stockAggregateId('10', '7', 'SEOUL-2'), '10-7-SEOUL-2');
  });
});
