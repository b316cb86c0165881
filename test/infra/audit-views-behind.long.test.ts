import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { startRelay } from '../../events/relay.ts';
import type { Audited } from '../../infra/audit/audit.ts';
import { openBus, openOrder, openPayment, openViews } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { viewNamed, VIEWS } from '../../projections/all.ts';
import { rebuildView } from '../../projections/rebuild.ts';
import { type AuditedShop, openAuditedShop } from '../support/audited-shop.ts';
import { runEntry } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { fillViews } from '../support/filled-views.ts';
import { holdLock } from '../support/locks.ts';
import { projectionOf } from '../support/projection.ts';

const LIMIT_MS = 60_000;
const AUDITS = 5;
/** Many times what an exchange of tables takes that nobody holds up. */
const A_WHILE_MS = 1_000;

describe('the audit of views that are behind', function () {
  this.timeout(2 * LIMIT_MS);
  let shop: AuditedShop;

  before(async () => {
    shop = await openAuditedShop();
    await shop.paid();
    await shop.drain();
    await fillViews(shop);
  });
  after(() => shop.close());
  /** Nothing waits, and nobody has been at work for longer than `ms`. */
  const silent = (ms: number) =>
    shop.damage(
      'views',
      `update projection_progress set caught_up_at = now() - interval '${ms} ms';
       update projection_offsets set applied_at = now() - interval '${ms} ms'`,
    );
  afterEach(async () => {
    await shop.drain();
    await fillViews(shop);
    assert.deepEqual((await look()).findings, []);
  });

  const look = () => shop.audit({ only: [8] });
  const waiting = ({ inProgress }: Audited) =>
    Object.fromEntries(inProgress.map(({ row, is, workflows }) => [row, `${is}; ${workflows.join()}`]));
  const broken = ({ findings }: Audited) =>
    Object.fromEntries(findings.map(({ row, is, shouldBe }) => [row, `${is} → ${shouldBe}`]));
  const ALL = ['view orders', 'view payments', 'view products', 'view sales', 'view users'];

  it('takes no offence at what is not on the bus yet, and says so view by view', async () => {
    await shop.paid();
    const audited = await look();
    assert.deepEqual(broken(audited), {});
    const found = waiting(audited);
    assert.deepEqual(Object.keys(found).sort(), ALL);
    assert.match(found['view orders'] ?? '', /^2 rows wait for events that are not on the bus; (relay test|events of)/);
  });

  it('takes no offence at what is on the bus, while the projection is at work', async () => {
    await shop.paid();
    await shop.drain();
    await silent(5_000);
    const audited = await look();
    assert.deepEqual(broken(audited), {});
    const found = waiting(audited);
    assert.deepEqual(Object.keys(found).sort(), ALL);
    assert.match(
      found['view sales'] ?? '',
      /^1 rows wait for events on the bus, the oldest for \d+ s; projection of sales$/,
    );
  });

  it('names each view that stands still, once, whatever the number of rows', async () => {
    await shop.paid();
    await shop.drain();
    await shop.damage('order', `update outbox set published_at = published_at - interval '2 min'`);
    await silent(300_000);
    const found = broken(await look());
    assert.deepEqual(
      Object.keys(found).sort(),
      ALL.filter((view) => view !== 'view payments'),
    );
    assert.match(
      found['view users'] ?? '',
      /^1 rows wait for events on the bus, the oldest for 1\d\d s; nobody is at work → up to date: `npm run events` /,
    );
  });

  it('names rows whose events the view has passed over', async () => {
    const { orderId } = await shop.paid();
    await shop.drain();
    await shop.damage('order', `update outbox set published_at = published_at - interval '2 min'`);
    await silent(30_000);
    const audited = await look();
    const found = broken(audited);
    assert.match(found[`mv_orders ${orderId}`] ?? '', /^not there → there, by the database order: `npm run views:re/);
    assert.ok(found[`mv_user_orders ${orderId}`] && !('view users' in found), JSON.stringify(found));
  });

  it('names the dead letters of a view, but neither those of others nor those that were given up', async () => {
    const letter = (group: string, place: string, columns = '', values = '') =>
      `insert into dead_letters (group_name, place, subject, event, broken, error, attempts${columns})
       values ('${group}', '${place}', 'order/${place}', '{}', false, 'no such column', 6${values});`;
    await shop.damage(
      'bus',
      [
        ...['1', '2'].map((place) => letter('view-sales', place)),
        letter('mailer', '3'),
        letter('view-users', '4', ', discarded_at, discarded_by, discard_reason', `, now(), 'op', 'a test'`),
        letter('view-orders', '5', ', redriven_at', ', now()'),
      ].join('\n'),
    );
    const audited = await look();
    await shop.damage('bus', 'delete from dead_letters');
    assert.deepEqual(broken(audited), {
      'dead letters of view-sales':
        '2 events of 2 subjects were not applied → none: `npm run events:dead-letters` says why, and redrives them',
    });
    assert.deepEqual(Object.keys(waiting(audited)), ['dead letters of view-orders']);
  });

  it('raises no false alarm while orders are paid, views follow, and each of them is rebuilt', async () => {
    const log = pino({ level: 'silent' });
    const bus = openEmbeddedBus({ url: shop.urls.bus, poolSize: 3, log });
    const [order, payment] = [
      openOrder(shop.urls.order, { poolSize: 2 }),
      openPayment(shop.urls.payment, { poolSize: 2 }),
    ];
    const outboxes = { platform: shop.platform, order, payment };
    const relays = Object.entries(outboxes).map(([service, db]) =>
      startRelay({ db, bus, service, instance: 'test', log }),
    );
    const projection = projectionOf(shop, VIEWS);
    const [views, places] = [
      openViews(shop.urls.views, { poolSize: 3 }),
      { bus: openBus(shop.urls.bus, { poolSize: 2 }) },
    ];
    let going = true;
    const whileGoing = async (work: () => Promise<unknown>): Promise<void> => {
      while (going) await work();
    };
    let paid = 0;
    let rebuilt = 0;
    const rebuild = async () => {
      const view = VIEWS[rebuilt++ % VIEWS.length];
      assert.ok(view);
      const options = { timeZone: 'Asia/Seoul' };
      const signal = new AbortController().signal;
      const given = { views, places, options, holder: randomUUID(), signal, onStep: () => undefined };
      assert.equal((await rebuildView(view, given)).result, 'SWAPPED');
      await sleep(100);
    };
    try {
      const audits = async () => {
        for (let n = 0; n < AUDITS; n++) assert.deepEqual((await look()).findings, []);
      };
      await Promise.all([
        audits().finally(() => (going = false)),
        whileGoing(() => shop.paid().then(() => paid++)),
        whileGoing(rebuild),
      ]);
      assert.ok(paid > 0 && rebuilt > 0, `${paid} paid, ${rebuilt} rebuilt`);
      await eventually('nothing is in progress', async () => {
        const { findings, inProgress } = await look();
        assert.deepEqual(findings, []);
        return inProgress.length === 0 ? true : undefined;
      });
    } finally {
      await projection.close();
      await Promise.all(relays.map((relay) => relay.stop()));
      await Promise.all([bus.close(), views.$disconnect(), places.bus.$disconnect()]);
      await Promise.all([order.$disconnect(), payment.$disconnect()]);
    }
  });

  /** What the audit says of suspects while it works: a first look that saw none says nothing. */
  const suspectsOf = async (): Promise<string[]> => {
    const said: string[] = [];
    const { findings } = await shop.audit({ only: [8], say: (what) => said.push(what) });
    assert.deepEqual(findings, []);
    return said.filter((what) => what.includes('suspects'));
  };

  it('sees no view ahead of its sources, however long the views let it wait', async () => {
    // No event of this order is for the sales, so the other views go on.
    const held = await holdLock(shop.adminUrl('views'), 'lock table mv_daily_sales in access exclusive mode', []);
    const suspects = suspectsOf();
    await held.untilWaiting(1);
    await shop.declined();
    await fillViews(shop);
    await held.release();
    assert.deepEqual(await suspects, []);
  });

  it('keeps the tables that it looks at from being exchanged until it has seen them', async () => {
    const held = await holdLock(shop.adminUrl('platform'), 'lock table users in access exclusive mode', []);
    const suspects = suspectsOf();
    await held.untilWaiting(1);
    const places = { bus: openBus(shop.urls.bus, { poolSize: 2 }) };
    const views = openViews(shop.urls.views, { poolSize: 3 });
    let swapping = (): void => undefined;
    const begun = new Promise<void>((resolve) => (swapping = resolve));
    const rebuild = rebuildView(viewNamed('orders'), {
      ...{ views, places, options: { timeZone: 'Asia/Seoul' }, holder: randomUUID() },
      ...{ signal: new AbortController().signal, onStep: ({ step }) => step === 'swapping' && swapping() },
    });
    try {
      await Promise.race([begun, rebuild]);
      await Promise.race([rebuild, sleep(A_WHILE_MS)]);
      await held.release();
      assert.deepEqual(await suspects, []);
      assert.equal((await rebuild).result, 'SWAPPED');
    } finally {
      await Promise.all([views.$disconnect(), places.bus.$disconnect()]);
    }
  });

  it('finds a damaged row, which views:rebuild repairs', async () => {
    const { orderId } = await shop.paid();
    await shop.drain();
    await fillViews(shop);
    await shop.damage('views', `update mv_orders set total_amount = 1, status = 'FAILED' where order_id = $1`, [
      orderId,
    ]);
    const names = ['platform', 'order', 'payment', 'bus', 'views'] as const;
    const urls = Object.fromEntries(names.map((name) => [`${name.toUpperCase()}_DATABASE_URL`, shop.urls[name]]));
    const env = { ...inheritedEnvironment(), NODE_ENV: 'test', ...urls };
    const audit = () => runEntry('cli/audit.ts', ['--only', '8', '--no-temporal'], env, LIMIT_MS);

    const found = await audit();
    assert.equal(found.code, 1, found.stderr);
    const [command] = /npm run views:rebuild -- \w+/.exec(found.stdout) ?? [];
    assert.match(
      found.stdout,
      new RegExp(`Broken:\n {2}8 {2}mv_orders ${orderId}\n +is +status FAILED, total_amount 1\n`),
    );
    assert.equal(command, 'npm run views:rebuild -- orders');

    const repaired = await runEntry('cli/views-rebuild.ts', ['orders'], env, LIMIT_MS);
    assert.equal(repaired.code, 0, repaired.stderr);
    const again = await audit();
    assert.deepEqual([again.code, /\naudit: clean\n$/.test(again.stdout)], [0, true], again.stdout);
  });
});
