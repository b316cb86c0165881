import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { pino } from 'pino';
import supertest from 'supertest';

import { createApp } from '../../api/app.ts';
import { orderFeedOf } from '../../api/order-feed.ts';
import { Cache } from '../../infra/cache/cache.ts';
import { openMemory } from '../../infra/cache/memory.ts';
import { type Config, readConfig } from '../../infra/config.ts';
import { openBus, openOrder, openPayment, openPlatform, openViews } from '../../infra/databases.ts';
import type { GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { webhookReaders } from '../../infra/payment-gateway/providers.ts';
import { openCounters } from '../../infra/request-counters.ts';
import { developmentTokens, tokenVerifier } from '../../infra/tokens.ts';
import { freshDatabases } from '../support/databases.ts';
import { checkedApp } from './checked-app.ts';

/** `platformUrl`, `paymentUrl`, `busUrl`, `viewsPort`: through a proxy, for tests that cut the way to a database. */
type OpenApiOptions = {
  settings?: Partial<Config>;
  platformUrl?: string;
  paymentUrl?: string;
  busUrl?: string;
  viewsPort?: number;
  /** Ports of the ways to the databases, for tests that cut more than one. */
  ports?: Partial<Record<'platform' | 'order' | 'payment' | 'views' | 'bus', number>>;
  /** The payment provider's books; without it the audit has none. */
  ledger?: GatewayLedger;
  /** How payloads are written to Temporal; in clear without it. */
  dataConverter?: DataConverter;
};

/** Of the webhooks that these tests sign: the second one is about to replace the first. */
export const WEBHOOK_SECRETS = [1, 2].map((n) => `whsec_${Buffer.alloc(32, n).toString('base64')}`);

export type OpenApi = Awaited<ReturnType<typeof openApi>>;

/**
 * The app on databases of its own, without a socket. Every answer is compared with the OpenAPI document; one that differs
 * becomes 599. Its log lines are kept for whoever looks for leaks.
 */
export async function openApi(
  temporalAddress: string,
  {
    settings = {},
    platformUrl,
    paymentUrl,
    viewsPort,
    ports = {},
    busUrl,
    ledger,
    dataConverter = {},
  }: Readonly<OpenApiOptions> = {},
) {
  const databases = await freshDatabases({ seed: true });
  const dataDir = await mkdtemp(join(tmpdir(), 'commerce-saga-api-'));
  const config = { ...readConfig({ DATA_DIR: dataDir }), webhookSecrets: WEBHOOK_SECRETS, ...settings };
  const urlOf = (name: keyof typeof ports) => onPort(databases.urls[name], ports[name]);
  const platform = openPlatform(platformUrl ?? urlOf('platform'), { poolSize: 5 });
  const order = openOrder(urlOf('order'), { poolSize: 5 });
  const payment = openPayment(paymentUrl ?? urlOf('payment'), { poolSize: 5 });
  const views = openViews(onPort(databases.urls.views, viewsPort ?? ports.views), { poolSize: 5 });
  const bus = openBus(busUrl ?? urlOf('bus'), { poolSize: 2 });
  const connection = Connection.lazy({ address: temporalAddress });
  const client = new Client({ connection, dataConverter });
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const links = { temporalUiUrl: 'http://temporal.test', namespace: 'default' };
  const temporal = { client, connection, namespace: 'default' };
  const verify = await tokenVerifier(config);
  const webhooks = await webhookReaders(config);
  const cache = new Cache(openMemory({ ttlMs: 60_000 }));
  const counters = openCounters(config, log);
  const stopping = new AbortController();
  const orderFeed = orderFeedOf(order, log);
  const deps = {
    config,
    databases: { platform, order, payment, views, bus },
    audit: { urls: { ...databases.urls, bus: busUrl ?? databases.urls.bus }, ledger },
    cache,
    counters,
    temporal,
    verify,
    webhooks,
    links,
    orderFeed,
    log,
    stopping: stopping.signal,
  };
  const undocumented: string[] = [];
  const app = checkedApp(createApp(deps), (wrong) => undocumented.push(wrong));

  return {
    app,
    /** For another process on the same databases. */
    deps,
    config,
    client,
    platform,
    order,
    payment,
    views,
    bus,
    urls: databases.urls,
    /** Paused: whoever wants it used follows the changes. */
    cache,
    adminUrl: databases.adminUrl,
    logged: () => lines.join(''),
    http: supertest(app),
    tokens: await developmentTokens(config),
    /** Tells open streams to end, as a process does that is asked to stop. */
    stop: () => stopping.abort(),
    async close() {
      stopping.abort();
      counters.close();
      const closed = [platform, order, payment, views, bus].map((database) => database.$disconnect());
      await Promise.all([...closed, connection.close()]);
      await databases.drop();
      await rm(dataDir, { recursive: true });
      assert.deepEqual(undocumented, [], 'answers that are not as the OpenAPI document says');
    },
  };
}

function onPort(url: string, port: number | undefined): string {
  return port === undefined ? url : Object.assign(new URL(url), { port: String(port) }).href;
}

export const COASTER = { productId: '102', quantity: 1 };
export const cart = (more: object = {}) => ({
  items: [COASTER],
  payment: { method: 'card', token: 'tok_ok' },
  ...more,
});
