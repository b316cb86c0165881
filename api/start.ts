import { setTimeout as sleep } from 'node:timers/promises';

import { collectDefaultMetrics, Registry } from 'prom-client';

import { cacheMetrics } from '../infra/cache/metrics.ts';
import { openCache } from '../infra/cache/open-cache.ts';
import { type Config, ConfigError, databaseUrl } from '../infra/config.ts';
import { openBus, openOrder, openPayment, openPlatform, openViews } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { type MetricsServer, serveMetrics } from '../infra/metrics.ts';
import type { GatewayLedger } from '../infra/payment-gateway/ledger.ts';
import { openGatewayLedger, webhookReaders } from '../infra/payment-gateway/providers.ts';
import type { Running } from '../infra/process.ts';
import { countedAlone, openCounters } from '../infra/request-counters.ts';
import { openTemporal } from '../infra/temporal.ts';
import { temporalConverter } from '../infra/temporal-converter.ts';
import { tokenVerifier } from '../infra/tokens.ts';
import { createApp } from './app.ts';
import { createListener, drain, listen, LISTENER_LIMITS, urlOf } from './listener.ts';
import { followOrderChanges, orderFeedOf } from './order-feed.ts';
import { followProductChanges } from './product-changes.ts';

const DEFAULT_PORT = 3_000;
/** Administrators alone look at dead letters. */
const BUS_POOL_SIZE = 2;

/** Opens what the API needs and listens. `close` lets requests in flight finish within the grace of the settings. */
export async function startApi(config: Config, log: Logger): Promise<Running> {
  const pool = { poolSize: config.databasePoolSize };
  const platform = openPlatform(databaseUrl(config, 'platform'), pool);
  const order = openOrder(databaseUrl(config, 'order'), pool);
  const payment = openPayment(databaseUrl(config, 'payment'), pool);
  const viewsUrl = databaseUrl(config, 'views');
  const views = openViews(viewsUrl, pool);
  const bus = openBus(databaseUrl(config, 'bus'), { poolSize: BUS_POOL_SIZE });
  const verify = await tokenVerifier(config, log);
  const temporal = openTemporal(await temporalConverter(config, log));
  const links = { temporalUiUrl: config.temporalUiUrl, namespace: temporal.namespace };
  const webhooks = await webhookReaders(config);
  if (webhooks.size === 0) log.warn('GATEWAY_WEBHOOK_SECRETS is not set: no webhook of a payment provider is taken');
  const databases = { platform, order, payment, views, bus };
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const cache = openCache(config, log, cacheMetrics(registry));
  const counters = openCounters(config, log, countedAlone(registry));
  const stopping = new AbortController();
  const orderFeed = orderFeedOf(order, log);
  const audit = { urls: config.databaseUrls, ledger: await knownLedger(config) };
  const served = { databases, audit, cache, counters, temporal, webhooks, orderFeed };
  const deps = { ...served, config, verify, links, log, stopping: stopping.signal };
  const app = createApp(deps);

  const metrics = await metricsServer(config, registry, log);
  const limits = { ...LISTENER_LIMITS, connections: config.maxConnections };
  const server = createListener(app, { limits, stopping: stopping.signal, log });
  await listen(server, config.ports.api ?? DEFAULT_PORT, config.host);
  const changes = followProductChanges(viewsUrl, cache, log);
  const orderChanges = followOrderChanges(viewsUrl, orderFeed, log);
  return {
    url: urlOf(server),
    close: async () => {
      stopping.abort();
      if (config.shutdownDelayMs > 0) await sleep(config.shutdownDelayMs);
      await drain(server, Math.max(config.shutdownGraceMs - config.shutdownDelayMs, 0));
      await Promise.all([changes.close(), orderChanges.close(), metrics?.close()]);
      await cache.close();
      counters.close();
      const closed = Object.values(databases).map((database) => database.$disconnect());
      await Promise.all([...closed, temporal.connection.close()]);
    },
  };
}

/** Undefined where this process cannot read the books: the key of a payment provider is for its workers. */
async function knownLedger(config: Config): Promise<GatewayLedger | undefined> {
  try {
    return await openGatewayLedger(config);
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

function metricsServer(
  { host, ports: { metrics: port } }: Config,
  registry: Registry,
  log: Logger,
): Promise<MetricsServer> | undefined {
  return port === undefined ? undefined : serveMetrics({ host, port, registry, healthy: () => true, log });
}
