import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { isOutage } from '../../api/outage.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor } from '../../events/ids.ts';
import { openPlatform } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { temporalServer } from '../support/servers.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';
import { cart, type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;

describe('an API that cannot be sure', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let proxy: TcpProxy;
  let api: OpenApi;

  before(async () => {
    databases = await freshDatabases({ seed: true });
    const url = new URL(databases.urls.platform);
    proxy = await tcpProxy(Number(url.port));
    url.port = String(proxy.port);
    api = await openApi((await temporalServer()).address, { platformUrl: url.href });
  });
  after(async () => {
    for await (const { workflowId } of api.client.workflow.list({ query: 'ExecutionStatus = "Running"' })) {
      await api.client.workflow.getHandle(workflowId).terminate();
    }
    await api.close();
    await proxy.close();
    await databases.drop();
  });

  const buy = (key: string, prefer: string, body: object = cart()) =>
    api.http
      .post('/v1/checkouts')
      .set({ Authorization: `Bearer ${api.tokens.customer}`, 'Idempotency-Key': key, Prefer: prefer })
      .send(body);
  const checkoutOf = (key: string) =>
    api.client.workflow.getHandle(checkoutWorkflowId(orderIdFor('/v1/checkouts', '1', key))).describe();

  it('names an order only when its checkout is stored, however short the wait that was asked for', async () => {
    for (const prefer of ['wait=0', 'wait=1', 'respond-async']) {
      const key = randomUUID();
      assert.equal((await buy(key, prefer)).status, 202, prefer);
      assert.equal((await checkoutOf(key)).status.name, 'RUNNING', prefer);
    }
  });

  it('never tells the shopper of a started checkout to try again, although the record cannot be read', async () => {
    const key = randomUUID();
    const first = await buy(key, 'respond-async');
    assert.equal(first.status, 202);
    await proxy.close();

    const again = await buy(key, 'respond-async');
    assert.deepEqual([again.status, again.headers['location']], [202, first.headers['location']]);
    assert.deepEqual(again.body, first.body);
    const other = await buy(key, 'respond-async', cart({ items: [{ productId: '102', quantity: 9 }] }));
    assert.deepEqual([other.status, (other.body as Body)['code']], [422, 'IDEMPOTENCY_KEY_REUSED']);

    const fresh = randomUUID();
    assert.equal((await buy(fresh, 'respond-async')).status, 503);
    await assert.rejects(checkoutOf(fresh), { name: 'WorkflowNotFoundError' });
  });
});

describe('an error of PostgreSQL', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let platform: ReturnType<typeof openPlatform>;

  before(async () => {
    databases = await freshDatabases({ seed: true });
    platform = openPlatform(databases.urls.platform, { poolSize: 3 });
  });
  after(async () => {
    await platform.$disconnect();
    await databases.drop();
  });

  const errorOf = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => assert.fail('it succeeded'),
      (error: unknown) => error,
    );
  /** Ends the session of our own role that runs the marked statement. */
  const endSession = (marker: string) =>
    eventually(`a session runs ${marker}`, async () => {
      const rows = await query(
        databases.adminUrl('platform'),
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and query like $1 and state = 'active'`,
        [`%${marker}%`],
      );
      return rows.length > 0 ? rows : undefined;
    });

  it('is an outage when the server ended the session, in a transaction or not', async () => {
    const alone = errorOf(platform.$queryRaw`select pg_sleep(4), 'alone'`);
    await endSession("'alone'");
    assert.ok(isOutage(await alone));
    const inside = errorOf(platform.$transaction((tx) => tx.$queryRaw`select pg_sleep(4), 'inside'`));
    await endSession("'inside'");
    assert.ok(isOutage(await inside));
  });

  it('is an outage when a statement or a lock took too long', async () => {
    assert.ok(
      isOutage(
        await errorOf(
          platform.$transaction(async (tx) => {
            await tx.$executeRaw`set local statement_timeout = 50`;
            await tx.$queryRaw`select pg_sleep(4)`;
          }),
        ),
      ),
    );
    const lock = platform.$transaction(async (tx) => {
      await tx.$executeRaw`select pg_advisory_xact_lock(1)`;
      await sleep(1_500);
    });
    await sleep(300);
    const waiting = errorOf(
      platform.$transaction(async (tx) => {
        await tx.$executeRaw`set local lock_timeout = 50`;
        await tx.$executeRaw`select pg_advisory_xact_lock(1)`;
      }),
    );
    assert.ok(isOutage(await waiting));
    await lock;
  });

  it('is no outage when the statement itself is at fault', async () => {
    assert.equal(isOutage(await errorOf(platform.$queryRaw`select from no_such_table`)), false);
    assert.equal(isOutage(await errorOf(platform.$queryRaw`select 1 / 0`)), false);
  });
});
