import { hostname } from 'node:os';

import { Command, Option } from 'commander';
import { collectDefaultMetrics, Registry } from 'prom-client';

import { openBus } from '../events/bus/open-bus.ts';
import { type Relay, startRelay } from '../events/relay.ts';
import { readOutboxLag } from '../events/relay-tables.ts';
import { type Config, databaseUrl } from '../infra/config.ts';
import { openOrder, openPayment, openPlatform } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { type Running, runProcess } from '../infra/process.ts';
import { serveMetrics } from './metrics.ts';
import { relayMetrics } from './relay-metrics.ts';

const OUTBOXES = { platform: openPlatform, order: openOrder, payment: openPayment } as const;
type Service = keyof typeof OUTBOXES;
const SERVICES = Object.keys(OUTBOXES) as Service[];

/** One statement at a time, the renewal of its leases beside it, and whoever asks for metrics. */
const POOL_SIZE = 3;
/** Beyond every time limit of the bus and the database, and every pause; milliseconds. */
const HANGS_AFTER_MS = 120_000;

const command = new Command('npm run events --')
  .description('Hands the events of the outboxes to the bus: those of all services, or of the ones that are named.')
  .argument('[services...]', `one or more of ${SERVICES.join(', ')}; none means all`)
  .addOption(new Option('--list', 'print the names and end').default(false))
  .addHelpText('after', '\nSeveral of them share the work. Metrics and health are served on METRICS_PORT.')
  .action(async (names: string[], { list }: { list: boolean }) => {
    if (list) process.stdout.write(`${SERVICES.join('\n')}\n`);
    else await runProcess('events', (config, log) => openRelays(config, log, chosen(names)));
  });
await command.parseAsync();

function chosen(names: readonly string[]): readonly Service[] {
  const unknown = names.filter((name) => !SERVICES.some((known) => known === name));
  if (unknown.length > 0) command.error(`no such service: ${unknown.join(', ')}. There are: ${SERVICES.join(', ')}`);
  return names.length === 0 ? SERVICES : SERVICES.filter((name) => names.includes(name));
}

async function openRelays(config: Config, log: Logger, services: readonly Service[]): Promise<Running> {
  const urls = services.map((service) => [service, databaseUrl(config, service)] as const);
  const bus = await openBus(config, log);
  const databases = urls.map(([service, url]) => {
    const db = OUTBOXES[service](url, { poolSize: POOL_SIZE });
    return { service, url, db };
  });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const lags = Object.fromEntries(databases.map(({ service, db }) => [service, () => readOutboxLag(db)]));
  const metricsOf = relayMetrics(registry, lags, log);

  const relays: Relay[] = [];
  const healthy = () => relays.every((relay) => relay.silentMs() < HANGS_AFTER_MS);
  const { metrics: port } = config.ports;
  const server =
    port === undefined ? undefined : await serveMetrics({ host: config.host, port, registry, healthy, log });

  const instance = `${hostname()} ${process.pid}`;
  for (const { service, url, db } of databases) {
    relays.push(startRelay({ db, bus, service, instance, listenUrl: url, log, metrics: metricsOf(service) }));
  }
  return {
    ...(server && { url: server.url }),
    async close() {
      await Promise.all(relays.map((relay) => relay.stop()));
      await bus.close();
      await Promise.all(databases.map(({ db }) => db.$disconnect()));
      await server?.close();
    },
  };
}
