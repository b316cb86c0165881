import assert from 'node:assert/strict';

import { eventually } from '../support/eventually.ts';
import { fillViews } from '../support/filled-views.ts';
import { postgresServer } from '../support/servers.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;
const ROUTES = ['/v1/products', '/v1/products/102', '/v1/orders', '/v1/users/me', '/v1/sales/daily'] as const;
/** The limit of a read is eight seconds; the rest is for a busy machine. */
const BOUND_MS = 12_000;
/** In the first statement of each of these reads. */
const MARKER = 'projection_progress';

describe('while the database of the views', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let proxy: TcpProxy;
  before(async () => {
    proxy = await tcpProxy(Number(new URL((await postgresServer()).adminUrl).port));
    api = await openApi('127.0.0.1:1', { viewsPort: proxy.port });
    await fillViews(api);
  });
  after(async () => {
    await api.close();
    await proxy.close();
  });

  const get = async (path: string) => {
    const since = performance.now();
    const res = await api.http.get(path).set('Authorization', `Bearer ${api.tokens.admin}`);
    return { res, ms: performance.now() - since };
  };
  const assertAway = ({ res, ms }: Awaited<ReturnType<typeof get>>, path: string) => {
    assert.equal(res.status, 503, `${path}: ${res.text}`);
    assert.match(String(res.headers['content-type']), /^application\/problem\+json/);
    assert.equal((res.body as Body)['code'], 'TEMPORARILY_UNAVAILABLE');
    assert.ok(Number(res.headers['retry-after']) > 0);
    assert.ok(ms < BOUND_MS, `${path}: ${ms} ms`);
    assert.doesNotMatch(res.text, /prisma|postgres|127\.0\.0\.1/i, 'it tells how it is built');
  };
  const assertBack = () =>
    eventually('every read works again', async () => {
      const answers = await Promise.all(ROUTES.map(get));
      return answers.every(({ res }) => res.status === 200) ? true : undefined;
    });

  it('refuses connections, every read of a view is answered 503 soon, and what needs none goes on', async () => {
    await assertBack();
    proxy.cutOff();
    try {
      for (const [index, answer] of (await Promise.all(ROUTES.map(get))).entries()) {
        assertAway(answer, String(ROUTES[index]));
      }
      const ready = (await get('/readyz')).res.body as Readonly<{ dependencies: Body }>;
      assert.deepEqual([ready.dependencies['viewsDatabase'], ready.dependencies['platformDatabase']], ['down', 'up']);
      const stock = { productId: '102', locationCode: 'MAIN', quantityChange: -1, reason: 'STOCKTAKE' };
      const adjusted = await api.http
        .post('/v1/inventory/adjustments')
        .set({ Authorization: `Bearer ${api.tokens.admin}`, 'Idempotency-Key': 'away' })
        .send(stock);
      assert.equal(adjusted.status, 201, adjusted.text);
    } finally {
      proxy.restore();
    }
    await assertBack();
  });

  it('stands still, every read of a view is answered 503 in bounded time', async () => {
    const answers: Promise<void>[] = [];
    for (const path of ROUTES) {
      const muted = proxy.muteAfter(MARKER);
      answers.push(get(path).then((answer) => assertAway(answer, path)));
      await muted;
    }
    await Promise.all(answers);
    proxy.cutOff();
    proxy.restore();
    await assertBack();
  });
});
