import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';

import { pino } from 'pino';

import { openKafkaBus } from '../../events/bus/kafka.ts';
import { openTopics } from '../../events/bus/kafka-topics.ts';
import { readEvent } from '../../events/read-event.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { openPlatform } from '../../infra/databases.ts';
import { type EmbeddedPostgresServer, startPostgres } from '../../infra/embedded/postgres.ts';
import { DATABASE_NAMES, provisionDatabases } from '../../infra/embedded/provision.ts';
import { query } from '../support/databases.ts';
import { startDebezium } from '../support/debezium.ts';
import {
  append,
  firstOnly,
  stockEvents,
  stockSubject,
  unpublished,
  upTo,
  versionsBySubject,
} from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { fragileKafka, type KafkaBroker } from '../support/kafka-broker.ts';
import { noteServer, serverFolder } from '../support/servers.ts';

const SERVERS_LIMIT_MS = 300_000;
const CASE_LIMIT_MS = 300_000;
/** What docs/deployment.md tells the owner of an outbox to run, in this order. */
const BEGIN = [
  "create publication outbox_events for table outbox with (publish = 'insert')",
  "select pg_create_logical_replication_slot('outbox_platform', 'pgoutput')::text",
  'alter table outbox alter column published_at set default now()',
];

describe('Debezium instead of relays', function () {
  this.timeout(CASE_LIMIT_MS);
  let broker: KafkaBroker;
  let postgres: EmbeddedPostgresServer;
  let folder: string;
  before(async function () {
    this.timeout(SERVERS_LIMIT_MS);
    broker = await fragileKafka(this);
    folder = await serverFolder();
    postgres = await startPostgres({ dataDir: folder, port: 0, settings: { wal_level: 'logical', fsync: 'off' } });
    noteServer(postgres, folder);
  });
  after(async () => {
    await broker?.stop(); // not started where the suite is skipped
    await postgres?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  it('carries every event as ours are, in the order of its aggregate, also when it is killed', async () => {
    const urls = await provisionDatabases(postgres.adminUrl);
    const adminUrl = Object.assign(new URL(postgres.adminUrl), { pathname: `/${DATABASE_NAMES.platform}` }).href;
    for (const statement of BEGIN) await query(adminUrl, statement);
    const options = { brokers: broker.brokers, partitions: 4 };
    await openTopics(options, options).ensure();
    const platform = openPlatform(urls.platform, { poolSize: 2 });
    const bus = openKafkaBus({ ...options, url: urls.bus, poolSize: 3, log: pino({ level: 'silent' }) });
    // The slot keeps what comes before there is a connector.
    for (const place of ['A', 'B']) await append(platform, ...stockEvents(place, 1, 20));
    const debezium = await startDebezium('platform', adminUrl, broker.brokers, {
      'heartbeat.interval.ms': '500', // its topic has to be made as well
    });
    const received: StoredEvent[] = [];
    try {
      await bus.subscribe('views', (batch) => {
        batch.forEach((event) => readEvent(event));
        received.push(...batch);
        return Promise.resolve();
      });
      const versions = (place: string) => firstOnly(versionsBySubject(received)[stockSubject(place)] ?? []);
      const came = (place: string, count: number) =>
        eventually(`${count} events of ${place} came`, () =>
          Promise.resolve(versions(place).length >= count ? true : undefined),
        );
      const [first] = stockEvents('A', 1, 1);
      for (const place of ['A', 'B']) await append(platform, ...stockEvents(place, 21, 40));
      await came('B', 40);
      await debezium.kill();
      for (const place of ['A', 'B']) await append(platform, ...stockEvents(place, 41, 80));
      await debezium.restart();
      for (const place of ['A', 'B']) {
        await came(place, 80);
        assert.deepEqual(versions(place), upTo(80));
      }
      assert.equal(received[0]?.id, first?.id);
      const [event] = received;
      assert.deepEqual(
        [event?.source, event?.type, event?.aggregateType, event?.aggregateVersion],
        ['platform', 'InventoryReserved', 'inventory', 1],
      );
      assert.equal(await unpublished(platform), 0);
      assert.deepEqual(await query(urls.bus, 'select * from dead_letters'), []);
    } finally {
      await debezium.stop();
      await bus.close();
      await platform.$disconnect();
    }
  });
});
