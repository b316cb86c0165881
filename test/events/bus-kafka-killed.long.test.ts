import { setTimeout as sleep } from 'node:timers/promises';

import { fragileKafka, type KafkaBroker } from '../support/kafka-broker.ts';
import { KafkaFlow } from '../support/kafka-flow.ts';

const BROKER_LIMIT_MS = 300_000;
const CASE_LIMIT_MS = 240_000;

describe('a Kafka broker that is killed', function () {
  this.timeout(CASE_LIMIT_MS);
  let broker: KafkaBroker;
  before(async function () {
    this.timeout(BROKER_LIMIT_MS);
    broker = await fragileKafka(this);
  });
  after(() => broker?.stop()); // not started where the suite is skipped

  it('loses no event, no order and makes no effect twice: what waits in the outboxes flows when it is back', async () => {
    const flow = await KafkaFlow.start(broker.brokers, 2, 2);
    try {
      await flow.flows(300);
      await broker.kill();
      await sleep(3_000);
      await broker.restart();
      await flow.flows(300);
      await flow.assertWhole();
    } finally {
      await flow.close();
    }
  });
});
