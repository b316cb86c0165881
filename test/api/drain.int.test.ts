import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';

import { startApi } from '../../api/start.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { type Config, readConfig } from '../../infra/config.ts';
import { developmentTokens } from '../../infra/tokens.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { temporalServer } from '../support/servers.ts';
import { cart } from './open-api.ts';

const log = pino({ level: 'silent' });

describe('the API process', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let dataDir: string;
  let config: Config;
  let addressBefore: string | undefined;
  before(async () => {
    databases = await freshDatabases({ seed: true });
    dataDir = await mkdtemp(join(tmpdir(), 'commerce-saga-drain-'));
    addressBefore = process.env['TEMPORAL_ADDRESS'];
    process.env['TEMPORAL_ADDRESS'] = (await temporalServer()).address;
    const { platform, order, payment, views, bus } = databases.urls;
    const urls = { PLATFORM_DATABASE_URL: platform, ORDER_DATABASE_URL: order, PAYMENT_DATABASE_URL: payment };
    config = readConfig({ DATA_DIR: dataDir, PORT: '0', ...urls, VIEWS_DATABASE_URL: views, BUS_DATABASE_URL: bus });
  });
  after(async () => {
    if (addressBefore === undefined) delete process.env['TEMPORAL_ADDRESS'];
    else process.env['TEMPORAL_ADDRESS'] = addressBefore;
    await databases.drop();
    await rm(dataDir, { recursive: true });
  });

  it('finishes the requests that it has when it is asked to stop, and takes no new ones', async () => {
    const api = await startApi(config, log);
    const url = api.url ?? '';
    const { customer } = await developmentTokens(config);
    const agent = new Agent({ keepAlive: true }); // a shopper who holds the line must not hold up the end
    const headers = { Authorization: `Bearer ${customer}`, 'Content-Type': 'application/json', Prefer: 'wait=2' };
    const answer = new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      const path = '/v1/checkouts';
      const buy = request(new URL(path, url), {
        method: 'POST',
        agent,
        headers: { ...headers, 'Idempotency-Key': 'k' },
      });
      buy.on('response', (res) => void text(res).then((body) => resolve({ status: res.statusCode, body })));
      buy.on('error', reject);
      buy.end(JSON.stringify(cart())); // no worker runs: the answer takes all of the wait
    });
    await sleep(500);

    const closed = api.close();
    await assert.rejects(fetch(new URL('/healthz', url)), 'a new request was taken');
    const { status, body } = await answer;
    assert.equal(status, 202, body);
    await closed;
    agent.destroy();
    await terminate((JSON.parse(body) as { orderId: string }).orderId);
  });

  it('cuts requests that outlast the grace', async () => {
    const api = await startApi({ ...config, shutdownGraceMs: 300 }, log);
    const socket = connect(Number(new URL(api.url ?? '').port), '127.0.0.1');
    const cut = new Promise((resolve) => socket.on('close', resolve));
    socket.on('error', () => undefined); // being cut off may arrive as a reset
    socket.write('POST /v1/checkouts HTTP/1.1\r\nHost: shop\r\nContent-Le');
    await sleep(100);
    const since = performance.now();
    await Promise.all([api.close(), cut]);
    assert.ok(performance.now() - since < 5_000);
  });

  it('says so when its port is taken', async () => {
    const api = await startApi(config, log);
    const port = Number(new URL(api.url ?? '').port);
    try {
      await assert.rejects(startApi({ ...config, ports: { ...config.ports, api: port } }, log), { code: 'EADDRINUSE' });
    } finally {
      await api.close();
    }
  });
});

/** Another suite's workers on the same Temporal must not find it. */
async function terminate(orderId: string): Promise<void> {
  const connection = await Connection.connect({ address: (await temporalServer()).address });
  await new Client({ connection }).workflow.getHandle(checkoutWorkflowId(orderId)).terminate();
  await connection.close();
}
