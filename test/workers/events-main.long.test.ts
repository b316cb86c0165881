import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';

import { type Databases, openOrder, openPlatform } from '../../infra/databases.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type Child, startChild } from '../support/child.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { append, onEmbeddedBus, stockEvents, stockSubject, unpublished, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';

const ENTRY = 'workers/events-main.ts';

describe('the process `events`', () => {
  let databases: TestDatabases;
  let platform: Databases['platform'];
  const children: Child[] = [];

  before(async () => {
    databases = await freshDatabases();
    platform = openPlatform(databases.urls.platform, { poolSize: 4 });
  });
  after(async () => {
    await platform.$disconnect();
    await databases.drop();
  });
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.kill()));
  });

  const start = async (env: Record<string, string>, args: string[] = []): Promise<Child> => {
    const child = await startChild(ENTRY, { ...inheritedEnvironment(), KAFKA_BROKERS: '', ...env }, args);
    children.push(child);
    return child;
  };
  const urlsOf = (...names: ('platform' | 'order' | 'payment' | 'views' | 'bus')[]) =>
    Object.fromEntries(names.map((name) => [`${name.toUpperCase()}_DATABASE_URL`, databases.urls[name]]));
  const get = async (url: string) => {
    const answer = await fetch(url);
    return { status: answer.status, text: await answer.text() };
  };
  const drained = () =>
    eventually('everything is published', async () => ((await unpublished(platform)) === 0 ? true : undefined));

  it('relays the outboxes of all services, brings what they say to the views, tells how much waits, and ends cleanly', async () => {
    const urls = urlsOf('platform', 'order', 'payment', 'views', 'bus');
    const { url, stop } = await start({ ...urls, METRICS_PORT: '0' });
    await append(platform, ...stockEvents('A', 1, 30));
    await drained();
    assert.deepEqual((await onEmbeddedBus(databases.adminUrl('bus')))[stockSubject('A')], upTo(30));

    const { status, text } = await get(`${url}/metrics`);
    assert.equal(status, 200);
    assert.match(text, /^outbox_published_total\{service="platform"\} 30$/m);
    for (const service of ['platform', 'order', 'payment']) {
      assert.match(text, new RegExp(`^outbox_unpublished\\{service="${service}"\\} 0$`, 'm'));
      assert.match(text, new RegExp(`^outbox_lag_seconds\\{service="${service}"\\} 0$`, 'm'));
    }
    const shown = await eventually('all views are up to date', async () => {
      const metrics = (await get(`${url}/metrics`)).text;
      return /^projection_lag_seconds\{view="users"\} 0?\.\d+$/m.test(metrics) ? metrics : undefined;
    });
    assert.match(shown, /^projection_applied_events_total\{view="products"\} 30$/m);
    assert.match(shown, /^projection_applied_events_total\{view="sales"\} 0$/m);
    assert.match(shown, /^projection_batch_seconds_count\{view="products"\} [1-9]/m);
    assert.match(shown, /^bus_dead_letters\{group="view-products"\} 0$/m);
    const stock = 'select available_quantity as available, stock_version::int as version from mv_product_stock';
    assert.deepEqual(await query(databases.adminUrl('views'), stock), [{ available: 1_000, version: 30 }]);

    assert.deepEqual(await get(`${url}/healthz`), { status: 200, text: 'ok\n' });
    assert.equal((await get(`${url}/elsewhere`)).status, 404);
    assert.equal(await stop(), 0);
  });

  it('measures what waits in the outbox of a service while the bus is away', async () => {
    const { url } = await start(
      { ...urlsOf('platform'), BUS_DATABASE_URL: 'postgresql://nobody:x@127.0.0.1:1/none', METRICS_PORT: '0' },
      ['platform'],
    );
    await append(platform, ...stockEvents('B', 1, 7));
    const text = await eventually('failures are counted', async () => {
      const metrics = (await get(`${url}/metrics`)).text;
      return /^outbox_relay_failures_total\{service="platform"\} [1-9]/m.test(metrics) ? metrics : undefined;
    });
    assert.match(text, /^outbox_unpublished\{service="platform"\} 7$/m);
    assert.match(text, /^outbox_lag_seconds\{service="platform"\} (0\.\d+|[1-9])/m);
    assert.equal((await get(`${url}/healthz`)).status, 200, 'it waits for somebody else, and is well');
  });

  it('survives requests whose target is no URL', async () => {
    const { url } = await start({ ...urlsOf('platform', 'bus'), METRICS_PORT: '0' }, ['platform']);
    for (const [target, status] of [
      ['//', 404],
      ['/%', 404],
      ['*', 404],
      ['/metrics?a=//[', 200],
    ] as const) {
      const asked = request(url, { path: target, agent: false });
      const [answer] = (await once(asked.end(), 'response')) as [IncomingMessage];
      assert.equal(answer.statusCode, status, target);
      answer.resume();
    }
    assert.equal((await get(`${url}/healthz`)).status, 200);
  });

  it('works with the credentials of one service alone, and leaves the others to others', async () => {
    const order = openOrder(databases.urls.order, { poolSize: 1 });
    try {
      await order.$executeRaw`
        insert into outbox (event_id, type, aggregate_type, aggregate_id, aggregate_version, envelope)
        values (gen_random_uuid(), 'OrderCreated', 'order', 'one', 1, '{}')`;
      const { stop } = await start(urlsOf('platform', 'bus'), ['platform']);
      await append(platform, ...stockEvents('C', 1, 3));
      await drained();
      assert.equal(await unpublished(order), 1);
      assert.equal(await stop(), 0);
    } finally {
      await order.$disconnect();
    }
  });

  it('keeps the views up to date with their credentials alone, in a process of its own', async () => {
    const { stop } = await start(urlsOf('platform', 'bus'), ['platform']);
    await start(urlsOf('views', 'bus'), ['views']);
    await append(platform, ...stockEvents('D', 1, 3));
    await eventually('the view has it', async () => {
      const sql = `select 1 from mv_product_stock where location_code = 'D' and stock_version = 3`;
      return (await query(databases.adminUrl('views'), sql)).length === 1 ? true : undefined;
    });
    assert.equal(await stop(), 0);
  });

  it('says which database it lacks, before it opens anything', async () => {
    await assert.rejects(start(urlsOf('platform', 'order', 'bus')), /PAYMENT_DATABASE_URL is not set/);
    await assert.rejects(start(urlsOf('platform', 'order', 'payment', 'bus')), /VIEWS_DATABASE_URL is not set/);
    await assert.rejects(start(urlsOf('platform', 'order', 'payment', 'views')), /BUS_DATABASE_URL is not set/);
  });

  it('refuses a part that it does not have, by name', async () => {
    await assert.rejects(start(urlsOf('platform', 'bus'), ['catalogue']), /no such part: catalogue/);
  });
});
