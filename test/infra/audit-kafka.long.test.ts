import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';

import { Admin, Producer, stringSerializers } from '@platformatic/kafka';
import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openKafkaBus } from '../../events/bus/kafka.ts';
import { kafkaHistory } from '../../events/bus/kafka-history.ts';
import { switchToKafka } from '../../events/bus/switch.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { audit, type Audited } from '../../infra/audit/audit.ts';
import { CannotLook } from '../../infra/audit/snapshot.ts';
import { openBus } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type AuditedShop, brokenIn, MUG, openAuditedShop } from '../support/audited-shop.ts';
import { type Ended, runEntry } from '../support/commands.ts';
import { kafkaBroker } from '../support/kafka-broker.ts';

const LIMIT_MS = 120_000;
/** A row of stock whose events the tests of order play with. */
const SUBJECT = 'inventory/101-1011-MAIN';

describe('the audit of events on Kafka', function () {
  this.timeout(LIMIT_MS);
  const prefix = `${randomBytes(4).toString('hex')}.`;
  let shop: AuditedShop;
  let brokers: readonly string[];
  let bus: EventBus;
  /** What earlier tests have broken. */
  let known: Set<string>;

  before(async function () {
    this.timeout(3 * LIMIT_MS);
    ({ brokers } = await kafkaBroker(this));
    shop = await openAuditedShop();
    await shop.paid();
    await shop.drain();
    const database = openBus(shop.urls.bus, { poolSize: 2 });
    const options = { without: [], limitMs: 10_000, onProgress: () => undefined };
    assert.equal((await switchToKafka({ bus: database }, options)).result, 'SWITCHED');
    await database.$disconnect();
    const log = pino({ level: 'silent' });
    bus = openKafkaBus({ brokers, prefix, partitions: 3, url: shop.urls.bus, poolSize: 3, log });
    for (const end of ['paid', 'cancelled', 'declined', 'paid'] as const) await shop[end]();
    await shop.drain(bus);
  });
  after(async () => {
    await bus?.close();
    await shop?.close();
  });
  beforeEach(async () => {
    known = new Set(brokenIn(await look()));
  });

  const look = (say?: (what: string) => void) =>
    audit(
      { urls: shop.urls, ledger: undefined, workflows: undefined, topics: kafkaHistory({ brokers }, { prefix }) },
      { only: [7], recheckAfterMs: 50, ...(say && { say }) },
    );
  const newIn = ({ findings }: Audited) => findings.filter((one) => !known.has(`${one.invariant} ${one.row}`));
  const broken = async () => newIn(await look()).map(({ row, is }) => `${row}: ${is}`);
  const mark = (more = '') =>
    shop.damage('platform', `update outbox set published_at = clock_timestamp() ${more} where published_at is null`);
  /** The newest events of the row of stock, as its service has stored them, oldest first. */
  const newest = async (count: number): Promise<StoredEvent[]> => {
    const rows = await shop.ask(
      'platform',
      `select event_id::text as id, type, 'platform' as source, aggregate_type as "aggregateType",
         aggregate_id as "aggregateId", aggregate_version::int as "aggregateVersion", envelope
       from outbox where aggregate_type || '/' || aggregate_id = $1 order by aggregate_version desc limit $2`,
      [SUBJECT, count],
    );
    return (rows as unknown as StoredEvent[]).reverse();
  };
  const only = (events: readonly StoredEvent[]): StoredEvent => {
    const [event] = events;
    assert.ok(event);
    return event;
  };

  it('finds nothing where the log has what came before the switch and Kafka all that came since', async () => {
    const said: string[] = [];
    const { findings, inProgress, unknown, notes, invariants } = await look((what) => said.push(what));
    assert.deepEqual(
      { findings, inProgress, unknown, notes },
      { findings: [], inProgress: [], unknown: [], notes: [] },
    );
    const waits = await Promise.all(
      (['platform', 'order', 'payment'] as const).map((name) =>
        shop.ask(
          name,
          `select count(*)::int as n, count(*) filter (where published_at > now() - interval '1 hour')::int as marked from outbox`,
        ),
      ),
    );
    const stored = waits.reduce((sum, [row]) => sum + Number((row as { n: number }).n), 0);
    assert.equal(invariants[0]?.looked, stored);
    const records = said.filter((what) => what.endsWith('records on Kafka')).at(-1);
    assert.match(String(records), /^(\d+) of \1 records on Kafka$/);
    assert.ok(Number.parseInt(String(records)) > 20, records);
  });

  it('joins no group and stores no offset', async () => {
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [...brokers] });
    try {
      const groups = [...(await admin.listGroups({})).keys()];
      assert.deepEqual(
        groups.filter((name) => name.startsWith(prefix)),
        [],
      );
    } finally {
      await admin.close();
    }
  });

  it('takes no offence at events that came twice, nor at one in the log whose mark says after the switch', async () => {
    await shop.damage('order', 'update outbox set published_at = null where id > 2');
    await shop.drain(bus);
    await shop.damage(
      'platform',
      `update outbox set published_at = clock_timestamp() where aggregate_type || '/' || aggregate_id = '${SUBJECT}'
         and aggregate_version = 1`,
    );
    assert.deepEqual(await broken(), []);
  });

  it('names an event that is marked as published and is nowhere, and the gap once a later one is there', async () => {
    await shop.addStock(MUG, 5);
    await mark();
    const lost = only(await newest(1));
    const text = `InventoryAdjusted ${lost.aggregateVersion} of ${SUBJECT}`;
    assert.deepEqual(await broken(), [`event ${lost.id}: marked as published by platform: ${text}`]);

    await shop.addStock(MUG, 5);
    await shop.drain(bus);
    const next = lost.aggregateVersion + 1;
    const found = await broken();
    assert.equal(found.length, 2, found.join('\n'));
    const gap = found.find((line) => line.startsWith(`version ${next} of ${SUBJECT} on the bus: on Kafka at `));
    assert.match(String(gap), new RegExp(`, and version ${lost.aggregateVersion} is not there$`));
    await bus.publish([lost]); // heals the loss; what is out of order stays so
    assert.match((await broken()).join('\n'), /^version .* on the bus: on Kafka at .*, before version .* at [^\n]*$/);
  });

  it('names versions that came in the wrong order, once', async () => {
    for (let n = 0; n < 3; n++) await shop.addStock(MUG, 1);
    const [first, second, third] = await newest(3);
    assert.ok(first && second && third);
    await bus.publish([first, third, second, third]);
    await mark();
    const found = newIn(await look());
    assert.deepEqual(
      found.map(({ row, shouldBe }) => [row, shouldBe]),
      [
        [
          `version ${third.aggregateVersion} of ${SUBJECT} on the bus`,
          `comes after version ${second.aggregateVersion}`,
        ],
      ],
    );
    assert.match(String(found[0]?.is), new RegExp(`, before version ${second.aggregateVersion} at ${prefix}platform`));
  });

  it('names what no service has stored, what has other content, and what is no event at all', async () => {
    const stored = only(await newest(1));
    const [unknown, noId] = [randomUUID(), 'order 17; drop table'];
    await bus.publish([
      { ...stored, id: unknown },
      { ...stored, id: noId },
      { ...stored, envelope: { ...stored.envelope, data: { note: '\u0000' } } },
      { ...stored, type: 'InventoryReserved' },
    ]);
    const producer = new Producer({ clientId: 'test', bootstrapBrokers: [...brokers], serializers: stringSerializers });
    await producer.send({ messages: [{ topic: `${prefix}order.events`, key: 'order/x', value: 'no JSON' }] });
    await producer.close();

    const found = await broken();
    assert.equal(found.length, 4, found.join('\n'));
    for (const id of [unknown, noId]) {
      assert.ok(found.some((line) => line.startsWith(`event ${id}: on Kafka at ${prefix}platform.events/`)));
    }
    const other = found.find((line) => line.startsWith(`event ${stored.id}: `));
    assert.match(String(other), /with other content on Kafka.*; with other content on Kafka.* InventoryReserved/);
    const record = found.find((line) => line.startsWith(`record ${prefix}order.events/`));
    assert.match(String(record), /: on Kafka: the record's value is no JSON object$/);
  });

  it('looks for nothing that may have been thrown away, says how much that is, and still names what is younger', async () => {
    await shop.addStock(MUG, 5);
    await mark(`+ interval '10 minutes'`);
    const lost = only(await newest(1));
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [...brokers] });
    try {
      const ends = await admin.listOffsets({
        topics: ['platform', 'order', 'payment'].map((service) => ({
          name: `${prefix}${service}.events`,
          partitions: [0, 1, 2].map((partitionIndex) => ({ partitionIndex, timestamp: -1n })),
        })),
      });
      // Of the stock's topic the last record of each partition stays, of the others nothing does.
      await admin.deleteRecords({
        topics: ends.map(({ name, partitions }) => ({
          name,
          partitions: partitions.map(({ partitionIndex: partition, offset }) => ({
            ...{ partition, offset: name.includes('platform') && offset > 0n ? offset - 1n : offset },
          })),
        })),
      });
    } finally {
      await admin.close();
    }
    const { findings, notes } = await look();
    assert.deepEqual(
      findings.filter(({ row }) => !known.has(`7 ${row}`)).map(({ row }) => row),
      [`event ${lost.id}`],
    );
    assert.match(notes.join('\n'), /^7: \d+ events of platform are not looked for: what Kafka keeps begins at 2\S+Z$/m);
    assert.match(notes.join('\n'), /^7: \d+ events of order are not looked for: Kafka has none any more$/m);
  });

  describe('when Kafka cannot be read', () => {
    const command = (settings: Readonly<Record<string, string>>): Promise<Ended> => {
      const env = {
        ...{ ...inheritedEnvironment(), NODE_ENV: 'test', DATA_DIR: '/nowhere' },
        PLATFORM_DATABASE_URL: shop.urls.platform,
        ORDER_DATABASE_URL: shop.urls.order,
        PAYMENT_DATABASE_URL: shop.urls.payment,
        BUS_DATABASE_URL: shop.urls.bus,
      };
      return runEntry('cli/audit.ts', ['--only', '7', '--no-temporal'], { ...env, ...settings }, LIMIT_MS);
    };

    it('ends with 2 and a line that says what to set, start or correct', async () => {
      const unset = await command({});
      assert.deepEqual([unset.code, unset.stdout], [2, '']);
      assert.match(unset.stderr, /^audit: Events go by Kafka since .*: set KAFKA_BROKERS .*--only\.\n$/);
      const away = await command({ KAFKA_BROKERS: '127.0.0.1:9' });
      assert.deepEqual([away.code, away.stdout], [2, '']);
      assert.match(away.stderr, /^audit: Kafka at 127\.0\.0\.1:9 cannot be read: .*correct KAFKA_BROKERS.*\n$/);
      const elsewhere = await command({ KAFKA_BROKERS: brokers.join(','), KAFKA_PREFIX: 'nobody.' });
      assert.deepEqual([elsewhere.code, elsewhere.stdout], [2, '']);
      assert.match(elsewhere.stderr, /^audit: Kafka at .* cannot be read: .*nobody\..*KAFKA_PREFIX.*\n$/);
    });

    it('ends with 1 and the rows where it can', async () => {
      const found = await command({ KAFKA_BROKERS: brokers.join(','), KAFKA_PREFIX: prefix });
      assert.equal(found.code, 1, found.stderr);
      assert.match(found.stdout, /^Broken:$/m);
    });

    it('says so when the broker is gone, instead of finding everything lost', async () => {
      const topics = kafkaHistory({ brokers: ['127.0.0.1:9'] }, { prefix });
      const asked = audit({ urls: shop.urls, ledger: undefined, workflows: undefined, topics }, { only: [7] });
      await assert.rejects(asked, (error) => error instanceof CannotLook);
    });
  });
});
