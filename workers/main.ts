import type { DataConverter } from '@temporalio/common';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { Command, Option } from 'commander';
import pRetry from 'p-retry';

import { type Config, databaseUrl } from '../infra/config.ts';
import type { Logger } from '../infra/log.ts';
import { openPaymentGateway } from '../infra/payment-gateway/providers.ts';
import { type Running, runProcess } from '../infra/process.ts';
import { openTemporal, temporalSettings } from '../infra/temporal.ts';
import { temporalConverter } from '../infra/temporal-converter.ts';
import { SEARCH_ATTRIBUTES } from '../workflows/contract.ts';
import { openCheckoutWorker } from './checkout-worker.ts';
import { dailySalesSchedule } from './daily-sales-schedule.ts';
import { openInventoryWorker } from './inventory-worker.ts';
import { maintenanceSchedule } from './maintenance-schedule.ts';
import { openOrderWorker } from './order-worker.ts';
import { openPaymentWorker } from './payment-worker.ts';
import { keepTemporalPrepared } from './prepare-temporal.ts';
import { reconcileSchedule } from './reconcile-schedule.ts';
import { runtimeOptions } from './runtime-log.ts';
import type { OpenWorker, WorkerContext } from './temporal-worker.ts';
import { openViewsWorker } from './views-worker.ts';

const WORKERS = {
  'checkout-worker': openCheckoutWorker,
  'inventory-worker': openInventoryWorker,
  'order-worker': openOrderWorker,
  'payment-worker': openPaymentWorker,
  'views-worker': openViewsWorker,
} as const satisfies Record<string, (context: WorkerContext) => Promise<OpenWorker>>;
type WorkerName = keyof typeof WORKERS;

/** What each cannot do without. It is looked at first: a missing setting must not wait for Temporal to answer. */
const NEEDS: Readonly<Record<WorkerName, (config: Config) => unknown>> = {
  'checkout-worker': () => undefined,
  'inventory-worker': (config) => void databaseUrl(config, 'platform'),
  'order-worker': (config) => void databaseUrl(config, 'order'),
  'payment-worker': (config) => {
    databaseUrl(config, 'payment');
    return openPaymentGateway(config);
  },
  'views-worker': (config) => {
    databaseUrl(config, 'views');
    databaseUrl(config, 'bus');
  },
};

/** Connecting is tried again, because a server that has just started may refuse the first calls. */
const CONNECT_RETRIES = 8;

const command = new Command('npm run worker --')
  .description('Runs Temporal workers: all of them in one process, or only those that are named.')
  .argument('[names...]', `one or more of ${Object.keys(WORKERS).join(', ')}; none means all`)
  .addOption(new Option('--list', 'print the names and end').default(false))
  .action(async (names: string[], { list }: { list: boolean }) => {
    if (list) process.stdout.write(`${Object.keys(WORKERS).join('\n')}\n`);
    else await runProcess('workers', (config, log) => openWorkers(config, log, chosen(names)));
  });
await command.parseAsync();

function chosen(names: readonly string[]): readonly WorkerName[] {
  const all = Object.keys(WORKERS) as WorkerName[];
  const unknown = names.filter((name) => !all.some((known) => known === name));
  if (unknown.length > 0) command.error(`no such worker: ${unknown.join(', ')}. There are: ${all.join(', ')}`);
  return names.length === 0 ? all : all.filter((name) => names.includes(name));
}

async function openWorkers(config: Config, log: Logger, names: readonly WorkerName[]): Promise<Running> {
  for (const name of names) await NEEDS[name](config);
  Runtime.install(runtimeOptions(log));
  const dataConverter = await temporalConverter(config, log); // a missing key must not wait for Temporal either
  const { connectionOptions, namespace } = temporalSettings();
  const connection = await pRetry(() => NativeConnection.connect(connectionOptions), { retries: CONNECT_RETRIES });
  const prepared = names.includes('checkout-worker') ? await prepareTemporal(config, dataConverter, log) : undefined;

  const opened = await Promise.all(
    names.map((name) => WORKERS[name]({ config, connection, namespace, dataConverter, log })),
  );
  const finished = Promise.all(opened.map(({ worker }) => worker.run()));
  finished.catch((error: unknown) => {
    log.fatal({ err: error }, 'a worker failed');
    process.exit(1);
  });
  return {
    async close() {
      for (const { worker } of opened) worker.shutdown();
      await Promise.all([finished, prepared?.close()]);
      await Promise.all(opened.map(({ close }) => close()));
      await connection.close();
      await Runtime.instance().shutdown();
    },
  };
}

/** Search attributes and Schedules, from now on. */
async function prepareTemporal(config: Config, dataConverter: DataConverter, log: Logger): Promise<Running> {
  const temporal = openTemporal(dataConverter);
  const attributes = Object.values(SEARCH_ATTRIBUTES);
  const schedules = [reconcileSchedule(config), dailySalesSchedule(config), maintenanceSchedule(config)];
  const keeper = await keepTemporalPrepared(temporal, { attributes, schedules, log });
  return {
    async close() {
      await keeper.stop();
      await temporal.connection.close();
    },
  };
}
