import assert from 'node:assert/strict';

import { ZodError } from 'zod';

import { EVENT_TYPES, type EventData } from '../../events/catalogue.ts';
import { eventIdFor } from '../../events/ids.ts';
import { shopEvent } from '../../events/outbox.ts';

const ORDER = '0b8f9a0e-5d3c-5c0b-9a55-0f5f1d6b7a10';
const STOCK: EventData<'InventoryReserved'> = {
  ...{ productId: '10', variantId: null, locationCode: 'MAIN', quantityChange: -2, reservedChange: 2 },
  ...{ available: 8, reserved: 2, lowStockThreshold: 10, reason: 'CHECKOUT', orderId: ORDER },
};

describe('the catalogue of events', () => {
  it('holds every type with the service and the aggregate that it comes from', () => {
    const table = Object.entries(EVENT_TYPES).map(([type, { source, aggregate }]) => `${source}/${aggregate}/${type}`);
    const expected = [
      ...types('platform/user', 'User', ['Created', 'Updated']),
      ...types('platform/product', 'Product', ['Created', 'Updated']),
      ...types('platform/inventory', 'Inventory', ['Reserved', 'Committed', 'Released', 'Adjusted']),
      ...types('order/order', 'Order', ['Created', 'Paid', 'Failed', 'Cancelled', 'Refunded']),
      ...types('payment/payment', 'Payment', ['Pending', 'Completed', 'Failed', 'Cancelled', 'Refunded']),
    ];
    assert.deepEqual(table.sort(), expected.sort());
  });

  it('accepts no field that it does not know, in any type: personal data would slip out', () => {
    for (const { data } of Object.values(EVENT_TYPES)) {
      const issues = data.safeParse({ cardNumber: '4242424242424242' }).error?.issues ?? [];
      assert.ok(issues.some((issue) => issue.code === 'unrecognized_keys' && issue.keys.includes('cardNumber')));
    }
  });

  for (const [what, wrong] of [
    ['a quantity that is no integer', { quantityChange: 1.5 }],
    ['stock below zero', { available: -1 }],
    ['an id that is no number', { productId: 'ten' }],
    ['an order that is no UUID', { orderId: '10' }],
    ['a missing fact', { reason: undefined }],
  ] as const) {
    it(`lets no event be made with ${what}`, () => {
      const data = { ...STOCK, ...wrong } as typeof STOCK;
      assert.throws(() => shopEvent('InventoryReserved', '10-0-MAIN', 2, ORDER, data), ZodError);
    });
  }

  it('makes an envelope that names source, subject, schema version and cause, and leaves time to the database', () => {
    assert.deepEqual(shopEvent('InventoryReserved', '10-0-MAIN', 2, ORDER, STOCK), {
      specversion: '1.0',
      id: eventIdFor('inventory', '10-0-MAIN', 2, 'InventoryReserved'),
      source: '/commerce-saga/platform',
      type: 'InventoryReserved',
      subject: '10-0-MAIN',
      dataschema: 'urn:commerce-saga:event:InventoryReserved:v1',
      aggregateType: 'inventory',
      aggregateVersion: 2,
      correlationId: ORDER,
      data: STOCK,
    });
  });
});

const types = (from: string, prefix: string, names: readonly string[]) =>
  names.map((name) => `${from}/${prefix}${name}`);
