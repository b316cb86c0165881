import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { startApi } from '../../api/start.ts';
import { readConfig } from '../../infra/config.ts';
import { openViews } from '../../infra/databases.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { fillViews, tellViews } from '../support/filled-views.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { productEvents } from '../support/views-history.ts';

type Product = Readonly<{ price: Readonly<{ minor: number }> }>;

describe('two API processes with one Redis', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let redis: TestRedis;
  let dataDir: string;
  const apis: { url: string; metricsUrl: string; close: () => Promise<void> }[] = [];
  before(async function () {
    redis = await startRedis(this);
    databases = await freshDatabases({ seed: true });
    dataDir = await mkdtemp(join(tmpdir(), 'commerce-saga-redis-'));
    await fillViews(databases);
    for (let i = 0; i < 2; i += 1) apis.push(await started());
  });
  after(async () => {
    await Promise.all(apis.map((api) => api.close()));
    await redis.stop();
    await databases.drop();
    await rm(dataDir, { recursive: true });
  });

  const started = async () => {
    const metricsPort = await freePort();
    const urls = Object.entries(databases.urls).map(([name, url]) => [`${name.toUpperCase()}_DATABASE_URL`, url]);
    const settings = { DATA_DIR: dataDir, PORT: '0', METRICS_PORT: String(metricsPort), REDIS_URL: redis.url };
    const config = readConfig({ ...settings, ...(Object.fromEntries(urls) as Record<string, string>) });
    const { url = '', close } = await startApi(config, pino({ level: 'silent' }));
    return { url, close, metricsUrl: `http://127.0.0.1:${metricsPort}` };
  };
  const one = () => apis[0] ?? assert.fail('there is no API');
  const other = () => apis[1] ?? assert.fail('there is no other API');
  const price = async ({ url }: { url: string }): Promise<number> => {
    const res = await fetch(new URL('/v1/products/102', url));
    assert.equal(res.status, 200);
    return ((await res.json()) as Product).price.minor;
  };
  const hits = async ({ metricsUrl }: { metricsUrl: string }): Promise<number> => {
    const text = await (await fetch(`${metricsUrl}/metrics`)).text();
    return Number(/^cache_requests_total\{outcome="hit"\} (\d+)$/m.exec(text)?.[1]);
  };
  const untilHit = (api: { url: string; metricsUrl: string }) =>
    eventually('an answer comes from the cache', async () => {
      const before = await hits(api);
      await price(api);
      return (await hits(api)) > before ? true : undefined;
    });

  it('answer from what either of them has loaded, and tell how often on their metrics ports', async () => {
    assert.equal(await hits(one()), 0, 'the metric is not there from the start');
    await untilHit(one());
    await untilHit(other());
    assert.equal((await fetch(`${one().metricsUrl}/healthz`)).status, 200);
  });

  it('show both what has changed, and go on when Redis dies', async () => {
    const changes = productEvents('102', [1, 2, 3_100, 3_200], '2026-11-20T01:00:00Z');
    const views = openViews(databases.urls.views, { poolSize: 1 });
    const become = (minor: number) =>
      eventually(`both show ${minor}`, async () => {
        const prices = await Promise.all(apis.map(price));
        return prices.every((shown) => shown === minor) ? true : undefined;
      });
    try {
      await Promise.all(apis.map(untilHit));
      await tellViews(views, changes.slice(2, 3));
      await become(3_100);
      await redis.kill();
      assert.deepEqual(await Promise.all(apis.map(price)), [3_100, 3_100]);
      await tellViews(views, changes.slice(3));
      await become(3_200);
      await redis.restart();
      await Promise.all(apis.map(untilHit));
      assert.deepEqual(await Promise.all(apis.map(price)), [3_200, 3_200]);
    } finally {
      await views.$disconnect();
    }
  });
});
