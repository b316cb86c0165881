import assert from 'node:assert/strict';

import { type Databases, openPlatform } from '../../infra/databases.ts';
import { assertEventsAudited } from '../support/audited-events.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { append, firstOnly, onEmbeddedBus, stockEvent, stockSubject, unpublished, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { type RelayProcess, relayProcess, type RelaySettings } from '../support/relay-process.ts';

const LEASE_MS = 1_500;
const PLACES = Array.from({ length: 20 }, (_, index) => `P${index}`);
const SUBJECTS = PLACES.map(stockSubject).sort();

describe('relays that are killed or frozen', () => {
  let databases: TestDatabases;
  let platform: Databases['platform'];
  const relays: RelayProcess[] = [];

  beforeEach(async () => {
    databases = await freshDatabases();
    platform = openPlatform(databases.urls.platform, { poolSize: 4 });
  });
  afterEach(async () => {
    await Promise.all(relays.splice(0).map((relay) => relay.end()));
    await platform.$disconnect();
    await databases.drop();
  });

  const start = async (waits?: RelaySettings['waits']): Promise<RelayProcess> => {
    const { platform: platformUrl, bus: busUrl } = databases.urls;
    const relay = await relayProcess({ platformUrl, busUrl, leaseMs: LEASE_MS, ...(waits && { waits }) });
    relays.push(relay);
    return relay;
  };
  const appendVersions = async (first: number, last: number): Promise<void> => {
    for (let version = first; version <= last; version += 1)
      await append(platform, ...PLACES.map((place) => stockEvent(place, version)));
  };
  const drained = () =>
    eventually('everything is published', async () => ((await unpublished(platform)) === 0 ? true : undefined));
  const onBus = () => onEmbeddedBus(databases.adminUrl('bus'));

  it('publish again what a relay killed between publishing and marking had published, in order', async () => {
    await appendVersions(1, 5);
    const victim = await start('after');
    await victim.waiting();
    const before = await onBus();
    const twice = Object.values(before).flat().length;
    assert.ok(twice > 0, 'it has published something');
    assert.equal(await unpublished(platform), 5 * PLACES.length, 'and marked nothing');
    await victim.end();

    await start();
    await drained();
    const after = await onBus();
    assert.deepEqual(Object.keys(after).sort(), SUBJECTS);
    assert.equal(Object.values(after).flat().length, 5 * PLACES.length + twice);
    for (const subject of SUBJECTS) {
      assert.deepEqual(after[subject], [...(before[subject] ?? []), ...upTo(5)]);
      assert.deepEqual(firstOnly(after[subject] ?? []), upTo(5));
    }
    assert.equal(await assertEventsAudited(databases), 5 * PLACES.length);
  });

  it('take over from one that is frozen in a batch, and keep the order when it wakes and publishes it late', async () => {
    await appendVersions(1, 5);
    const frozen = await start('before');
    await frozen.waiting();
    frozen.signal('SIGSTOP');
    frozen.goOn(); // it will find this when it wakes

    const others = [await start(), await start()];
    await appendVersions(6, 10);
    await drained();
    const withoutIt = await onBus();
    for (const subject of SUBJECTS) assert.deepEqual(withoutIt[subject], upTo(10));
    assert.equal(frozen.published(), 0);

    frozen.signal('SIGCONT');
    await eventually('it publishes its old batch and is not let mark it', () =>
      Promise.resolve(frozen.fenced() > 0 || undefined),
    );
    await appendVersions(11, 12);
    await drained();
    const after = await onBus();
    const total = Object.values(after).flat().length;
    assert.equal(total, 12 * PLACES.length + frozen.fenced(), 'each event once, and the late batch once more');
    for (const subject of SUBJECTS) assert.deepEqual(firstOnly(after[subject] ?? []), upTo(12));
    assert.ok(others.every((relay) => relay.fenced() === 0));
    assert.equal(await assertEventsAudited(databases), 12 * PLACES.length);
  });

  it('leave nothing behind when they are killed at any moment, while events are written', async () => {
    const total = 40;
    const writing = appendVersions(1, total);
    for (let n = 0; n < 6; n += 1) {
      const relay = await start();
      const already = await unpublished(platform);
      await eventually('it has published something', async () =>
        relay.published() > 0 || (already === 0 && (await unpublished(platform)) === 0) ? true : undefined,
      );
      await relay.end();
    }
    await writing;
    await start();
    await drained();
    const after = await onBus();
    for (const subject of SUBJECTS) assert.deepEqual(firstOnly(after[subject] ?? []), upTo(total));
    const [row] = await query<{ n: string }>(
      databases.adminUrl('bus'),
      'select count(distinct event_id) as n from event_log',
    );
    assert.equal(Number(row?.n), total * PLACES.length);
    assert.equal(await assertEventsAudited(databases), total * PLACES.length);
  });
});
