import assert from 'node:assert/strict';

import type { KafkaRecord } from '@platformatic/kafka';

import { deliveryOf, recordOf } from '../../events/bus/kafka-records.ts';
import type { StoredEvent } from '../../events/stored-event.ts';

const event: StoredEvent = {
  id: '0b8a3c57-8a0e-5a53-9d4e-7f5b5b8f7f01',
  type: 'OrderPaid',
  source: 'order',
  aggregateType: 'order',
  aggregateId: '주문/7 ⚑',
  aggregateVersion: 12,
  envelope: { specversion: '1.0', source: '/commerce-saga/order', subject: '주문/7 ⚑', data: { note: '\u0000"€' } },
};

describe('an event as a Kafka record', () => {
  it('is read as it was sent, with its place', () => {
    const { key, value, headers } = recordOf('order.events', event);
    assert.equal(key, 'order/주문/7 ⚑');
    assert.equal(headers['content-type'], 'application/cloudevents+json; charset=UTF-8');
    const delivery = deliveryOf('order.events', 3, 17n, record(key, value, headers));
    assert.deepEqual(delivery, { place: 'order.events/3/17', event });
  });

  it('names its trace in a header, where tracers look for it', () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const { headers } = recordOf('order.events', { ...event, envelope: { ...event.envelope, traceparent } });
    assert.equal(headers['traceparent'], traceparent);
    assert.ok(!('traceparent' in recordOf('order.events', event).headers));
  });

  it('is known by its envelope where the sender set no headers', () => {
    const envelope = { id: event.id, type: 'OrderPaid', source: '/commerce-saga/order', subject: 'x' };
    const value = JSON.stringify({ ...envelope, aggregateType: 'order', aggregateVersion: 3 });
    const { event: read, broken } = deliveryOf('order.events', 0, 0n, record('x', value));
    assert.equal(broken, undefined);
    const { id, type, source, aggregateType, aggregateId, aggregateVersion } = read;
    assert.deepEqual(
      [id, type, source, aggregateType, aggregateId, aggregateVersion],
      [event.id, 'OrderPaid', 'order', 'order', 'x', 3],
    );
  });

  for (const [what, value, reason] of [
    ['text', 'hello', "the record's value is no JSON object"],
    ['a list', '[1]', "the record's value is no JSON object"],
    ['nothing', null, 'the record has no value'],
  ] as const) {
    it(`is broken when it is ${what}, and belongs to the subject that its key names`, () => {
      const delivery = deliveryOf('order.events', 1, 2n, record('order/8', value));
      assert.equal(delivery.broken, reason);
      assert.deepEqual([delivery.event.aggregateType, delivery.event.aggregateId], ['order', '8']);
      assert.deepEqual(delivery.event.envelope, { unreadable: value ?? '' });
      assert.equal(deliveryOf('order.events', 1, 2n, record('order/8', value)).event.id, delivery.event.id);
      assert.notEqual(deliveryOf('order.events', 1, 3n, record('order/8', value)).event.id, delivery.event.id);
    });
  }

  it('is no version when it has none that is a whole number', () => {
    for (const aggregateVersion of ['1.5', 'x', '9'.repeat(20)]) {
      const delivery = deliveryOf('order.events', 0, 0n, record('order/8', '{}', { aggregateVersion }));
      assert.equal(delivery.event.aggregateVersion, 0);
    }
  });
});

function record(key: string, value: string | null, headers: Readonly<Record<string, string>> = {}): KafkaRecord {
  return {
    ...{ length: 0, attributes: 0, timestampDelta: 0n, offsetDelta: 0 },
    key: Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: Object.entries(headers).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]),
  };
}
