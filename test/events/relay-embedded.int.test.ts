import assert from 'node:assert/strict';

import { pino } from 'pino';

import type { EventBus, HandleEvents } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { listLetters, redriveLetter } from '../../events/bus/redrive.ts';
import { EVENT_TYPES, type EventTypeEntry } from '../../events/catalogue.ts';
import { appendToOutbox } from '../../events/outbox.ts';
import { readEvent } from '../../events/read-event.ts';
import { type Relay, startRelay } from '../../events/relay.ts';
import { subjectOf } from '../../events/stored-event.ts';
import { type Databases, openBus, openPlatform } from '../../infra/databases.ts';
import { assertEventsAudited } from '../support/audited-events.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { append, onEmbeddedBus, stockEvent, stockEvents, stockSubject, unpublished, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { gate } from '../support/gate.ts';

const log = pino({ level: 'silent' });

describe('events of an outbox on the embedded bus', () => {
  let databases: TestDatabases;
  let platform: Databases['platform'];
  let bus: EventBus;
  let relays: Relay[];
  beforeEach(async () => {
    databases = await freshDatabases();
    platform = openPlatform(databases.urls.platform, { poolSize: 12 });
    bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 4, log, pollMs: 100 });
    relays = ['one', 'two'].map((instance) =>
      startRelay({ db: platform, bus, service: 'platform', instance, pollMs: 50 }),
    );
  });
  afterEach(async () => {
    await Promise.all(relays.map((relay) => relay.stop()));
    await bus.close();
    await platform.$disconnect();
    await databases.drop();
  });

  const drained = () =>
    eventually('everything is published', async () => ((await unpublished(platform)) === 0 ? true : undefined));
  const onBus = () => onEmbeddedBus(databases.adminUrl('bus'));

  it('are all there, each aggregate in order, when transactions commit in the reverse order of their ids', async () => {
    const places = upTo(8).map((n) => `P${n}`);
    const open = [];
    for (const place of places) {
      const [inserted, released] = [gate(), gate()];
      const done = platform.$transaction(async (tx) => {
        await appendToOutbox(tx, stockEvents(place, 1, 3));
        inserted.open();
        await released.passed;
      });
      await inserted.passed; // the next one gets higher ids
      open.push({ released, done, place });
    }
    for (const { released, done, place } of open.toReversed()) {
      released.open();
      await done;
      await append(platform, stockEvent(place, 4));
      await drained(); // the relay has passed higher ids before the next commit
    }
    assert.deepEqual(await onBus(), Object.fromEntries(places.map((place) => [stockSubject(place), upTo(4)])));
    const order = await query<{ subject: string }>(
      databases.adminUrl('bus'),
      'select subject from event_log where aggregate_version = 1 order by position',
    );
    assert.deepEqual(
      order.map(({ subject }) => subject),
      places.map(stockSubject).toReversed(),
    );
    assert.equal(await assertEventsAudited(databases), 4 * places.length);
  });

  it('flow past one that nobody can read, which holds up its own aggregate until a release can', async () => {
    let release: Readonly<Record<string, EventTypeEntry>> = EVENT_TYPES;
    const seen: string[] = [];
    const handle: HandleEvents = (batch) => {
      batch.forEach((event) => readEvent(event, release));
      seen.push(...batch.map((event) => `${subjectOf(event)} ${event.aggregateVersion}`));
      return Promise.resolve();
    };
    await bus.subscribe('views', handle, { onError: () => undefined });
    const poison = { ...stockEvent('A', 2), type: 'NotYetKnown', dataschema: 'urn:commerce-saga:event:NotYetKnown:v1' };
    await append(platform, stockEvent('A', 1), poison as unknown as ReturnType<typeof stockEvent>, stockEvent('A', 3));
    await append(platform, ...stockEvents('B', 1, 3));
    await drained();
    const deps = { bus: openBus(databases.urls.bus, { poolSize: 2 }) };
    try {
      const letters = () => listLetters(deps, { limit: 10 });
      await eventually('both letters are filed', async () => ((await letters()).length === 2 ? true : undefined));
      await eventually('the others are handled', () =>
        Promise.resolve(seen.includes(`${stockSubject('B')} 3`) || undefined),
      );
      assert.deepEqual(
        (await letters()).map(({ aggregateVersion, state }) => [aggregateVersion, state]),
        [
          [2, 'FAILED'],
          [3, 'WAITING'],
        ],
      );
      const ofA = () => [...new Set(seen.filter((one) => one.startsWith(stockSubject('A'))))];
      assert.deepEqual(ofA(), [`${stockSubject('A')} 1`]);

      release = { ...EVENT_TYPES, NotYetKnown: EVENT_TYPES.InventoryReserved };
      await redriveLetter(deps, String((await letters())[0]?.id));
      await eventually('no letter is left', async () => ((await letters()).length === 0 ? true : undefined));
      assert.deepEqual(
        ofA(),
        upTo(3).map((version) => `${stockSubject('A')} ${version}`),
      );
      assert.equal(await assertEventsAudited(databases), 6);
    } finally {
      await deps.bus.$disconnect();
    }
  });
});
