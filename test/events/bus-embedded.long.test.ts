import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { listLetters } from '../../events/bus/redrive.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { isDatabaseOutage } from '../../infra/database-outage.ts';
import { BusRun, Received } from '../support/bus.ts';
import { firstOnly, upTo } from '../support/events.ts';
import { type FragilePostgres, fragilePostgres } from '../support/fragile-postgres.ts';

const DOWN_MS = 10_000;
const LIMIT_MS = 120_000;
const NAMES = ['a', 'b', 'c'];

describe('the bus on a PostgreSQL that fails', function () {
  this.timeout(LIMIT_MS);
  let server: FragilePostgres;
  let run: BusRun;
  before(async () => {
    server = await fragilePostgres();
  });
  after(() => server?.stop());
  beforeEach(() => {
    const url = server.databases.urls.bus;
    run = new BusRun({
      databases: server.databases,
      open: () => openEmbeddedBus({ url, poolSize: 4, log: pino({ level: 'silent' }) }),
      env: {},
      unstorable: (event) => event,
      close: () => Promise.resolve(),
    });
  });
  afterEach(() => run.close());

  const faults = {
    'crashes, and is back after 10 s': async () => {
      await server.crash();
      await sleep(DOWN_MS);
      await server.restart();
    },
    'stands still for 10 s': async () => {
      await server.freeze();
      await sleep(DOWN_MS);
      await server.thaw();
    },
  };
  for (const [name, fault] of Object.entries(faults)) {
    it(`loses nothing, keeps the order and sets nothing aside when it ${name}`, async () => {
      const publisher = run.open();
      const received = new Received(run);
      received.before = () => sleep(5);
      const errors: unknown[] = [];
      const subscribe = () =>
        run.open().subscribe(run.group(), received.handle, { batchSize: 5, onError: (error) => errors.push(error) });
      const subscriptions = [await subscribe(), await subscribe()];
      let done = false;
      let outages = 0;
      let version = 0;
      const publishing = (async () => {
        while (!done) {
          version += 1;
          outages += await publishSurely(
            publisher,
            NAMES.map((one) => run.event(one, version)),
          );
          await sleep(20);
        }
      })();
      await received.until('a', 20);
      await fault();
      const back = version;
      await received.until('a', back + 20);
      done = true;
      await publishing;
      for (const one of NAMES) {
        await received.until(one, version);
        assert.deepEqual(firstOnly(received.versions(one)), upTo(version));
      }
      assert.deepEqual(await listLetters({ bus: run.database }, { limit: 1 }), []);
      if (name.startsWith('crashes')) assert.ok(outages > 0 && errors.length > 0, 'nobody noticed');
      for (const error of errors) assert.ok(isDatabaseOutage(error), String(error));
      for (const subscription of subscriptions) await subscription.stop();
      assert.equal((await publisher.lag(run.group())).behind, 0);
    });
  }
});

/** As a relay does: all of them again until the bus says that it has them. @returns how often it was away */
async function publishSurely(bus: EventBus, events: readonly StoredEvent[]): Promise<number> {
  for (let outages = 0; ; outages++) {
    try {
      assert.deepEqual(await bus.publish(events), new Set());
      return outages;
    } catch (error) {
      if (!isDatabaseOutage(error)) throw error;
      await sleep(100);
    }
  }
}
