import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { openReceiver, type Receiver } from './receiver.ts';
import { callsOf, type GatewayProcess, startProcess, stopProcess } from './running-gateway.ts';

const CHARGES = 12;

describe('the webhooks of the process of the simulated gateway', function () {
  this.timeout(120_000);
  let databases: TestDatabases;
  let receiver: Receiver;
  const started: GatewayProcess[] = [];
  const start = async () => {
    const { url, secret } = receiver.endpoint;
    const env = { GATEWAY_WEBHOOK_URL: url, GATEWAY_WEBHOOK_SECRETS: `${secret},whsec_${'A'.repeat(32)}` };
    const gateway = await startProcess(databases.urls.gateway, env);
    started.push(gateway);
    return { gateway, calls: callsOf(gateway.url) };
  };

  beforeEach(async () => {
    databases = await freshDatabases();
    receiver = await openReceiver();
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((gateway) => stopProcess(gateway, 'SIGKILL')));
    await receiver.close();
    await databases.drop();
  });

  it('survive its SIGKILL: every capture is told of after the restart, though the shop was down', async () => {
    const { gateway, calls } = await start();
    await receiver.down();
    const charges = await Promise.all(Array.from({ length: CHARGES }, () => calls.prepare()));
    await Promise.all(charges.map((charge) => calls.confirm(charge, 'tok_ok')));
    await eventually('a delivery has failed', async () => {
      const [row] = await query(databases.adminUrl('gateway'), 'select from webhook_deliveries where attempts > 0');
      return row;
    });
    await stopProcess(gateway, 'SIGKILL');
    await receiver.up();
    assert.equal(receiver.arrived.length, 0);

    await start();
    for (const { orderId } of charges) assert.equal((await receiver.until(orderId, 1))[0]?.type, 'charge.captured');
  });

  it('are sent again after a SIGKILL in the middle of a delivery, with the same id', async () => {
    const { gateway, calls } = await start();
    receiver.answerNext(0);
    const charge = await calls.prepare();
    await calls.confirm(charge, 'tok_ok');
    await receiver.until(charge.orderId, 1);
    await stopProcess(gateway, 'SIGKILL');

    await start();
    const events = await receiver.until(charge.orderId, 2);
    assert.equal(new Set(events.map(({ eventId }) => eventId)).size, 1);
  });

  it('do not keep it from ending cleanly while the shop is down', async () => {
    const { gateway, calls } = await start();
    await receiver.down();
    await calls.confirm(await calls.prepare(), 'tok_ok');
    assert.equal(await stopProcess(gateway, 'SIGTERM'), 0);
  });

  it('need a secret: without one it does not start, and says which setting is missing', async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'gateway/server.ts'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        ...{ LOG_LEVEL: 'silent', HOST: '127.0.0.1', GATEWAY_PORT: '0', GATEWAY_WEBHOOK_SECRETS: '' },
        ...{ GATEWAY_DATABASE_URL: databases.urls.gateway, GATEWAY_WEBHOOK_URL: receiver.endpoint.url },
      },
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 1);
    assert.match(said, /GATEWAY_WEBHOOK_SECRETS/);
  });
});
