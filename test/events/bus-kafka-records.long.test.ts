import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { ConfigResourceTypes, IncrementalAlterConfigOperationTypes } from '@platformatic/kafka';
import { pino } from 'pino';

import { type KafkaBusOptions, openKafkaBus } from '../../events/bus/kafka.ts';
import { openAdmin, openProducer, openReader } from '../../events/bus/kafka-connection.ts';
import { openPublisher } from '../../events/bus/kafka-publisher.ts';
import { openTopics } from '../../events/bus/kafka-topics.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { firstOnly, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { kafkaBroker } from '../support/kafka-broker.ts';

const BROKER_LIMIT_MS = 300_000;
const { SET } = IncrementalAlterConfigOperationTypes;
const log = pino({ level: 'silent' });

describe('the bus on Kafka', () => {
  let databases: TestDatabases;
  let brokers: readonly string[];
  let options: KafkaBusOptions;
  before(async function () {
    this.timeout(BROKER_LIMIT_MS);
    ({ brokers } = await kafkaBroker(this));
    databases = await freshDatabases();
  });
  after(() => databases?.drop()); // not made where the suite is skipped
  beforeEach(() => {
    const prefix = `${randomBytes(4).toString('hex')}.`;
    options = { brokers, prefix, partitions: 3, url: databases.urls.bus, poolSize: 3, log, sessionTimeoutMs: 2_000 };
  });

  it('makes a topic for each service with the partitions, copies and time that were asked for, and no topic twice', async () => {
    const asked = { ...options, replicas: 1, retentionMs: 86_400_000 };
    const topics = openTopics(options, asked);
    await Promise.all([topics.ensure(), openTopics(options, asked).ensure()]);
    await openTopics(options, { ...asked, partitions: 7 }).ensure();
    assert.deepEqual(
      topics.names,
      ['platform', 'order', 'payment'].map((service) => `${options.prefix}${service}.events`),
    );
    const admin = openAdmin(options);
    try {
      const { topics: found } = await admin.metadata({ topics: [...topics.names] });
      for (const name of topics.names) {
        const { partitions = [] } = found.get(name) ?? {};
        assert.deepEqual([partitions.length, partitions[0]?.replicas.length], [3, 1]);
      }
      const resources = topics.names.map((resourceName) => ({ resourceType: ConfigResourceTypes.TOPIC, resourceName }));
      const described = await admin.describeConfigs({ resources });
      const retention = described.map(({ configs }) => configs.find(({ name }) => name === 'retention.ms')?.value);
      assert.deepEqual(
        retention,
        topics.names.map(() => '86400000'),
      );
    } finally {
      await admin.close();
    }
  });

  it('says which topic it may not make', async () => {
    const topics = openTopics(options, { ...options, replicas: 3 });
    await assert.rejects(topics.ensure(), (error: Error) => {
      assert.match(error.message, /^Kafka: .*(factor|replica)/i);
      assert.ok(!error.message.includes('\n'));
      return true;
    });
  });

  it('stores more in one call than a broker takes in one request, whole and in order', async () => {
    const bus = openKafkaBus(options);
    try {
      const events = upTo(400).map((version) => event('big', version, 'x'.repeat(8_000)));
      assert.deepEqual(await bus.publish(events), new Set());
      const versions: number[] = [];
      await bus.subscribe('g', (batch) => {
        versions.push(...batch.map(({ aggregateVersion }) => aggregateVersion));
        return Promise.resolve();
      });
      await eventually('all came', () => Promise.resolve(versions.length === 400 ? true : undefined));
      assert.deepEqual(versions, upTo(400));
    } finally {
      await bus.close();
    }
  });

  it('loses no event of a partition that took its part of a request of which another part was refused', async () => {
    const topics = openTopics(options, { ...options, partitions: 1 });
    await topics.ensure();
    await takesAtMost(topics.topicOf('platform') ?? '', 2_000);
    const refused: string[] = [];
    const publisher = openPublisher(options, topics, (_error, subject) => void refused.push(subject));
    const order = (version: number) => ({ ...event('a', version), source: 'order' });
    try {
      // One topic takes its part and the other refuses its own: what the producer counts and what the broker counts differ.
      for (let round = 1; round <= 5; round++) {
        const poison = event(`p${round}`, 1, 'x'.repeat(9_000));
        const [first, second, third] = [order(3 * round - 2), order(3 * round - 1), order(3 * round)];
        assert.deepEqual(await publisher.publish([first, poison, second]), new Set([`test/p${round}`]));
        assert.deepEqual(await publisher.publish([third]), new Set());
      }
      const stored = await storedVersions(topics.topicOf('order') ?? '');
      assert.deepEqual(firstOnly(stored), upTo(15));
      assert.equal(refused.length, 5);
    } finally {
      await publisher.close();
    }
  });

  it('hands on a large batch of one partition while the others never run dry', async () => {
    const one = { ...options, partitions: 1 };
    const [bus, ...busy] = [openKafkaBus(one), openKafkaBus(one), openKafkaBus(one)];
    let flows = true;
    try {
      const seen = new Map<string, number>();
      await bus.subscribe('g', (batch) => {
        for (const { source } of batch) seen.set(source, (seen.get(source) ?? 0) + 1);
        return Promise.resolve();
      });
      const keepBusy = busy.map(async (publisher, n) => {
        for (let version = 1; flows; version++)
          await publisher.publish([{ ...event(`n${n}`, version), source: 'order' }]);
      });
      await eventually('the others flow', () => Promise.resolve((seen.get('order') ?? 0) > 100 || undefined));
      const large = upTo(50).map((version) => event('large', version, 'x'.repeat(9_000))); // of one request
      for (const source of ['platform', 'payment']) await bus.publish(large.map((one) => ({ ...one, source })));
      const all = () =>
        Promise.resolve(['platform', 'payment'].every((source) => seen.get(source) === 50) || undefined);
      await eventually('it came', all, 5_000).finally(() => (flows = false));
      await Promise.all(keepBusy);
    } finally {
      flows = false;
      await Promise.all([bus, ...busy].map((each) => each.close()));
    }
  });

  it('keeps all events of a subject in one partition, the one that other clients choose too', async () => {
    const topics = openTopics(options, options);
    await topics.ensure();
    const producer = openProducer(options);
    try {
      // Of Kafka's own tests of its hash: -973932308, -790332482 and -985981536, made positive, by 3 partitions.
      const keys = { '21': 0, foobar: 0, 'a-little-bit-long-string': 2 };
      for (const [key, partition] of Object.entries(keys)) {
        const topic = topics.topicOf('order') ?? '';
        const { offsets = [] } = await producer.send({ messages: [{ topic, key, value: '{}' }] });
        assert.deepEqual([key, offsets.map((at) => at.partition)], [key, [partition]]);
      }
    } finally {
      await producer.close();
    }
  });

  it('sets aside what somebody else wrote to a topic, and hands on what is behind it', async () => {
    const bus = openKafkaBus(options);
    const producer = openProducer(options);
    try {
      const seen: string[] = [];
      await bus.subscribe('g', (batch) => {
        seen.push(...batch.map(({ aggregateId, aggregateVersion }) => `${aggregateId} ${aggregateVersion}`));
        return Promise.resolve();
      });
      const topic = `${options.prefix}platform.events`;
      await producer.send({ messages: [{ topic, key: 'test/a', value: 'not JSON' }] });
      await producer.send({ messages: [{ topic, key: 'test/b', value: '[]' }] });
      await bus.publish([event('a', 1), event('c', 1)]);
      const letters = () =>
        query<{ subject: string; broken: boolean; error: string }>(
          databases.adminUrl('bus'),
          `select subject, broken, error from dead_letters where place like $1 order by subject, id`,
          [`${options.prefix}%`],
        );
      await eventually('the others came', () => Promise.resolve(seen.includes('c 1') ? true : undefined));
      await eventually('they are filed', async () => ((await letters()).length === 3 ? true : undefined));
      assert.deepEqual(
        (await letters()).map(({ subject, broken }) => [subject, broken]),
        [
          ['test/a', true],
          ['test/a', false],
          ['test/b', true],
        ],
      );
      assert.deepEqual(seen, ['c 1']);
    } finally {
      await producer.close();
      await bus.close();
    }
  });

  it('hands a group that it has forgotten, because it was away for too long, nothing too little', async () => {
    const bus = openKafkaBus(options);
    const topics = openTopics(options, options);
    const admin = openAdmin(options);
    const seen: number[] = [];
    const subscribe = () =>
      bus.subscribe(
        'latest',
        (batch) => Promise.resolve(void seen.push(...batch.map(({ aggregateVersion }) => aggregateVersion))),
        { from: 'latest' },
      );
    try {
      await bus.publish([event('a', 1)]);
      const first = await subscribe();
      await bus.publish([event('a', 2)]);
      await eventually('it is handled', () => Promise.resolve(seen.includes(2) || undefined));
      await first.stop();
      assert.deepEqual(seen, [2]);
      await bus.publish([event('a', 3)]);
      await admin.deleteGroups({ groups: [topics.groupId('latest')] }); // as after `offsets.retention.minutes`

      await subscribe();
      await eventually('what came meanwhile is handled', () => Promise.resolve(seen.includes(3) || undefined));
      assert.deepEqual(firstOnly(seen.slice(1)), upTo(3));
    } finally {
      await admin.close();
      await bus.close();
    }
  });

  it('ends a subscription loudly when Kafka has thrown away what comes next', async () => {
    const bus = openKafkaBus({ ...options, partitions: 1 });
    const topics = openTopics(options, { ...options, partitions: 1 });
    const admin = openAdmin(options);
    try {
      const first = await bus.subscribe('g', () => Promise.resolve());
      await bus.publish(upTo(3).map((version) => event('a', version)));
      await eventually('it is handled', async () => ((await bus.lag('g')).behind === 0 ? true : undefined));
      await first.stop();
      await bus.publish(upTo(9).map((version) => event('a', version)));
      const name = topics.topicOf('platform') ?? '';
      await admin.deleteRecords({ topics: [{ name, partitions: [{ partition: 0, offset: 8n }] }] });

      const second = await bus.subscribe('g', () => Promise.resolve());
      await assert.rejects(second.ended, /Kafka no longer has the events that group g comes to next/);
      await second.stop();
    } finally {
      await admin.close();
      await bus.close();
    }
  });

  async function takesAtMost(topic: string, bytes: number): Promise<void> {
    const admin = openAdmin(options);
    const config = { name: 'max.message.bytes', value: String(bytes), configOperation: SET };
    try {
      await admin.incrementalAlterConfigs({
        resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs: [config] }],
      });
    } finally {
      await admin.close();
    }
  }

  async function storedVersions(topic: string): Promise<number[]> {
    const reader = openReader(options, 'reader');
    try {
      reader.topics.trackAll(topic);
      const { topics } = await reader.metadata({ topics: [topic] });
      const partitions = [
        { partition: 0, fetchOffset: 0n, partitionMaxBytes: 4_000_000, currentLeaderEpoch: -1, lastFetchedEpoch: -1 },
      ];
      const answer = await reader.fetch({ node: 1, topics: [{ topicId: topics.get(topic)?.id ?? '', partitions }] });
      const batches = answer.responses.flatMap((one) => one.partitions.flatMap(({ records = [] }) => records));
      return batches.flatMap(({ records }) =>
        records.map(({ headers }) => {
          const [, version] = headers.find(([name]) => name?.toString() === 'aggregateVersion') ?? [];
          return Number(version?.toString());
        }),
      );
    } finally {
      await reader.close();
    }
  }
});

function event(name: string, version: number, note = ''): StoredEvent {
  const envelope = { id: `${name}-${version}`, note };
  const aggregate = { aggregateType: 'test', aggregateId: name, aggregateVersion: version };
  return { id: `${name}-${version}`, type: 'Tested', source: 'platform', ...aggregate, envelope };
}
