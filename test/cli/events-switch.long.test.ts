import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type Ended, runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

const LIMIT_MS = 60_000;
/** Nothing listens there. */
const NOWHERE = '127.0.0.1:9';

/** What it does with a Kafka that answers is in test/events/bus-switch.long.test.ts. */
describe('npm run events:switch', function () {
  this.timeout(4 * LIMIT_MS);
  let databases: TestDatabases;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-switch-'));
    databases = await freshDatabases();
  });
  after(async () => {
    await databases.drop();
    await rm(folder, { recursive: true, force: true });
  });

  const command = (args: readonly string[], changes: Readonly<Record<string, string>> = {}): Promise<Ended> => {
    const settings = { DATA_DIR: folder, BUS_DATABASE_URL: databases.urls.bus };
    return runEntry('cli/events-switch.ts', args, { ...inheritedEnvironment(), ...settings, ...changes }, LIMIT_MS);
  };
  const carrier = async () => (await query(databases.adminUrl('bus'), 'select carrier from bus_carrier'))[0];

  it('says what carries the events, and who has not read them, without Kafka', async () => {
    const { code, stdout, stderr } = await command(['--check']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(stdout, 'Events go by the log in db_event_bus.\nEvery group has read the log to its end.\n');
  });

  it('switches nothing while it is not told where Kafka is, or Kafka does not answer', async () => {
    const unset = await command([]);
    assert.deepEqual([unset.code, unset.stdout], [2, '']);
    assert.match(unset.stderr, /^events:switch: KAFKA_BROKERS is not set: .*\n$/);
    const away = await command([], { KAFKA_BROKERS: NOWHERE });
    assert.deepEqual([away.code, away.stdout], [2, '']);
    assert.match(away.stderr, /^events:switch: Kafka: .*127\.0\.0\.1:9.* Nothing was switched\. .*KAFKA_BROKERS\.\n$/);
    assert.deepEqual(await carrier(), { carrier: 'embedded' });
  });

  it('says in one line which database does not answer, and what to do', async () => {
    const { code, stdout, stderr } = await command(['--check'], { BUS_DATABASE_URL: `postgresql://a:b@${NOWHERE}/x` });
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^events:switch: Can't reach database server at 127\.0\.0\.1:9\. Start it, .*\n$/);
  });

  it('ends with 2 for what cannot be meant', async () => {
    assert.equal((await command(['--wait', '0'])).code, 2);
    assert.equal((await command(['kafka'])).code, 2);
  });
});
