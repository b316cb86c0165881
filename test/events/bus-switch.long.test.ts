import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { NotTheCarrier } from '../../events/bus/carrier.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { openKafkaBus } from '../../events/bus/kafka.ts';
import { type Relay, startRelay } from '../../events/relay.ts';
import { type Databases, openPlatform } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { assertEventsAudited } from '../support/audited-events.ts';
import { runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { append, stockEvent, stockSubject, unpublished, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { Inbox } from '../support/inbox.ts';
import { kafkaBroker } from '../support/kafka-broker.ts';
import { relayProcess } from '../support/relay-process.ts';

const BROKER_LIMIT_MS = 300_000;
const COMMAND_LIMIT_MS = 60_000;
const PLACES = upTo(10).map((n) => `P${n}`);
const log = pino({ level: 'silent' });

describe('switching from the embedded log to Kafka', function () {
  this.timeout(2 * COMMAND_LIMIT_MS);
  let brokers: readonly string[];
  let databases: TestDatabases;
  let platform: Databases['platform'];
  let prefix: string;
  const buses: EventBus[] = [];
  const relays: Relay[] = [];

  before(async function () {
    this.timeout(BROKER_LIMIT_MS);
    ({ brokers } = await kafkaBroker(this));
  });
  beforeEach(async () => {
    prefix = `${randomBytes(4).toString('hex')}.`;
    databases = await freshDatabases();
    platform = openPlatform(databases.urls.platform, { poolSize: 8 });
  });
  afterEach(async () => {
    await Promise.all(relays.splice(0).map((relay) => relay.stop()));
    await Promise.all(buses.splice(0).map((bus) => bus.close()));
    await platform.$disconnect();
    await databases.drop();
  });

  const opened = (bus: EventBus): EventBus => {
    buses.push(bus);
    return bus;
  };
  const embedded = () => opened(openEmbeddedBus({ url: databases.urls.bus, poolSize: 3, log, pollMs: 50 }));
  const kafka = () =>
    opened(openKafkaBus({ brokers, prefix, partitions: 4, url: databases.urls.bus, poolSize: 3, log }));
  const relay = (bus: EventBus): Relay => {
    const started = startRelay({ db: platform, bus, service: 'platform', instance: 'test', pollMs: 50, log });
    relays.push(started);
    return started;
  };
  const environment = () => ({
    ...inheritedEnvironment(),
    ...{ BUS_DATABASE_URL: databases.urls.bus, KAFKA_BROKERS: brokers.join(','), KAFKA_PREFIX: prefix },
  });
  const command = (...args: string[]) => runEntry('cli/events-switch.ts', args, environment(), COMMAND_LIMIT_MS);
  const carrier = async (): Promise<unknown> =>
    (await query(databases.adminUrl('bus'), 'select carrier from bus_carrier'))[0]?.['carrier'];
  const logged = async (): Promise<number> => {
    const [row] = await query<{ n: number }>(databases.adminUrl('bus'), 'select count(*)::int as n from event_log');
    return row?.n ?? 0;
  };

  it('loses no event, keeps their order and makes no effect twice while services go on writing', async () => {
    const inbox = await Inbox.open(databases.adminUrl('views'));
    const oldBus = embedded();
    relay(oldBus);
    const forgotten = relay(embedded());
    const oldConsumer = await oldBus.subscribe('views', inbox.handle);

    let version = 0;
    let writing = true;
    const writer = (async () => {
      while (writing) {
        version += 1;
        for (const place of PLACES) await append(platform, stockEvent(place, version));
        await sleep(5);
      }
    })();
    await eventually('events flow', async () => ((await inbox.count()) > 200 ? true : undefined));

    const switched = await command();
    assert.deepEqual([switched.code, switched.stdout.split('\n')[0]], [0, READ], switched.stderr);
    const inLog = await logged();
    assert.ok((await unpublished(platform)) > 0, 'nothing waited in the outbox: nothing was written meanwhile');
    await assert.rejects(oldBus.lag('views'), NotTheCarrier, 'who reads the log only is not up to date any more');

    await oldConsumer.stop();
    await relays[0]?.stop();
    const newBus = kafka();
    relay(newBus);
    await newBus.subscribe('views', inbox.handle, { from: 'latest' });
    const before = await inbox.count();
    await eventually('events flow by Kafka', async () => ((await inbox.count()) > before + 300 ? true : undefined));
    await forgotten.stop();
    writing = false;
    await writer;

    await eventually('all is published', async () => ((await unpublished(platform)) === 0 ? true : undefined));
    await eventually('all is handled', async () =>
      (await inbox.count()) === version * PLACES.length ? true : undefined,
    );
    const versions = await inbox.versions();
    for (const place of PLACES) assert.deepEqual(versions[stockSubject(place)], upTo(version));
    assert.equal(await logged(), inLog, 'the relay that was forgotten appended to the closed log');
    assert.equal((await newBus.lag('views')).behind, 0);
    assert.deepEqual([(await command()).code, (await command('--check')).stdout.split('\n')[0]], [0, BY_KAFKA]);
    assert.equal(await assertEventsAudited(databases, { brokers, prefix }), version * PLACES.length);
  });

  it('is taken up again after it was killed half-way, while a relay stood still in the middle of a batch', async () => {
    const inbox = await Inbox.open(databases.adminUrl('views'));
    const appendAll = (version: number) => append(platform, ...PLACES.map((place) => stockEvent(place, version)));
    const { platform: platformUrl, bus: busUrl } = databases.urls;
    await appendAll(1);
    const frozen = await relayProcess({ platformUrl, busUrl, leaseMs: 1_500, waits: 'before' });
    try {
      await frozen.waiting();
      frozen.signal('SIGSTOP');
      frozen.goOn(); // it will find this when it wakes
      const oldBus = embedded();
      const oldRelay = relay(oldBus);
      await eventually('another one has taken over', async () =>
        (await unpublished(platform)) === 0 ? true : undefined,
      );
      await (await oldBus.subscribe('views', inbox.handle)).stop();
      await appendAll(2);
      await eventually('all is published', async () => ((await unpublished(platform)) === 0 ? true : undefined));
      const inLog = await logged();

      const killed = spawn(process.execPath, ['--import', 'tsx', 'cli/events-switch.ts'], { env: environment() });
      const ended = once(killed, 'exit');
      await eventually('the log is closed', async () => ((await carrier()) === 'none' ? true : undefined));
      killed.kill('SIGKILL');
      assert.deepEqual(await ended, [null, 'SIGKILL']);
      await appendAll(3);

      const oldConsumer = await oldBus.subscribe('views', inbox.handle);
      const switched = await command();
      assert.deepEqual([switched.code, switched.stdout.split('\n')[0]], [0, READ], switched.stderr);
      await Promise.all([oldConsumer.stop(), oldRelay.stop()]);
      const newBus = kafka();
      relay(newBus);
      await newBus.subscribe('views', inbox.handle, { from: 'latest' });
      frozen.signal('SIGCONT');
      await appendAll(4);
      const all = 4 * PLACES.length;
      await eventually('all is handled', async () => ((await inbox.count()) === all ? true : undefined));
      await eventually('all is marked', async () => ((await unpublished(platform)) === 0 ? true : undefined));
      const versions = await inbox.versions();
      for (const place of PLACES) assert.deepEqual(versions[stockSubject(place)], upTo(4));
      assert.deepEqual([await logged(), frozen.published(), frozen.fenced()], [inLog, 0, 0]);
      assert.equal(await assertEventsAudited(databases, { brokers, prefix }), all);
    } finally {
      await frozen.end();
    }
  });

  it('carries nothing by Kafka while the log is in use, and nothing by either until its consumers have read it', async () => {
    const [log, other] = [embedded(), kafka()];
    const stored = (version: number) => storedEvent(version);
    await log.publish([stored(1)]);
    await assert.rejects(other.publish([stored(2)]), NotTheCarrier);
    await assert.rejects(
      other.subscribe('views', () => Promise.resolve()),
      NotTheCarrier,
    );
    const stopped = await log.subscribe('views', () => Promise.resolve());
    await eventually('it is read', async () => ((await log.lag('views')).behind === 0 ? true : undefined));
    await stopped.stop();
    await log.publish([stored(2)]);

    const unread = await command('--wait', '1');
    assert.equal(unread.code, 1, unread.stderr);
    assert.match(unread.stdout, /not read to its end in 1 s: views 1\./);
    await assert.rejects(log.publish([stored(3)]), /the event log is closed/);
    await assert.rejects(other.publish([stored(3)]), NotTheCarrier);

    assert.equal((await command('--cancel')).code, 0);
    assert.deepEqual(await log.publish([stored(3)]), new Set());
    assert.equal((await command('--without', 'views')).code, 0);
    assert.deepEqual(await other.publish([stored(4)]), new Set());
    await assert.rejects(log.publish([stored(4)]), /the event log is closed/);
    assert.deepEqual([(await command('--cancel')).code, await logged()], [1, 3]);
  });

  it('needs no switching where no event ever went by the log, and closes it for good', async () => {
    assert.deepEqual(await kafka().publish([storedEvent(1)]), new Set());
    await assert.rejects(embedded().publish([storedEvent(2)]), /the event log is closed/);
  });

  it('closes nothing when Kafka does not answer, or is not named', async () => {
    const unreachable = await runEntry(
      'cli/events-switch.ts',
      [],
      { ...inheritedEnvironment(), BUS_DATABASE_URL: databases.urls.bus, KAFKA_BROKERS: '127.0.0.1:1' },
      COMMAND_LIMIT_MS,
    );
    assert.equal(unreachable.code, 2);
    assert.match(unreachable.stderr, /^events:switch: Kafka: .*127\.0\.0\.1:1/);
    const unnamed = await runEntry(
      'cli/events-switch.ts',
      [],
      { ...inheritedEnvironment(), BUS_DATABASE_URL: databases.urls.bus, KAFKA_BROKERS: '' },
      COMMAND_LIMIT_MS,
    );
    assert.deepEqual([unnamed.code, unnamed.stderr], [2, NOT_NAMED]);
    assert.deepEqual(await embedded().publish([storedEvent(1)]), new Set());
  });

  const storedEvent = (version: number) => {
    const event = stockEvent('SEOUL', version);
    const { id, type, aggregateType, subject: aggregateId, aggregateVersion } = event;
    return { id, type, source: 'platform', aggregateType, aggregateId, aggregateVersion, envelope: { ...event } };
  };
});

const READ = 'Every consumer has read the log to its end. Events go by Kafka now:';
const BY_KAFKA = 'Events go by Kafka.';
const NOT_NAMED = 'events:switch: KAFKA_BROKERS is not set: name the brokers to switch to.\n';
