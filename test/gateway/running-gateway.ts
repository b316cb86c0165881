import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { PaymentMethod } from '../../domain/payment.ts';
import { createGateway } from '../../gateway/app.ts';
import type { GatewaySettings } from '../../gateway/charge-routes.ts';
import type { ChargeJson } from '../../gateway/charges.ts';
import type { LedgerEntryJson } from '../../gateway/ledger.ts';
import { startSender, type WebhookEndpoint } from '../../gateway/sender.ts';
import { type Databases, openGateway } from '../../infra/databases.ts';
import { freshDatabases } from '../support/databases.ts';

export type Reply = Readonly<{ status: number; body: Record<string, unknown>; headers: Headers }>;

/** One call to a gateway, without a client of ours between: rejects when the connection is cut. */
export async function call(
  url: string,
  method: string,
  path: string,
  options: Readonly<{ key?: string; body?: unknown; timeoutMs?: number }> = {},
): Promise<Reply> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(options.key === undefined ? {} : { 'idempotency-key': options.key }),
    },
    body: options.body === undefined ? null : JSON.stringify(options.body),
    signal: AbortSignal.timeout(options.timeoutMs ?? 20_000),
  });
  return { status: response.status, headers: response.headers, body: await readObject(response) };
}

export const won = (minor: number) => ({ minor, currency: 'KRW' });

/** What the tests ask of a gateway at `url`. */
export const callsOf = (url: string) => {
  const confirm = (
    charge: ChargeJson,
    token: string | undefined,
    key = `${charge.orderId}:confirm`,
    timeoutMs = 20_000,
  ) => call(url, 'POST', `/charges/${charge.providerId}/confirm`, { key, body: { token }, timeoutMs });
  return {
    confirm,
    async prepare(
      amount = won(39_000),
      orderId: string = randomUUID(),
      method: PaymentMethod = 'card',
    ): Promise<ChargeJson> {
      const body = { orderId, amount, method };
      const reply = await call(url, 'POST', '/charges', { key: `${orderId}:prepare`, body });
      assert.equal(reply.status, 201);
      return reply.body as ChargeJson;
    },
    lookup: async ({ providerId }: ChargeJson): Promise<ChargeJson> => {
      const reply = await call(url, 'GET', `/charges/${providerId}`);
      assert.equal(reply.status, 200);
      return reply.body as ChargeJson;
    },
    cancel: ({ providerId }: ChargeJson) => call(url, 'POST', `/charges/${providerId}/cancel`, { body: {} }),
    refund: ({ providerId }: ChargeJson, key: string, amount: unknown) =>
      call(url, 'POST', `/charges/${providerId}/refunds`, { key, body: { amount } }),
    /** What the shopper or its bank does: transfer, authorize, expire. */
    act: ({ providerId }: ChargeJson, action: 'transfer' | 'authorize' | 'expire', body: unknown = {}) =>
      call(url, 'POST', `/charges/${providerId}/${action}`, { body }),
    /** A transfer that waits for the shopper. */
    async awaitingTransfer(amount = won(39_000)): Promise<ChargeJson> {
      const charge = await this.prepare(amount, randomUUID(), 'bank_transfer');
      assert.equal((await confirm(charge, undefined)).body['status'], 'requires_confirmation');
      return charge;
    },
    script: async (fault: Record<string, unknown>): Promise<void> => {
      const reply = await call(url, 'PUT', '/faults', { body: fault });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
    },
    /** Every ledger entry of the charge's order, as [type, minor, currency]. */
    async moved({ orderId }: ChargeJson): Promise<[string, number, string][]> {
      const reply = await call(url, 'GET', `/ledger?orderId=${orderId}`);
      assert.equal(reply.status, 200);
      return (reply.body as { items: LedgerEntryJson[] }).items.map(({ type, amount }) => [
        type,
        amount.minor,
        amount.currency,
      ]);
    },
    /** Waits until a call has committed and its answer is held back. */
    async untilHeld(): Promise<void> {
      for (let tries = 0; tries < 400; tries++) {
        const { holding } = (await call(url, 'GET', '/faults')).body;
        if (Array.isArray(holding) && holding.length > 0) return;
        await sleep(25);
      }
      assert.fail('no answer was held back within 10 s');
    },
  };
};

export type ListeningGateway = Readonly<{
  url: string;
  db: Databases['gateway'];
  close: () => Promise<void>;
}>;

/** The application on a free port of this process; short times, so that a test of a time-out is short. */
export async function listenInProcess(
  databaseUrl: string,
  settings: Partial<GatewaySettings> = {},
  { faultsEnabled = true, webhooks }: Readonly<{ faultsEnabled?: boolean; webhooks?: WebhookEndpoint }> = {},
): Promise<ListeningGateway> {
  const gateway = openGateway(databaseUrl, { poolSize: 10 });
  const failures: unknown[] = [];
  const log = { error: (fields: unknown) => failures.push(fields), warn: () => undefined };
  const sender = startSender({ db: gateway, log, endpoint: webhooks, faultsEnabled });
  const server = createServer(
    createGateway({
      databases: { gateway },
      log,
      faultsEnabled,
      settings: { slowMs: 300, hangMs: 2_000, ...settings },
      changed: sender.wake,
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    db: gateway,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await sender.close();
      await gateway.$disconnect();
      assert.deepEqual(failures, [], 'the gateway met an error that it did not expect');
    },
  };
}

/** What the tests of one file share. Closing it also drops its databases. */
export type FreshGateway = ListeningGateway & Readonly<{ databaseUrl: string; calls: ReturnType<typeof callsOf> }>;

/** As `listenInProcess`, on databases of its own. */
export async function freshGateway(
  settings: Partial<GatewaySettings> = {},
  webhooks?: WebhookEndpoint,
): Promise<FreshGateway> {
  const databases = await freshDatabases();
  const { gateway: databaseUrl } = databases.urls;
  const gateway = await listenInProcess(databaseUrl, settings, webhooks === undefined ? {} : { webhooks });
  return {
    ...gateway,
    databaseUrl,
    calls: callsOf(gateway.url),
    close: async () => {
      await gateway.close();
      await databases.drop();
    },
  };
}

export type GatewayProcess = Readonly<{ url: string; child: ChildProcess }>;

/** The program itself, as a process of its own on a free port. */
export async function startProcess(databaseUrl: string, env: NodeJS.ProcessEnv = {}): Promise<GatewayProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'gateway/server.ts'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      ...process.env,
      NODE_ENV: 'test',
      LOG_LEVEL: 'silent',
      HOST: '127.0.0.1',
      GATEWAY_PORT: '0',
      GATEWAY_DATABASE_URL: databaseUrl,
      ...env,
    },
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { url: string }).url));
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code} before it was ready`)));
  });
  return { url, child };
}

/** Ends the process and waits for its end. @returns exit code, or the signal that ended it */
export async function stopProcess({ child }: GatewayProcess, signal: NodeJS.Signals): Promise<number | string | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.signalCode ?? child.exitCode;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
  return child.signalCode ?? child.exitCode;
}

async function readObject(response: Response): Promise<Record<string, unknown>> {
  const body: unknown = await response.json();
  assert.ok(typeof body === 'object' && body !== null);
  return body as Record<string, unknown>;
}
