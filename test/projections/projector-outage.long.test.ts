import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type Child, startChild } from '../support/child.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { type FragilePostgres, fragilePostgres } from '../support/fragile-postgres.ts';
import { stockLevels } from '../support/views-history.ts';

const AT = '2026-11-20T03:00:00.000Z';
const DOWN_MS = 5_000;
const CASE_LIMIT_MS = 120_000;
const PLACES = Array.from({ length: 10 }, (_, index) => `P${index}`);

describe('two projections', function () {
  this.timeout(CASE_LIMIT_MS);
  let postgres: FragilePostgres;
  let databases: TestDatabases;
  let bus: EventBus;
  let projections: Child[];
  let version: number;

  beforeEach(async () => {
    version = 0;
    postgres = await fragilePostgres();
    databases = await freshDatabases();
    bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
    const urls = { VIEWS_DATABASE_URL: postgres.databases.urls.views, BUS_DATABASE_URL: databases.urls.bus };
    const env = { ...inheritedEnvironment(), ...urls, METRICS_PORT: '0', KAFKA_BROKERS: '' };
    const start = () => startChild('workers/events-main.ts', env, ['views']);
    projections = [await start(), await start()];
  });
  afterEach(async () => {
    await Promise.all(projections.map((one) => one.kill()));
    await bus.close();
    await databases.drop();
    await postgres.stop();
  });

  /** Publishes one event of each place at a time while `until` goes on. */
  async function publishWhile(until: Promise<unknown>): Promise<void> {
    let going = true;
    const stop = () => (going = false);
    until.then(stop, stop);
    while (going) {
      version += 1;
      // A level for each version, so that one that is lost or comes late shows.
      const levels = Array.from({ length: version }, (_, index) => index + 1);
      await bus.publish(PLACES.flatMap((place) => stockLevels('10', place, levels, AT).slice(-1)));
      await sleep(20);
    }
    await until;
  }
  const stock = () =>
    query<{ place: string; available: number }>(
      postgres.databases.adminUrl('views'),
      'select location_code as place, available_quantity as available from mv_product_stock order by 1',
    );
  const flowing = () =>
    eventually('events reach the view', async () => {
      const before = version;
      await sleep(200);
      return (await stock()).some(({ available }) => available >= before && before > 5) ? true : undefined;
    });
  const whole = async (): Promise<void> => {
    await eventually('the view has everything', async () => {
      const rows = await stock();
      return rows.length === PLACES.length && rows.every(({ available }) => available === version) ? true : undefined;
    });
    assert.deepEqual(await query(databases.adminUrl('bus'), 'select error from dead_letters'), []);
    const inbox = await query<{ n: number }>(
      postgres.databases.adminUrl('views'),
      'select count(*)::int as n from projection_inbox_products',
    );
    assert.deepEqual(inbox, [{ n: version * PLACES.length }]);
  };

  const outage = async (begin: () => Promise<void>, end: () => Promise<void>): Promise<void> => {
    await flowing();
    await begin();
    await sleep(DOWN_MS);
    for (const { url } of projections) {
      assert.equal((await fetch(`${url}/healthz`)).status, 200, 'it waits for somebody else, and is well');
    }
    await end();
    await flowing();
  };

  it('go on by themselves after the database of the views was down for five seconds, and set nothing aside', async () => {
    await publishWhile(outage(postgres.crash, postgres.restart));
    await whole();
    for (const one of projections) assert.equal(await one.stop(), 0);
  });

  it('go on by themselves after it stood still for five seconds', async () => {
    await publishWhile(outage(postgres.freeze, postgres.thaw));
    await whole();
  });

  it('share the work: when one is killed, or stands still, the other one goes on', async () => {
    const [first, second] = projections;
    await publishWhile(
      (async () => {
        await flowing();
        first?.signal('SIGSTOP');
        await flowing();
        first?.signal('SIGCONT');
        await second?.kill();
        await flowing();
      })(),
    );
    await whole();
  });
});
