import assert from 'node:assert/strict';

import { renewLeases, takeLeases } from '../../events/relay-tables.ts';
import { type Databases, openPlatform } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { append, stockEvent } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { holdLock } from '../support/locks.ts';

const LEASE_MS = 60_000;
const PLACES = Array.from({ length: 60 }, (_, index) => `P${index}`);
const BEFORE = `
  select from outbox_leases o join outbox_leases l on o.ctid < l.ctid and o.partition > l.partition where l.partition = $1`;
const LOCK = 'select from outbox_leases where partition = $1::integer for share';

describe('the leases of a relay', () => {
  let databases: TestDatabases;
  let platform: Databases['platform'];
  before(async () => {
    databases = await freshDatabases();
    platform = openPlatform(databases.urls.platform, { poolSize: 4 });
  });
  after(async () => {
    await platform.$disconnect();
    await databases.drop();
  });

  it('are renewed in the order in which marking locks them, so that the two never wait for each other', async () => {
    await append(platform, ...PLACES.map((place) => stockEvent(place, 1)));
    const partitions = (await takeLeases(platform, 'one', 16, LEASE_MS)).sort((a, b) => a - b);
    const [lowest, ...higher] = partitions;
    assert.ok(lowest !== undefined && higher.length > 0);
    const admin = databases.adminUrl('platform');
    await eventually('the table has it behind others', async () => {
      await query(admin, 'update outbox_leases set holder = holder where partition = $1', [lowest]);
      return (await query(admin, BEFORE, [lowest])).length > 0 ? true : undefined;
    });
    await query(admin, 'analyze outbox_leases'); // so that it is read as it lies there

    const held = await holdLock(admin, LOCK, [lowest]);
    const renewed = renewLeases(platform, 'one', partitions, LEASE_MS);
    await held.untilWaiting(1);
    const free = await query<{ partition: number }>(
      admin,
      'select partition from outbox_leases where partition = any($1) for share skip locked',
      [higher],
    );
    await held.release();
    assert.deepEqual(
      (await renewed).sort((a, b) => a - b),
      partitions,
    );
    assert.deepEqual(
      free.map(({ partition }) => partition).sort((a, b) => a - b),
      higher,
    );
  });
});
