import assert from 'node:assert/strict';

import { ConfigError, readConfig } from '../../infra/config.ts';

describe('the settings for Kafka', () => {
  const kafka = (env: Record<string, string>) => readConfig(env).kafka;

  it('are none where no broker is named, whatever else is set', () => {
    assert.equal(kafka({}), undefined);
    assert.equal(kafka({ KAFKA_BROKERS: '', KAFKA_PREFIX: 'shop.', KAFKA_TLS: 'true' }), undefined);
  });

  it('are brokers without encryption and without a name, unless they are given', () => {
    assert.deepEqual(kafka({ KAFKA_BROKERS: 'one.test:9092,two.test:9093' }), {
      ...{ brokers: ['one.test:9092', 'two.test:9093'], tls: false, sasl: undefined, prefix: '' },
      ...{ partitions: undefined, replicas: undefined },
    });
    const secured = {
      ...{ KAFKA_BROKERS: 'one.test:9092', KAFKA_TLS: 'true', KAFKA_USERNAME: 'events', KAFKA_PASSWORD: 'p w' },
      ...{ KAFKA_PREFIX: 'shop.', KAFKA_PARTITIONS: '24', KAFKA_REPLICAS: '3' },
    };
    assert.deepEqual(kafka(secured), {
      ...{ brokers: ['one.test:9092'], tls: true, prefix: 'shop.', partitions: 24, replicas: 3 },
      sasl: { mechanism: 'SCRAM-SHA-512', username: 'events', password: 'p w' },
    });
  });

  for (const [what, env, said] of [
    ['a broker without a port', { KAFKA_BROKERS: 'one.test' }, /KAFKA_BROKERS: must be host:port/],
    ['an empty place in the list', { KAFKA_BROKERS: 'one.test:1,,two.test:2' }, /KAFKA_BROKERS/],
    ['a name without a password', { KAFKA_USERNAME: 'events' }, /KAFKA_USERNAME, KAFKA_PASSWORD: set both, or neither/],
    ['TLS that is neither on nor off', { KAFKA_TLS: 'perhaps' }, /KAFKA_TLS/],
  ] as const) {
    it(`refuse ${what}, and say which variable it is`, () => {
      assert.throws(
        () => kafka(env),
        (error) => error instanceof ConfigError && said.test(error.message),
      );
    });
  }
});
