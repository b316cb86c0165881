import { hostname } from 'node:os';

import { Command, Option } from 'commander';
import { collectDefaultMetrics, Registry } from 'prom-client';

import type { EventBus } from '../events/bus/bus.ts';
import { countLetters } from '../events/bus/letter-counts.ts';
import { openBus } from '../events/bus/open-bus.ts';
import { startRelay } from '../events/relay.ts';
import { readOutboxLag } from '../events/relay-tables.ts';
import { type Config, databaseUrl } from '../infra/config.ts';
import { openBus as openBusDatabase, openOrder, openPayment, openPlatform, openViews } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { serveMetrics } from '../infra/metrics.ts';
import { type Running, runProcess } from '../infra/process.ts';
import { VIEWS } from '../projections/all.ts';
import { readViewLags } from '../projections/progress.ts';
import { startProjection } from '../projections/projector.ts';
import { groupOf } from '../projections/view.ts';
import { deadLetterMetrics } from './dead-letter-metrics.ts';
import { projectionMetrics } from './projection-metrics.ts';
import { relayMetrics } from './relay-metrics.ts';

const OUTBOXES = { platform: openPlatform, order: openOrder, payment: openPayment } as const;
type Service = keyof typeof OUTBOXES;
const SERVICES = Object.keys(OUTBOXES) as Service[];
/** What this process does: a relay for each outbox, and the projection of all views. */
const PARTS = [...SERVICES, 'views'] as const;
type Part = (typeof PARTS)[number];

/** One statement at a time, the renewal of its leases beside it, and whoever asks for metrics. */
const POOL_SIZE = 3;
/** A transaction for each view, the look at how far they are, and whoever asks for metrics. */
const VIEWS_POOL_SIZE = VIEWS.length + 2;
/** Beyond every time limit of the bus and the database, and every pause; milliseconds. */
const HANGS_AFTER_MS = 120_000;

/** A relay or the projection: what it works with is closed after it. */
type Worker = Readonly<{ stop: () => Promise<void>; silentMs: () => number; disconnect: () => Promise<void> }>;
type Context = Readonly<{ config: Config; log: Logger; bus: EventBus; registry: Registry }>;

const command = new Command('npm run events --')
  .description(
    'Hands the events of the outboxes to the bus, and keeps the views up to date from it: all, or what is named.',
  )
  .argument('[parts...]', `one or more of ${PARTS.join(', ')}; none means all`)
  .addOption(new Option('--list', 'print the names and end').default(false))
  .addHelpText('after', '\nSeveral of them share the work. Metrics and health are served on METRICS_PORT.')
  .action(async (names: string[], { list }: { list: boolean }) => {
    if (list) process.stdout.write(`${PARTS.join('\n')}\n`);
    else await runProcess('events', (config, log) => openParts(config, log, chosen(names)));
  });
await command.parseAsync();

function chosen(names: readonly string[]): readonly Part[] {
  const unknown = names.filter((name) => !PARTS.some((known) => known === name));
  if (unknown.length > 0) command.error(`no such part: ${unknown.join(', ')}. There are: ${PARTS.join(', ')}`);
  return names.length === 0 ? PARTS : PARTS.filter((name) => names.includes(name));
}

async function openParts(config: Config, log: Logger, parts: readonly Part[]): Promise<Running> {
  for (const part of parts) databaseUrl(config, part); // a setting that is missing is told before anything is opened
  const bus = await openBus(config, log);
  const letters = openBusDatabase(databaseUrl(config, 'bus'), { poolSize: 1 });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const groups = parts.includes('views') ? VIEWS.map(({ name }) => groupOf(name)) : [];
  deadLetterMetrics(registry, groups, () => countLetters({ bus: letters }), log);

  const workers: Worker[] = [];
  const healthy = () => workers.every((worker) => worker.silentMs() < HANGS_AFTER_MS);
  const { metrics: port } = config.ports;
  const server =
    port === undefined ? undefined : await serveMetrics({ host: config.host, port, registry, healthy, log });

  const context = { config, log, bus, registry };
  workers.push(
    ...startRelays(
      context,
      SERVICES.filter((service) => parts.includes(service)),
    ),
  );
  if (parts.includes('views')) workers.push(startViews(context));
  return {
    ...(server && { url: server.url }),
    async close() {
      await Promise.all(workers.map((worker) => worker.stop()));
      await bus.close();
      await Promise.all([letters.$disconnect(), ...workers.map((worker) => worker.disconnect())]);
      await server?.close();
    },
  };
}

function startRelays({ config, log, bus, registry }: Context, services: readonly Service[]): Worker[] {
  const outboxes = services.map((service) => {
    const url = databaseUrl(config, service);
    return { service, url, db: OUTBOXES[service](url, { poolSize: POOL_SIZE }) };
  });
  const lags = Object.fromEntries(outboxes.map(({ service, db }) => [service, () => readOutboxLag(db)]));
  const metricsOf = relayMetrics(registry, lags, log);
  const instance = `${hostname()} ${process.pid}`;
  return outboxes.map(({ service, url, db }) => {
    const relay = startRelay({ db, bus, service, instance, listenUrl: url, log, metrics: metricsOf(service) });
    return { ...relay, disconnect: () => db.$disconnect() };
  });
}

function startViews({ config, log, bus, registry }: Context): Worker {
  const db = openViews(databaseUrl(config, 'views'), { poolSize: VIEWS_POOL_SIZE });
  const names = VIEWS.map(({ name }) => name);
  const metrics = projectionMetrics(registry, names, () => readViewLags(db), log);
  const options = { timeZone: config.shopTimeZone };
  return { ...startProjection({ db, bus, views: VIEWS, options, log, metrics }), disconnect: () => db.$disconnect() };
}
