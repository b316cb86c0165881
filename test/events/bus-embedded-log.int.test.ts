import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import { type EmbeddedBusOptions, openEmbeddedBus } from '../../events/bus/embedded.ts';
import { type StoredEvent, subjectOf } from '../../events/stored-event.ts';
import { type BusFixture, BusRun, Received } from '../support/bus.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { firstOnly, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { gate } from '../support/gate.ts';
import { holdLock } from '../support/locks.ts';
import { openTransaction } from '../support/transaction.ts';

const log = pino({ level: 'silent' });
const POLL_MS = 100;
/** Long enough for what must not happen to happen. Milliseconds. */
const WHILE_MS = 500;
const AN_HOUR_MS = 3_600_000;

describe('the log of the bus on PostgreSQL', () => {
  let databases: TestDatabases;
  let run: BusRun;
  let options: Partial<EmbeddedBusOptions>;
  beforeEach(async () => {
    databases = await freshDatabases();
    options = { pollMs: POLL_MS };
    const fixture: BusFixture = {
      databases,
      open: () => openEmbeddedBus({ url: databases.urls.bus, poolSize: 5, log, ...options }),
      env: {},
      unstorable: (event) => event,
      close: () => databases.drop(),
    };
    run = new BusRun(fixture);
  });
  afterEach(async () => {
    await run.close();
    await databases.drop();
  });

  const asAdmin = (text: string) => query<Record<string, unknown>>(databases.adminUrl('bus'), text);
  const group = () => asAdmin(`select position::int, holder from group_offsets`);

  it('skips nothing when a slow transaction commits after a fast one that began later', async () => {
    const bus = run.open();
    const received = new Received(run);
    await bus.subscribe(run.group(), received.handle);
    const slow = await openTransaction(databases.urls.bus);
    await slow.query(...insertOf(run.event('slow', 1)));
    const fast = bus.publish(run.events('fast', 1, 2));
    await sleep(WHILE_MS);
    assert.deepEqual(received.events, [], 'something overtook the slow transaction');

    await slow.commit();
    await fast;
    await received.until('fast', 2);
    assert.deepEqual(received.events.map(subjectOf), ['slow', 'fast', 'fast'].map(run.subject));
  });

  it('would lose the slow one without the lock that makes appends wait for each other', async () => {
    await asAdmin('alter table event_log disable trigger trg_event_log_one_at_a_time');
    const bus = run.open();
    const received = new Received(run);
    await bus.subscribe(run.group(), received.handle);
    await bus.publish(run.events('fast', 1, 1));
    const slow = await openTransaction(databases.urls.bus);
    await slow.query(...insertOf(run.event('slow', 1)));
    await bus.publish(run.events('fast', 2, 3));
    await received.until('fast', 3);
    await eventually('the group has moved on', async () => ((await group())[0]?.['position'] === 4 ? true : undefined));
    await slow.commit();
    await sleep(WHILE_MS);
    assert.deepEqual(received.versions('slow'), []);
  });

  it('hands over what many publish at once, while it is read', async () => {
    const publishers = [run.open(), run.open(), run.open()];
    const received = new Received(run);
    await publishers[0]?.subscribe(run.group(), received.handle, { batchSize: 20 });
    await Promise.all(
      publishers.map(async (bus, index) => {
        for (const version of upTo(60)) await bus.publish([run.event(`p${index}`, version)]);
      }),
    );
    for (const name of ['p0', 'p1', 'p2']) {
      await received.until(name, 60);
      assert.deepEqual(received.versions(name), upTo(60));
    }
  });

  it('is woken by a notification', async () => {
    options = { pollMs: AN_HOUR_MS };
    const bus = run.open();
    const received = new Received(run);
    await bus.subscribe(run.group(), received.handle);
    await received.until('a', 0);
    await sleep(WHILE_MS); // its own first looks are over
    await bus.publish(run.events('a', 1, 1));
    await received.until('a', 1, 5_000);
  });

  it('goes on by looking itself when no notification comes', async () => {
    await asAdmin('alter table event_log disable trigger trg_event_log_wake_up');
    const bus = run.open();
    const received = new Received(run);
    await bus.subscribe(run.group(), received.handle);
    await sleep(WHILE_MS);
    await bus.publish(run.events('a', 1, 1));
    await received.until('a', 1, 5_000);
  });

  it('leaves a group to its consumer while a batch takes longer than the lease', async () => {
    options = { pollMs: POLL_MS, leaseMs: 600 };
    const received = new Received(run);
    const other = new Received(run);
    received.before = () => sleep(2_500);
    await run.open().subscribe(run.group(), received.handle);
    const second = run.open();
    await second.subscribe(run.group(), other.handle);
    await second.publish(run.events('a', 1, 2));
    await received.until('a', 2);
    assert.deepEqual(received.versions('a'), [1, 2]);
    assert.deepEqual(other.versions('a'), []);
  });

  it('does not move the position of a group that another consumer has taken over', async () => {
    const bus = run.open();
    const received = new Received(run);
    const entered = gate();
    const handled = gate();
    received.before = () => {
      entered.open();
      return handled.passed;
    };
    await bus.subscribe(run.group(), received.handle);
    await bus.publish(run.events('a', 1, 3));
    await entered.passed;
    await asAdmin(`update group_offsets set holder = 'another', until = now() + interval '1 hour'`);
    handled.open();
    await received.until('a', 3);
    await sleep(WHILE_MS);
    assert.deepEqual(await group(), [{ position: 0, holder: 'another' }]);

    await asAdmin(`update group_offsets set until = now() - interval '1 second'`);
    await eventually('the group goes on', async () => ((await bus.lag(run.group())).behind === 0 ? true : undefined));
    assert.deepEqual(received.versions('a'), [1, 2, 3, 1, 2, 3]);
    assert.deepEqual(firstOnly(received.versions('a')), upTo(3));
  });

  it('lets the next consumer begin at once when one stops', async () => {
    options = { pollMs: POLL_MS, leaseMs: AN_HOUR_MS };
    const received = new Received(run);
    const first = await run.open().subscribe(run.group(), received.handle);
    const bus = run.open();
    await bus.publish(run.events('a', 1, 1));
    await received.until('a', 1);
    await bus.subscribe(run.group(), received.handle);
    await first.stop();
    await bus.publish(run.events('a', 2, 2));
    await received.until('a', 2, 5_000);
  });

  it('keeps the events of a month in a partition of its own, and none is lost where there is no partition', async () => {
    await run.open().publish(run.events('a', 1, 1));
    const month = `event_log_${new Date().toISOString().slice(0, 7).replace('-', '_')}`;
    const whereIs = 'select tableoid::regclass::text as part from event_log order by position';
    assert.deepEqual(await asAdmin(whereIs), [{ part: month }]);
    const next = await asAdmin(
      `select to_regclass('event_log_' || to_char(now() at time zone 'utc' + '1 month', 'YYYY_MM'))`,
    );
    assert.notEqual(next[0]?.['to_regclass'], null, 'the partition of the next month is not there in time');

    await asAdmin(`drop table ${month}`);
    await query(databases.urls.bus, ...insertOf(run.event('a', 2)));
    await query(databases.urls.bus, 'select create_event_log_month(now()::date)');
    assert.deepEqual(await asAdmin(whereIs), [{ part: 'event_log_default' }]);
  });

  it('makes a month while appends wait in line for each other, and is in the way of none of them', async () => {
    const first = await holdLock(databases.adminUrl('bus'), ...insertOf(run.event('first', 1)));
    const month = query(databases.urls.bus, `select create_event_log_month('2040-01-01')`);
    await first.untilWaiting(1);
    const second = query(databases.urls.bus, ...insertOf(run.event('second', 1)));
    await first.untilWaiting(2);
    await first.release();
    const [made, appended] = await Promise.allSettled([month, second]);
    assert.equal(appended.status, 'fulfilled', JSON.stringify(appended));
    // It may give up, where all of this took long; but nobody waits in a circle.
    if (made.status === 'rejected') assert.match(String(made.reason), /lock timeout/);
  });
});

/** As somebody would append who knows nothing of the bus's own code. */
const insertOf = (event: StoredEvent): [string, unknown[]] => [
  `insert into event_log (source, event_id, type, subject, aggregate_version, envelope) values ($1, $2, $3, $4, $5, $6)`,
  [event.source, event.id, event.type, subjectOf(event), event.aggregateVersion, JSON.stringify(event.envelope)],
];
