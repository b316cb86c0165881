import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { openPublisher } from '../../events/bus/kafka-publisher.ts';
import { openTopics } from '../../events/bus/kafka-topics.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { fragileKafka, type KafkaBroker } from '../support/kafka-broker.ts';
import { KafkaFlow } from '../support/kafka-flow.ts';

const BROKER_LIMIT_MS = 300_000;
const CASE_LIMIT_MS = 600_000;
const ROUNDS = 5;
/** Longer than every request may take, and than a consumer may be silent. */
const FROZEN_MS = 40_000;

describe('a Kafka broker that fails again and again', function () {
  this.timeout(CASE_LIMIT_MS);
  let broker: KafkaBroker;
  before(async function () {
    this.timeout(BROKER_LIMIT_MS);
    broker = await fragileKafka(this);
  });
  after(() => broker?.stop()); // not started where the suite is skipped

  it(`keeps every event, its order and its one effect through ${ROUNDS} kills at any moment`, async () => {
    const flow = await KafkaFlow.start(broker.brokers, 3, 3);
    try {
      for (let round = 0; round < ROUNDS; round++) {
        await flow.flows(200);
        await sleep(Math.random() * 1_000);
        await broker.kill();
        await broker.restart();
      }
      await flow.flows(200);
      await flow.assertWhole();
    } finally {
      await flow.close();
    }
  });

  it('keeps them when it stands still with its connections open, and wakes up', async () => {
    const flow = await KafkaFlow.start(broker.brokers, 2, 2);
    try {
      await flow.flows(200);
      broker.freeze();
      await sleep(FROZEN_MS);
      broker.thaw();
      await flow.flows(200);
      await flow.assertWhole();
    } finally {
      await flow.close();
    }
  });

  it('lets a relay and a consumer end while it stands still', async () => {
    const flow = await KafkaFlow.start(broker.brokers, 1, 1);
    await flow.flows(100);
    broker.freeze();
    try {
      await sleep(1_000);
      await flow.close();
    } finally {
      broker.thaw();
    }
  });

  it('is given up by a publisher of which it reads no more, whatever is still to be sent', async () => {
    const connection = { brokers: broker.brokers };
    const publisher = openPublisher(connection, openTopics(connection, { prefix: 'large.' }), () => undefined);
    await publisher.publish([event('a', 1)]);
    broker.freeze();
    try {
      const failed = assert.rejects(publisher.publish([event('a', 2, 'x'.repeat(MORE_THAN_BUFFERS_HOLD))]));
      await Promise.race([
        failed,
        sleep(FROZEN_MS, undefined, { ref: false }).then(() => assert.fail('it still waits')),
      ]);
    } finally {
      broker.thaw();
    }
    assert.deepEqual(await publisher.publish([event('a', 2)]), new Set());
    await publisher.close();
  });
});

const MORE_THAN_BUFFERS_HOLD = 16 * 1024 * 1024;

function event(name: string, version: number, note = ''): StoredEvent {
  const envelope = { id: `${name}-${version}`, note };
  const aggregate = { aggregateType: 'test', aggregateId: name, aggregateVersion: version };
  return { id: `${name}-${version}`, type: 'Tested', source: 'platform', ...aggregate, envelope };
}
