import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { Client as TemporalClient, Connection } from '@temporalio/client';
import { Client as PgClient, type QueryResultRow } from 'pg';

import { type DatabaseName, readConfig } from '../../infra/config.ts';
import { isAlive } from '../../infra/embedded/child.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { type EmbeddedTemporalServer, startTemporal } from '../../infra/embedded/temporal-server.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { developmentTokens, signToken } from '../../infra/tokens.ts';
import { type Child, startChild } from './child.ts';
import { freshDatabases, type TestDatabases } from './databases.ts';
import { eventually } from './eventually.ts';
import { serverFolder, temporalCliPath } from './servers.ts';
import { type ShopClient, shopClient } from './shop-client.ts';

/** The whole system as real processes on one machine: databases, Temporal, gateway, API, and workers on demand. */
export type TestSystem = Readonly<{
  shop: ShopClient;
  /** The process behind `shop`. */
  api: Child;
  gateway: Child;
  gatewayUrl: string;
  temporalAddress: string;
  temporal: TemporalClient;
  cliPath: string;
  /** All workers in one process, or only those that are named. */
  startWorkers: (...names: string[]) => Promise<Child>;
  /** Relays of all outboxes and the projection of all views in one process, or only those parts that are named. */
  startEvents: (...parts: string[]) => Promise<Child>;
  /** The environment that every process gets; for those that a test starts by itself. */
  env: Readonly<Record<string, string>>;
  /** Another API process on the same databases. */
  startApi: () => Promise<ShopClient>;
  /** A token of any customer of the seed. */
  tokenOf: (customerId: string) => Promise<string>;
  /** Scripts the gateway (gateway/control.ts). */
  fault: (script: Readonly<Record<string, unknown>>) => Promise<void>;
  /** Ends every script and lets every held answer go. */
  clearFaults: () => Promise<void>;
  /** Lets answers go that the gateway holds back; its other scripts stay. */
  releaseHolds: () => Promise<void>;
  /** SIGKILLs Temporal and starts it again on its port; on its file, or on an empty one. */
  crashTemporal: (options?: Readonly<{ loseData?: boolean }>) => Promise<void>;
  /** Reads as the superuser, past every grant. */
  query: <T extends QueryResultRow>(database: DatabaseName, text: string, values?: unknown[]) => Promise<T[]>;
  /** A connection of its own, for tests that hold a lock. Ended with the system. */
  connect: (database: DatabaseName) => Promise<PgClient>;
  stop: () => Promise<void>;
}>;

/** Signs the gateway's webhooks in tests. */
export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

export type SystemOptions = Readonly<{
  /** Added to the environment of every process; wins over the rest. Other webhook secrets: GATEWAY_WEBHOOK_SECRETS. */
  env?: Readonly<Record<string, string>>;
  /** Used instead of fresh ones on the server that tests share, and dropped in the end all the same. */
  databases?: TestDatabases;
  /** How long stock waits for a payment, milliseconds, every method. */
  holdMs?: number;
  reconcileIntervalMs?: number;
  /** After this a charge that was asked for has landed or never will, milliseconds. */
  gatewayMaxProcessingMs?: number;
  /** False: the gateway keeps its webhooks, whose workflows would do what a test sees a checkout do. */
  webhooks?: boolean;
}>;

/** Neither workers nor relays are started: see `startWorkers` and `startEvents`. The gateway sends its webhooks to the API. */
export async function startSystem(options: SystemOptions = {}): Promise<TestSystem> {
  const folder = await serverFolder();
  const databases = options.databases ?? (await freshDatabases({ seed: true }));
  const cliPath = await temporalCliPath();
  const dbFile = join(folder, 'temporal.db');
  let server: EmbeddedTemporalServer = await startTemporal({ cliPath, dbFile, port: 0, uiPort: false });
  const temporalAddress = server.address;
  const children: Child[] = [];
  const clients: PgClient[] = [];

  const apiPort = await freePort();
  const base = {
    ...inheritedEnvironment(),
    NODE_ENV: 'test',
    LOG_LEVEL: 'warn',
    DATA_DIR: folder,
    PORT: '0',
    GATEWAY_PORT: '0',
    GATEWAY_WEBHOOK_SECRETS: WEBHOOK_SECRET,
    ...timesOf(options),
    TEMPORAL_ADDRESS: temporalAddress,
    ...Object.fromEntries(
      Object.entries(databases.urls).map(([name, url]) => [`${name.toUpperCase()}_DATABASE_URL`, url]),
    ),
    ...options.env,
  };
  const started = async (script: string, env: Record<string, string>, args?: string[]): Promise<Child> => {
    const child = await startChild(script, env, args);
    children.push(child);
    return child;
  };
  const webhookUrl = `http://127.0.0.1:${apiPort}/v1/payment-webhooks/simulated`;
  const gateway = await started('gateway/server.ts', {
    ...(options.webhooks !== false && { GATEWAY_WEBHOOK_URL: webhookUrl }),
    ...base,
  });
  const env = { ...base, GATEWAY_URL: gateway.url };
  const api = await started('api/server.ts', { ...env, PORT: String(apiPort) });

  const connect = async (database: DatabaseName): Promise<PgClient> => {
    const client = new PgClient({ connectionString: databases.adminUrl(database) });
    client.on('error', () => undefined); // cut off when its database is dropped at the end
    await client.connect();
    clients.push(client);
    return client;
  };
  const readers = new Map<DatabaseName, Promise<PgClient>>();
  const reader = (database: DatabaseName): Promise<PgClient> => {
    const known = readers.get(database) ?? connect(database);
    readers.set(database, known);
    return known;
  };
  /** One connection serves one statement at a time: they queue here, and pg complains of those that queue in it. */
  const turns = new Map<DatabaseName, Promise<unknown>>();
  const query = async (database: DatabaseName, text: string, values?: unknown[]) => {
    const before = turns.get(database) ?? Promise.resolve();
    const own = before.then(async () => (await reader(database)).query(text, values));
    turns.set(
      database,
      own.catch(() => undefined),
    );
    return (await own).rows as unknown[];
  };
  const connection = Connection.lazy({ address: temporalAddress });
  const tokens = await developmentTokens(readConfig(env));
  const control = async (method: string, body?: unknown, path = '/faults'): Promise<void> => {
    const answer = await fetch(`${gateway.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`the gateway answered ${answer.status}: ${await answer.text()}`);
  };

  return {
    shop: shopClient(api.url, tokens),
    ...{ api, gateway },
    gatewayUrl: gateway.url,
    temporalAddress,
    temporal: new TemporalClient({ connection }),
    cliPath,
    env,
    startWorkers: (...names) => started('workers/main.ts', env, names),
    startEvents: (...parts) => started('workers/events-main.ts', { ...env, METRICS_PORT: '0' }, parts),
    startApi: async () => shopClient((await started('api/server.ts', env)).url, tokens),
    tokenOf: (sub) => signToken(readConfig(env), { sub, role: 'customer', expires: '1h' }),
    fault: (script) => control('PUT', script),
    clearFaults: () => control('DELETE'),
    releaseHolds: () => control('DELETE', undefined, '/holds'),
    async crashTemporal({ loseData = false } = {}) {
      process.kill(server.pid, 'SIGKILL');
      await eventually('Temporal is gone', () => Promise.resolve(isAlive(server.pid) ? undefined : true));
      if (loseData) await Promise.all(['', '-wal', '-shm'].map((end) => rm(`${dbFile}${end}`, { force: true })));
      const port = Number(temporalAddress.split(':')[1]);
      server = await startTemporal({ cliPath, dbFile, port, uiPort: false });
    },
    query: async (database, text, values) => (await query(database, text, values)) as never,
    connect,
    async stop() {
      await connection.close();
      await Promise.all(children.map((child) => child.stop()));
      await server.stop();
      await Promise.all(clients.map((client) => client.end()));
      await databases.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const timesOf = ({ holdMs, reconcileIntervalMs, gatewayMaxProcessingMs }: SystemOptions): Record<string, string> => ({
  ...(holdMs !== undefined && { HOLD_CARD_MS: String(holdMs), HOLD_BANK_TRANSFER_MS: String(holdMs) }),
  ...(reconcileIntervalMs !== undefined && { RECONCILE_INTERVAL_MS: String(reconcileIntervalMs) }),
  ...(gatewayMaxProcessingMs !== undefined && { GATEWAY_MAX_PROCESSING_MS: String(gatewayMaxProcessingMs) }),
});
