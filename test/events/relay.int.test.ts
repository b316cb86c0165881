import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { appendToOutbox } from '../../events/outbox.ts';
import { type Relay, type RelayDeps, startRelay } from '../../events/relay.ts';
import { readOutboxLag } from '../../events/relay-tables.ts';
import { type Databases, openPlatform } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import {
  append,
  firstOnly,
  RecordingBus,
  stockEvent,
  stockEvents,
  stockSubject,
  unpublished,
  upTo,
} from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { gate } from '../support/gate.ts';

describe('the relay', () => {
  let databases: TestDatabases;
  let platform: Databases['platform'];
  let bus: RecordingBus;
  const relays: Relay[] = [];

  before(async () => {
    databases = await freshDatabases();
    platform = openPlatform(databases.urls.platform, { poolSize: 8 });
  });
  after(async () => {
    await platform.$disconnect();
    await databases.drop();
  });
  beforeEach(async () => {
    bus = new RecordingBus();
    await query(databases.adminUrl('platform'), 'truncate outbox');
  });
  afterEach(async () => {
    await Promise.all(relays.splice(0).map((relay) => relay.stop()));
  });

  const start = (more: Partial<RelayDeps> = {}): Relay => {
    const relay = startRelay({ db: platform, bus, service: 'platform', instance: 'test', pollMs: 50, ...more });
    relays.push(relay);
    return relay;
  };
  const drained = () =>
    eventually('everything is published', async () => ((await unpublished(platform)) === 0 ? true : undefined));

  it('hands every event to the bus as it is stored, and marks it', async () => {
    const event = stockEvent('SEOUL', 1, { note: `'; -- "한국어 😀` });
    await append(platform, event);
    start();
    await drained();
    const [[stored] = []] = bus.batches;
    const { time, ...envelope } = stored?.envelope ?? {};
    assert.match(String(time), /^\d{4}-/);
    assert.deepEqual(envelope, event);
    assert.deepEqual(stored, {
      ...{ id: event.id, type: event.type, source: 'platform', aggregateType: 'inventory' },
      ...{ aggregateId: '10-0-SEOUL', aggregateVersion: 1, envelope: { ...envelope, time } },
    });
  });

  it('keeps the order of every aggregate, however many there are, in bounded batches', async () => {
    const places = Array.from({ length: 40 }, (_, index) => `P${index}`);
    for (const version of upTo(30)) await append(platform, ...places.map((place) => stockEvent(place, version)));
    start({ batchSize: 100 });
    await drained();
    assert.deepEqual(bus.versions(), Object.fromEntries(places.map((place) => [stockSubject(place), upTo(30)])));
    assert.ok(bus.batches.every(({ length }) => length <= 100));
    assert.ok(bus.batches.length < 120, `${bus.batches.length} batches of 1 200 events`);
  });

  it('publishes what a slow transaction commits late, and does not wait for it meanwhile', async () => {
    const [inserted, released] = [gate(), gate()];
    const slow = platform.$transaction(async (tx) => {
      await appendToOutbox(tx, [stockEvent('SLOW', 1)]);
      inserted.open();
      await released.passed;
    });
    await inserted.passed;
    await append(platform, ...stockEvents('FAST', 1, 3)); // higher ids, committed first
    start();
    await drained();
    assert.deepEqual(bus.versions(), { [stockSubject('FAST')]: [1, 2, 3] });

    released.open();
    await slow;
    await eventually('the late event is published', () =>
      Promise.resolve(bus.versions()[stockSubject('SLOW')] === undefined ? undefined : true),
    );
    await drained();
    const ids = await query<{ id: string }>(
      databases.adminUrl('platform'),
      'select id from outbox order by published_at, id',
    );
    assert.notDeepEqual(
      ids,
      ids.toSorted((a, b) => Number(a.id) - Number(b.id)),
      'the low id came last',
    );
  });

  it('waits for the earlier event of an aggregate when the later one is committed first', async () => {
    await append(platform, ...stockEvents('A', 2, 3));
    await append(platform, stockEvent('B', 1));
    start();
    await eventually('the other aggregate flows', () => Promise.resolve(bus.batches.length > 0 ? true : undefined));
    await sleep(300);
    assert.deepEqual(bus.versions(), { [stockSubject('B')]: [1] });

    await append(platform, stockEvent('A', 1));
    await drained();
    assert.deepEqual(bus.versions()[stockSubject('A')], [1, 2, 3]);
  });

  it('lets an aggregate that the bus refuses hold up nobody else, and goes on with it when it is taken', async () => {
    let refuse = true;
    bus.refuses = ({ aggregateId, aggregateVersion }) =>
      refuse && aggregateId.endsWith('BAD') && aggregateVersion === 3;
    const places = Array.from({ length: 30 }, (_, index) => `P${index}`);
    for (const version of upTo(5)) {
      await append(platform, stockEvent('BAD', version), ...places.map((place) => stockEvent(place, version)));
    }
    start();
    await eventually('only the refused events wait', async () =>
      (await unpublished(platform)) === 3 ? true : undefined,
    );
    await append(platform, stockEvent('LATER', 1));
    await eventually('events go on flowing', async () => ((await unpublished(platform)) === 3 ? true : undefined));
    assert.deepEqual(firstOnly(bus.versions()[stockSubject('BAD')] ?? []), [1, 2]);

    refuse = false;
    await drained();
    const { [stockSubject('BAD')]: bad = [], ...others } = bus.versions();
    assert.deepEqual(firstOnly(bad), [1, 2, 3, 4, 5]);
    assert.deepEqual(bad, [1, 2, 1, 2, 3, 4, 5], 'the batch that was refused in part is repeated once');
    for (const versions of Object.values(others)) assert.deepEqual(versions, upTo(versions.length));
  });

  it('reaches what lies behind a mountain of events that are held up', async () => {
    await query(
      databases.adminUrl('platform'),
      `insert into outbox (event_id, type, aggregate_type, aggregate_id, aggregate_version, envelope)
       select gen_random_uuid(), 'InventoryReserved', 'inventory', 'gap', v, '{}' from generate_series(2, 20000) as v`,
    );
    const places = Array.from({ length: 60 }, (_, index) => `P${index}`); // some share the partition of the mountain
    await append(platform, ...places.map((place) => stockEvent(place, 1)));
    start();
    await eventually('the others are published', async () =>
      (await unpublished(platform)) === 19_999 ? true : undefined,
    );
    assert.equal(Object.keys(bus.versions()).length, 60);
  });

  it('publishes again after the bus was away, without a gap and in order', async () => {
    let away = true;
    bus.before = () => (away ? Promise.reject(new Error('no broker')) : Promise.resolve());
    let failures = 0;
    start({ metrics: { batch: () => undefined, failed: () => (failures += 1) } });
    for (const version of upTo(20)) await append(platform, stockEvent('A', version));
    await eventually('it has tried more than once', () => Promise.resolve(failures > 1 ? true : undefined));
    assert.equal(await unpublished(platform), 20);
    assert.ok((await readOutboxLag(platform)).lagSeconds > 0.1);

    away = false;
    await drained();
    assert.deepEqual(bus.versions(), { [stockSubject('A')]: upTo(20) });
    assert.deepEqual(await readOutboxLag(platform), { unpublished: 0, lagSeconds: 0 });
  });

  it('works beside others: each event is published once, by whoever holds its partition', async () => {
    for (let n = 0; n < 3; n += 1) start({ batchSize: 40, instance: `relay-${n}` });
    const places = Array.from({ length: 25 }, (_, index) => `P${index}`);
    await Promise.all(
      places.map(async (place) => {
        for (const version of upTo(20)) await append(platform, stockEvent(place, version));
      }),
    );
    await drained();
    assert.deepEqual(bus.versions(), Object.fromEntries(places.map((place) => [stockSubject(place), upTo(20)])));
  });

  it('loses its partitions when it is slower than its lease, leaves the marking to its successor, and goes on', async () => {
    await append(platform, ...stockEvents('A', 1, 3));
    const stuck = gate();
    bus.before = () => stuck.passed;
    const fenced: number[] = [];
    start({ metrics: { batch: (batch) => fenced.push(batch.fenced), failed: () => undefined } });
    await eventually('it has taken the partition, and is late', async () => {
      const late = 'update outbox_leases set until = now() where until > now() returning partition';
      return (await query(databases.adminUrl('platform'), late)).length > 0 ? true : undefined;
    });

    const successor = new RecordingBus();
    start({ bus: successor });
    await drained();
    assert.deepEqual(successor.versions(), { [stockSubject('A')]: [1, 2, 3] });
    stuck.open();
    await eventually('the first is told', () => Promise.resolve(fenced[0] === 3 ? true : undefined));
    assert.deepEqual(bus.versions(), { [stockSubject('A')]: [1, 2, 3] });

    successor.before = () => Promise.reject(new Error('this one is off now'));
    await append(platform, stockEvent('A', 4));
    await eventually('one of them publishes', () =>
      Promise.resolve(bus.versions()[stockSubject('A')]?.includes(4) || undefined),
    );
  });

  it('is woken by the commit, long before it would look by itself', async () => {
    start({ listenUrl: databases.urls.platform, pollMs: 60_000 });
    for (const version of upTo(5)) {
      await sleep(1_500); // longer than it stays awake after an event
      await append(platform, stockEvent('A', version));
      await eventually(
        'the event is published',
        async () => ((await unpublished(platform)) === 0 ? true : undefined),
        5_000,
      );
    }
  });

  it('finds by itself what nobody woke it for, also after its connection was cut', async () => {
    start({ listenUrl: databases.urls.platform, pollMs: 200 });
    await query(databases.adminUrl('platform'), 'alter table outbox disable trigger outbox_wake_relay');
    try {
      await append(platform, stockEvent('A', 1));
      await drained();
    } finally {
      await query(databases.adminUrl('platform'), 'alter table outbox enable trigger outbox_wake_relay');
    }
    await query(
      databases.adminUrl('platform'),
      `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()`,
    );
    await append(platform, stockEvent('A', 2));
    await drained();
    assert.deepEqual(bus.versions(), { [stockSubject('A')]: [1, 2] });
  });

  it('finishes the batch in hand when it is stopped, and gives its partitions back at once', async () => {
    await append(platform, ...stockEvents('A', 1, 10));
    const [entered, go] = [gate(), gate()];
    bus.before = () => {
      entered.open();
      return go.passed;
    };
    const relay = start();
    await entered.passed;
    const stopped = relay.stop();
    await append(platform, stockEvent('A', 11));
    go.open();
    await stopped;
    assert.equal(await unpublished(platform), 1);
    const held = await query(databases.adminUrl('platform'), 'select from outbox_leases where until > now()');
    assert.equal(held.length, 0);
    await sleep(200);
    assert.equal(await unpublished(platform), 1, 'a stopped relay publishes nothing more');
  });
});
