import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { pino } from 'pino';

import { eraseCustomer } from '../../activities/inventory/erase.ts';
import { userAdministration } from '../../activities/inventory/users.ts';
import { CheckoutError } from '../../domain/errors.ts';
import { UnreadableEvent } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { readLog } from '../../events/bus/embedded-tables.ts';
import { type Databases, openBus, openViews } from '../../infra/databases.ts';
import { placeholdersOf } from '../../infra/personal-seal.ts';
import { viewNamed, VIEWS } from '../../projections/all.ts';
import { readCustomerNames, readUser } from '../../projections/read-users.ts';
import { type RebuildOptions, rebuildView } from '../../projections/rebuild.ts';
import { refusalCode } from '../support/activity-refusal.ts';
import { type AuditedShop, brokenIn, CUSTOMER, openAuditedShop } from '../support/audited-shop.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { tellViews } from '../support/filled-views.ts';
import { assertOutboxIsSound } from '../support/outbox.ts';
import { tracesOf } from '../support/personal-traces.ts';
import { projectionOf, untilCaughtUp } from '../support/projection.ts';
import { sha256 } from '../support/shop.ts';
import { rowsOf, VIEW_TABLES } from '../support/views.ts';

const users = viewNamed('users');
const SECOND_LOOK_MS = 50;

describe('the erasure of a customer', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let shop: AuditedShop;
  let views: Databases['views'];
  let log: Databases['bus'];
  before(async () => {
    databases = await freshDatabases({ seed: true });
    shop = await openAuditedShop(databases);
    views = openViews(shop.urls.views, { poolSize: 5 });
    log = openBus(shop.urls.bus, { poolSize: 2 });
  });
  after(async () => {
    await Promise.all([views.$disconnect(), log.$disconnect()]);
    await shop.close();
  });

  const person = (secret: string) => ({
    ...{ username: `user-${secret}`, email: `mail-${secret}@shop.test`, fullName: `김 ${secret}` },
    ...{ status: 'ACTIVE' as const },
  });
  const administration = () => userAdministration({ platform: shop.platform });
  const make = async (secret: string, request = { id: randomUUID(), requestHash: sha256(secret) }) =>
    administration().create(request, person(secret));
  const change = (userId: string, fullName: string) =>
    administration().change({ userId, changes: { fullName }, expected: null, correlationId: randomUUID() });
  const erase = (userId: string) => eraseCustomer(shop.platform, { userId, correlationId: randomUUID() });
  const read = (userId: string) => readUser({ views, platform: shop.platform }, userId);
  const traces = (text: string) => tracesOf(shop.adminUrl, text);
  const rebuild = (options: Partial<RebuildOptions> = {}) =>
    rebuildView(users, {
      ...{ views, places: { bus: log }, options: { timeZone: 'Asia/Seoul' }, holder: randomUUID() },
      ...{ signal: new AbortController().signal, onStep: () => undefined },
      ...options,
    });
  const audit = async () => brokenIn(await shop.audit({ only: undefined, recheckAfterMs: SECOND_LOOK_MS }));

  it('leaves nothing of who they were readable anywhere, and all else as it was', async () => {
    const secret = `planted${randomUUID().slice(0, 8)}`;
    await administration().change({
      userId: CUSTOMER,
      changes: person(secret),
      expected: null,
      correlationId: randomUUID(),
    });
    await shop.declined();
    await shop.refunded(await shop.paid(), { amount: { minor: 1, currency: 'KRW' } });
    const open = await shop.steps.place();
    await shop.drain();
    const projection = projectionOf(databases, VIEWS);
    try {
      await untilCaughtUp(databases, ...VIEWS.map(({ name }) => name));
      // A consumer that can read nothing, and a rebuild that was interrupted: both hold copies of the events.
      const bus = openEmbeddedBus({ url: shop.urls.bus, poolSize: 2, log: pino({ level: 'silent' }) });
      const reader = await bus.subscribe('unable', () => Promise.reject(new UnreadableEvent('it cannot')));
      await eventually('the events are dead letters too', async () =>
        (await log.deadLetter.count({ where: { subject: `user/${CUSTOMER}` } })) === 2 ? true : undefined,
      );
      await reader.stop();
      await bus.close();
      const cut = new AbortController();
      await assert.rejects(rebuild({ signal: cut.signal, onStep: () => cut.abort() }), { name: 'AbortError' });
      for (const name of ['platform', 'views', 'bus'] as const) await shop.ask(name, 'analyze');
      // Nowhere but in their own row: a change that nobody was told of yet is sealed as well.
      await change(CUSTOMER, `김 ${secret} 2`);
      assert.deepEqual(await traces(secret), ['platform.users: 1']);
      assert.equal((await read(CUSTOMER))?.fullName, `김 ${secret}`);
      const [before, money] = [await rowsOf(shop.urls.views), VIEW_TABLES.filter((name) => name !== 'mv_users')];

      assert.equal((await erase(CUSTOMER)).fresh, true);
      assert.deepEqual(await traces(secret), []);
      const erased = { userId: CUSTOMER, ...placeholdersOf(CUSTOMER) };
      const { totals, status, ...seen } = (await read(CUSTOMER)) ?? assert.fail('the view has nobody');
      assert.deepEqual(
        { ...seen, lastOrderAt: null },
        { ...erased, lastOrderAt: null },
        'at once, however late the view is',
      );
      assert.equal(status, 'ACTIVE');
      assert.ok((totals[0]?.spent ?? 0) > 0);

      await shop.drain();
      await untilCaughtUp(databases, ...VIEWS.map(({ name }) => name));
      assert.deepEqual([(await read(CUSTOMER))?.status, (await read(CUSTOMER))?.totals], ['DELETED', totals]);
      assert.deepEqual(await traces(secret), []);
      const after = await rowsOf(shop.urls.views);
      for (const table of money) assert.deepEqual(after[table], before[table], table);

      // What was open ends, and nothing new begins.
      const { paymentId } = await shop.steps.capture(open);
      await shop.steps.finish(open, paymentId);
      assert.equal(await refusalCode(shop.steps.place()), 'UNKNOWN_USER');
      await shop.drain();
      await untilCaughtUp(databases, ...VIEWS.map(({ name }) => name));
    } finally {
      await projection.close();
    }
    const rebuilt = await rebuild({ dryRun: true });
    assert.deepEqual(
      [rebuilt.result, rebuilt.resumed, rebuilt.tables.map((table) => table.differing)],
      [...['COMPARED', true], [0, 0, 0]],
    );
    await shop.ask('bus', `delete from dead_letters where group_name = 'unable'`);
    assert.deepEqual(await audit(), []);
  });

  it('is not undone by events that come late or again, nor by a rebuild', async () => {
    const secret = `planted${randomUUID().slice(0, 8)}`;
    const { userId } = await make(secret);
    await change(userId, `A ${secret}`);
    await shop.drain();
    await erase(userId);
    await shop.drain();
    const events = (await readLog(log, 0n, 10_000)).map(({ event }) => event);
    const [created, updated, erased] = events.filter(
      ({ aggregateId, type }) => aggregateId === userId && /^User/.test(type),
    );
    assert.ok(created && updated && erased);
    const shown = async () => {
      const { username, email, fullName, status } = (await read(userId)) ?? assert.fail('the view has nobody');
      return { username, email, fullName, status };
    };
    await tellViews(views, [updated]);
    assert.deepEqual(await shown(), { ...placeholdersOf(userId), status: 'ACTIVE' }, 'the view does not know yet');
    await tellViews(views, [erased, created, updated]);
    assert.deepEqual(await shown(), { ...placeholdersOf(userId), status: 'DELETED' });
    await tellViews(views, events);
    const { result } = await rebuild();
    assert.equal(result, 'SWAPPED');
    assert.deepEqual(await shown(), { ...placeholdersOf(userId), status: 'DELETED' });
    const names = await readCustomerNames({ views, platform: shop.platform }, [userId, userId, '2', '999999']);
    assert.deepEqual(
      [...names].sort(),
      [
        ['2', 'Customer 002'],
        [userId, 'Erased customer'],
      ].sort(),
    );
    assert.deepEqual(await traces(secret), []);
  });

  it('happens once, whoever asks again, and nobody can change or make them anew', async () => {
    const secret = `planted${randomUUID().slice(0, 8)}`;
    const request = { id: randomUUID(), requestHash: sha256(secret) };
    const { userId } = await make(secret, request);
    const all = await Promise.all(Array.from({ length: 8 }, () => erase(userId)));
    assert.equal(all.filter(({ fresh }) => fresh).length, 1);
    const { erasedAt } = await erase(userId);
    assert.deepEqual([...new Set(all.map((one) => one.erasedAt.getTime()))], [erasedAt.getTime()]);
    await assert.rejects(change(userId, `B ${secret}`), refusal('NOT_FOUND'));
    // A copy of the request that made them makes nobody, and cannot be told to be the right one.
    await assert.rejects(make(secret, request), refusal('IDEMPOTENCY_KEY_REUSED'));
    assert.deepEqual(await traces(secret), []);
    assert.deepEqual(await traces(request.requestHash), []);
    await assert.rejects(erase('999999999'), refusal('NOT_FOUND'));
    await assertOutboxIsSound(shop.adminUrl('platform'));
    assert.notEqual((await make(secret)).userId, userId, 'the name is free for whoever comes');
  });

  it('wins over changes that are on their way, whichever comes first', async () => {
    const secret = `planted${randomUUID().slice(0, 8)}`;
    for (let round = 0; round < 3; round++) {
      const { userId } = await make(`${secret}-${round}`);
      const changes = Array.from({ length: 6 }, (_, n) => change(userId, `${secret} ${n}`));
      const [ends] = await Promise.all([Promise.allSettled(changes), erase(userId)]);
      for (const end of ends) if (end.status === 'rejected') assert.ok(refusal('NOT_FOUND')(end.reason));
    }
    assert.deepEqual(await traces(secret), []);
    await assertOutboxIsSound(shop.adminUrl('platform'));
  });

  it('cannot be taken back, not even by the service itself', async () => {
    const { userId } = await make(randomUUID().slice(0, 8));
    const asService = (sql: string) => query(databases.urls.platform, sql);
    const other = `update personal_keys set key = sha256('x') where user_id = ${userId}`;
    await assert.rejects(asService(other), /a personal key is never changed/);
    await erase(userId);
    await assert.rejects(
      asService(`${other.replace('set', 'set erased_at = null,')}`),
      /a personal key is never changed/,
    );
    await assert.rejects(asService(`delete from personal_keys where user_id = ${userId}`), /permission denied/);
    await assert.rejects(
      shop.ask('platform', `insert into personal_keys (user_id, key) values (${userId}, sha256('x'))`),
      { code: '23505' },
    );
  });
});

const refusal =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof CheckoutError && error.code === code;
