import { randomBytes } from 'node:crypto';

import { pino } from 'pino';

import { openKafkaBus } from '../../events/bus/kafka.ts';
import { freshDatabases } from '../support/databases.ts';
import { kafkaBroker } from '../support/kafka-broker.ts';
import { busContract } from './bus-contract.ts';

const log = pino({ level: 'silent' });
const PARTITIONS = 4;
/** More than a broker takes in one record. */
const TOO_MUCH = 2_000_000;

busContract('Kafka', async (context) => {
  const { brokers } = await kafkaBroker(context);
  const databases = await freshDatabases();
  const url = databases.urls.bus;
  const prefix = `${randomBytes(4).toString('hex')}.`;
  return {
    databases,
    open: () =>
      openKafkaBus({ brokers, prefix, partitions: PARTITIONS, url, poolSize: 3, log, sessionTimeoutMs: 2_000 }),
    env: {
      BUS_DATABASE_URL: url,
      KAFKA_BROKERS: brokers.join(','),
      KAFKA_PREFIX: prefix,
      KAFKA_PARTITIONS: String(PARTITIONS),
    },
    unstorable: (event) => ({ ...event, envelope: { ...event.envelope, note: 'x'.repeat(TOO_MUCH) } }),
    close: () => databases.drop(),
  };
});
