import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import {
  blockedSubjects,
  clearLetter,
  type Delivery,
  failLetterAgain,
  fileBehind,
  fileLetter,
  giveBackRedriveLease,
  nextRedriven,
  takeRedriveLease,
} from '../../events/bus/dead-letters.ts';
import { listLetters, redrivableLetters, redriveLetter } from '../../events/bus/redrive.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { type Databases, openBus } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { holdLock } from '../support/locks.ts';

const FAILED = { reason: 'it failed', attempts: 3 };
const GROUP = 'views';

describe('dead letters', () => {
  let databases: TestDatabases;
  let deps: Pick<Databases, 'bus'>;
  before(async () => {
    databases = await freshDatabases();
    deps = { bus: openBus(databases.urls.bus, { poolSize: 5 }) };
  });
  after(async () => {
    await deps.bus.$disconnect();
    await databases.drop();
  });
  beforeEach(() => query(databases.adminUrl('bus'), 'truncate dead_letters, redrive_leases restart identity'));

  const list = () => listLetters(deps, { limit: 100 });

  it('are filed once, however often the same delivery fails', async () => {
    const delivery = deliveryOf('a', 1);
    await fileLetter(deps, GROUP, delivery, FAILED);
    await fileLetter(deps, GROUP, delivery, FAILED);
    await fileBehind(deps, GROUP, 'order/a', [delivery, deliveryOf('a', 2)]);
    const letter = { group: GROUP, subject: 'order/a', type: 'OrderPaid' };
    const [first, second, ...more] = await list();
    assert.deepEqual(first, {
      ...{ ...letter, id: first?.id, failedAt: first?.failedAt, state: 'FAILED', eventId: delivery.event.id },
      ...{ aggregateVersion: 1, attempts: 3, error: 'it failed' },
    });
    assert.deepEqual(second, {
      ...{ ...letter, id: second?.id, failedAt: second?.failedAt, state: 'WAITING', eventId: idOf('a', 2) },
      ...{ aggregateVersion: 2, attempts: 0, error: 'waits behind an earlier event of its subject' },
    });
    assert.deepEqual(more, []);
  });

  it('block their own subject in their own group, and nothing goes behind where nothing is', async () => {
    await fileLetter(deps, GROUP, deliveryOf('a', 1), FAILED);
    assert.deepEqual(await blockedSubjects(deps, GROUP, ['order/a', 'order/b']), new Set(['order/a']));
    assert.deepEqual(await blockedSubjects(deps, 'others', ['order/a', 'order/b']), new Set());
    assert.equal(await fileBehind(deps, GROUP, 'order/b', [deliveryOf('b', 2)]), false);
    assert.equal(await fileBehind(deps, 'others', 'order/a', [deliveryOf('a', 2)]), false);
    assert.equal((await list()).length, 1);
  });

  it('take any content, and subjects and reasons of any length', async () => {
    const strange: Delivery[] = [
      { place: 'p1', event: { ...deliveryOf('\0', 1).event, envelope: { note: '\0 \ud800 "' } } },
      { place: 'p2', event: deliveryOf('x'.repeat(5_000), 2).event },
      { place: 'p3', event: { ...deliveryOf('c', 0).event, id: 'no uuid', type: '' }, broken: 'not JSON: \0' },
      { place: 'p4', event: deliveryOf(`${'y'.repeat(248)}😀😀`, 3).event },
    ];
    for (const delivery of strange) {
      await fileLetter(deps, GROUP, delivery, { reason: `\0${'long '.repeat(10_000)}\ud83d`, attempts: 1 });
    }
    assert.deepEqual(
      (await list()).map(({ subject, eventId }) => [subject.length, eventId]),
      [
        [7, strange[0]?.event.id],
        [255, strange[1]?.event.id],
        [7, 'no uuid'],
        [255, strange[3]?.event.id],
      ],
    );
    for (const letter of await list()) await redriveLetter(deps, letter.id);
    for (const { event, broken } of strange) {
      const letter = await nextRedriven(deps, GROUP);
      assert.ok(letter);
      assert.deepEqual(letter.event, JSON.parse(JSON.stringify(event)));
      assert.equal(letter.broken, broken?.replace('\0', '\uFFFD'));
      await clearLetter(deps, GROUP, letter);
    }
    assert.equal(await nextRedriven(deps, GROUP), undefined);
  });

  it('are given back oldest first, those that came behind after the redrive too', async () => {
    await fileLetter(deps, GROUP, deliveryOf('a', 1), FAILED);
    await fileBehind(deps, GROUP, 'order/a', [deliveryOf('a', 2)]);
    await fileLetter(deps, GROUP, deliveryOf('b', 1), FAILED);
    assert.equal(await nextRedriven(deps, GROUP), undefined);
    const second = (await list())[1];
    assert.ok(second);
    assert.equal((await redriveLetter(deps, second.id)).result, 'REDRIVEN');
    await fileBehind(deps, GROUP, 'order/a', [deliveryOf('a', 3)]);

    const versions: number[] = [];
    for (;;) {
      const letter = await nextRedriven(deps, GROUP);
      if (letter === undefined) break;
      assert.equal(letter.subject, 'order/a');
      versions.push(letter.event.aggregateVersion);
      await clearLetter(deps, GROUP, letter);
    }
    assert.deepEqual(versions, [1, 2, 3]);
    assert.deepEqual(
      (await list()).map(({ subject, state }) => [subject, state]),
      [['order/b', 'FAILED']],
    );
  });

  it('stay, all of their subject, when a redrive fails again', async () => {
    await fileLetter(deps, GROUP, deliveryOf('a', 1), FAILED);
    await fileBehind(deps, GROUP, 'order/a', [deliveryOf('a', 2)]);
    await redriveAll();
    const letter = await nextRedriven(deps, GROUP);
    assert.ok(letter);
    await failLetterAgain(deps, GROUP, letter, { reason: 'again', attempts: 2 });
    assert.deepEqual(
      (await list()).map(({ state, attempts, error }) => [state, attempts, error]),
      [
        ['FAILED', 5, 'again'],
        ['WAITING', 0, 'waits behind an earlier event of its subject'],
      ],
    );
    assert.equal(await nextRedriven(deps, GROUP), undefined);
  });

  it('are not taken from the consumer that goes on with them by one that was too slow and failed', async () => {
    await fileLetter(deps, GROUP, deliveryOf('a', 1), FAILED);
    await fileBehind(deps, GROUP, 'order/a', [deliveryOf('a', 2), deliveryOf('a', 3)]);
    await redriveAll();
    const letter = await nextRedriven(deps, GROUP);
    assert.ok(letter);
    await clearLetter(deps, GROUP, letter); // by another consumer, which has taken over
    await failLetterAgain(deps, GROUP, letter, { reason: 'too late', attempts: 3 });
    assert.deepEqual(
      (await list()).map(({ aggregateVersion, state }) => [aggregateVersion, state]),
      [
        [2, 'REDRIVEN'],
        [3, 'REDRIVEN'],
      ],
    );
  });

  it('leave no event behind that comes while the last letter of its subject is cleared', async () => {
    for (const clearedFirst of [true, false]) {
      await fileLetter(deps, GROUP, deliveryOf('a', 1), FAILED);
      await redriveAll();
      const letter = await nextRedriven(deps, GROUP);
      assert.ok(letter);
      const held = await holdLock(databases.adminUrl('bus'), LOCK_SUBJECT, [JSON.stringify([GROUP, 'order/a'])]);
      const works = [
        () => clearLetter(deps, GROUP, letter),
        () => fileBehind(deps, GROUP, 'order/a', [deliveryOf('a', 2)]),
      ];
      if (!clearedFirst) works.reverse();
      const running: Promise<unknown>[] = [];
      for (const [index, work] of works.entries()) {
        running.push(work());
        await held.untilWaiting(index + 1);
      }
      await held.release();
      const answers = await Promise.all(running);
      const filed = answers[clearedFirst ? 1 : 0];
      const left = await nextRedriven(deps, GROUP);
      // Either it is handled at once, because nothing is before it any more, or it is redriven with the others.
      assert.deepEqual([filed, left?.event.aggregateVersion], clearedFirst ? [false, undefined] : [true, 2]);
      if (left) await clearLetter(deps, GROUP, left);
    }
  });

  it('are redriven by one consumer at a time, and by another one once its lease is over', async () => {
    assert.equal(await takeRedriveLease(deps, GROUP, 'one', 60_000), true);
    assert.equal(await takeRedriveLease(deps, GROUP, 'one', 60_000), true);
    assert.equal(await takeRedriveLease(deps, GROUP, 'two', 60_000), false);
    assert.equal(await takeRedriveLease(deps, 'others', 'two', 60_000), true);
    await giveBackRedriveLease(deps, GROUP, 'two');
    assert.equal(await takeRedriveLease(deps, GROUP, 'two', 60_000), false);

    await query(databases.adminUrl('bus'), `update redrive_leases set until = now() - interval '1 second'`);
    assert.equal(await takeRedriveLease(deps, GROUP, 'two', 60_000), true);
    await giveBackRedriveLease(deps, GROUP, 'two');
    assert.equal(await takeRedriveLease(deps, GROUP, 'one', 60_000), true);
  });

  it('are listed in pages, and by group', async () => {
    for (const version of [1, 2, 3]) await fileLetter(deps, GROUP, deliveryOf(`s${version}`, version), FAILED);
    await fileLetter(deps, 'others', deliveryOf('s1', 1), FAILED);
    const versions = async (asked: Parameters<typeof listLetters>[1]) =>
      (await listLetters(deps, asked)).map(({ group, aggregateVersion }) => `${group} ${aggregateVersion}`);
    assert.deepEqual(await versions({ limit: 2 }), ['views 1', 'views 2']);
    assert.deepEqual(await versions({ limit: 9, after: '2' }), ['views 3', 'others 1']);
    assert.deepEqual(await versions({ limit: 9, group: 'others' }), ['others 1']);
    assert.deepEqual(await redrivableLetters(deps), ['1', '2', '3', '4']);
    assert.deepEqual(await redrivableLetters(deps, 'others'), ['4']);
  });

  async function redriveAll(): Promise<void> {
    for (const id of await redrivableLetters(deps)) assert.equal((await redriveLetter(deps, id)).result, 'REDRIVEN');
  }
});

const LOCK_SUBJECT = 'select pg_advisory_xact_lock(hashtextextended($1, 0))';

const ids = new Map<string, string>();
function idOf(aggregateId: string, version: number): string {
  const name = `${aggregateId} ${version}`;
  const id = ids.get(name) ?? randomUUID();
  ids.set(name, id);
  return id;
}

function deliveryOf(aggregateId: string, aggregateVersion: number): Delivery {
  const event: StoredEvent = {
    ...{ id: idOf(aggregateId, aggregateVersion), type: 'OrderPaid', source: 'order', aggregateType: 'order' },
    ...{ aggregateId, aggregateVersion, envelope: {} },
  };
  return { place: `log:${aggregateId} ${aggregateVersion}`, event };
}
