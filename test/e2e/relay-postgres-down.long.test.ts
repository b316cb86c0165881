import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Databases, openPlatform } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { assertEventsAudited } from '../support/audited-events.ts';
import { type Child, startChild } from '../support/child.ts';
import { append, firstOnly, onEmbeddedBus, stockEvent, stockSubject, unpublished, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { type FragilePostgres, fragilePostgres } from '../support/fragile-postgres.ts';

const DOWN_MS = 10_000;
const CASE_LIMIT_MS = 120_000;
const PLACES = Array.from({ length: 10 }, (_, index) => `P${index}`);

describe('relays of a PostgreSQL that stops for ten seconds', function () {
  this.timeout(CASE_LIMIT_MS);
  let postgres: FragilePostgres;
  let platform: Databases['platform'];
  let relays: Child[];

  beforeEach(async () => {
    postgres = await fragilePostgres();
    const { urls } = postgres.databases;
    platform = openPlatform(urls.platform, { poolSize: 4 });
    const env = {
      ...{ PLATFORM_DATABASE_URL: urls.platform, BUS_DATABASE_URL: urls.bus, METRICS_PORT: '0', KAFKA_BROKERS: '' },
    };
    const start = () => startChild('workers/events-main.ts', { ...inheritedEnvironment(), ...env }, ['platform']);
    relays = [await start(), await start()];
  });
  afterEach(async () => {
    await Promise.all(relays.map((relay) => relay.kill()));
    await platform.$disconnect();
    await postgres.stop();
  });

  /** Writes on through the outage, as a service does: what was not committed is written again. */
  async function write(versions: number, told: (version: number) => void): Promise<void> {
    for (let version = 1; version <= versions; version += 1) {
      told(version);
      const events = PLACES.map((place) => stockEvent(place, version));
      await eventually(`version ${version} is written`, async () => {
        try {
          await append(platform, ...events);
        } catch (error) {
          if (!/23505/.test(String(error))) return undefined; // written, but its answer was lost
        }
        return true;
      });
    }
  }

  const flowsAgain = async (stop: () => Promise<void>, start: () => Promise<void>): Promise<void> => {
    let version = 0;
    const writing = write(400, (now) => (version = now));
    await eventually('events flow', () => Promise.resolve(version > 100 || undefined));
    await stop();
    await sleep(DOWN_MS);
    for (const { url } of relays) {
      assert.equal((await fetch(`${url}/healthz`)).status, 200, 'it waits for somebody else, and is well');
      assert.match(await (await fetch(`${url}/metrics`)).text(), /^outbox_lag_seconds\{service="platform"\} nan$/im);
    }
    await start();
    await writing;
    await eventually('everything is published', async () => ((await unpublished(platform)) === 0 ? true : undefined));

    const versions = await onEmbeddedBus(postgres.databases.adminUrl('bus'));
    for (const place of PLACES) assert.deepEqual(firstOnly(versions[stockSubject(place)] ?? []), upTo(400));
    assert.ok((await assertEventsAudited(postgres.databases)) >= 400 * PLACES.length);
    for (const relay of relays) assert.equal(await relay.stop(), 0);
  };

  it('go on where they were when it has crashed and is back: nothing is lost, every aggregate is in order', () =>
    flowsAgain(postgres.crash, postgres.restart));

  it('go on where they were when it stood still and answers again', () => flowsAgain(postgres.freeze, postgres.thaw));
});
