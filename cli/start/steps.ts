import type { ListrTask } from 'listr2';

import type { Config } from '../../infra/config.ts';
import { startApi, startEvents, startGateway, startWorkers } from '../../infra/embedded/supervisor/apps.ts';
import { externalDatabases } from '../../infra/embedded/supervisor/environment.ts';
import {
  checkExternalTemporal,
  prepareEmbeddedDatabases,
  prepareExternalDatabases,
  startEmbeddedPostgres,
  startEmbeddedTemporal,
  temporalPlace,
} from '../../infra/embedded/supervisor/servers.ts';
import type { System } from '../../infra/embedded/supervisor/system.ts';
import { findTemporalCli } from '../../infra/embedded/temporal-cli.ts';
import { seedPlatform } from '../../prisma/seed.ts';

type Report = (line: string) => void;

/** One step of the start. @returns what to add to its title once it is done */
type Step = Readonly<{ title: string; run: (report: Report) => Promise<string> }>;

/**
 * The start, step by step. A part that the environment names is used instead of being started.
 *
 * @throws ConfigError when the environment names some databases and not others
 */
export function startTasks(system: System, options: Readonly<{ seed: boolean }>): ListrTask[] {
  const servers = [...databaseSteps(system, options.seed), ...temporalSteps(system)];
  const gateway: Step = { title: 'Payment gateway', run: () => startGateway(system) };
  const applications: Step[] = [
    {
      title: 'Workers',
      run: async () => {
        await startWorkers(system);
        return 'checkout, inventory, orders, payments';
      },
    },
    { title: 'Events', run: async () => `3 relays, projection, ${await startEvents(system)}` },
    { title: 'API', run: () => startApi(system) },
  ];
  return [
    ...servers.map((step) => taskOf(system, step)),
    taskOf(system, gateway),
    {
      title: 'Applications',
      task: (_context, task) =>
        task.newListr(
          applications.map((step) => taskOf(system, step)),
          { concurrent: true, exitOnError: true },
        ),
    },
  ];
}

function databaseSteps(system: System, seed: boolean): Step[] {
  const { config, found } = system;
  const external = externalDatabases(config);
  let adminUrl = '';
  const prepare: Step[] =
    external === undefined
      ? [
          {
            title: 'PostgreSQL',
            run: async (report) => {
              adminUrl = await startEmbeddedPostgres(system, report);
              return `127.0.0.1:${new URL(adminUrl).port}`;
            },
          },
          {
            title: 'Databases',
            run: async (report) => {
              found.databases = await prepareEmbeddedDatabases(adminUrl, report);
              return 'migrated';
            },
          },
        ]
      : [
          {
            title: 'Databases of the environment',
            run: async (report) => {
              found.databases = await prepareExternalDatabases(config, external, report);
              return 'migrated';
            },
          },
        ];
  return seed && mayFill(config) ? [...prepare, seedStep(system)] : prepare;
}

/** An empty shop in production stays empty: its catalogue is somebody's work. */
const mayFill = ({ mode }: Config): boolean => mode !== 'production';

function seedStep({ found }: System): Step {
  return {
    title: 'Catalogue',
    run: async (report) => {
      const { platform } = found.databases;
      if (platform === undefined) throw new Error('the platform database has no URL');
      const { seeded } = await seedPlatform(platform, report);
      return seeded ? 'seeded' : 'kept as it is';
    },
  };
}

function temporalSteps(system: System): Step[] {
  const { config } = system;
  if (config.externalTemporal) {
    return [
      {
        title: 'Temporal of the environment',
        run: async () => {
          await checkExternalTemporal(system);
          return temporalPlace(system).address;
        },
      },
    ];
  }
  let cliPath = '';
  return [
    {
      title: 'Temporal binary',
      run: async (report) => {
        const cli = await findTemporalCli({ temporalCliPath: config.temporalCliPath, report });
        cliPath = cli.path;
        return `${cli.version} from ${cli.source}`;
      },
    },
    {
      title: 'Temporal',
      run: async (report) => {
        await startEmbeddedTemporal(system, cliPath, report);
        return temporalPlace(system).address;
      },
    },
  ];
}

/** A failed step: the display shows that it failed, and the reason (`cause`) is told once, at the end. */
export class StepFailed extends Error {}

function taskOf(system: System, { title, run }: Step): ListrTask {
  return {
    title,
    task: async (_context, task) => {
      const report = (line: string) => {
        task.output = line;
      };
      try {
        const detail = await system.unlessStopping(run(report));
        task.title = `${title}: ${detail}`;
      } catch (cause) {
        throw new StepFailed(system.stopping() ? 'stopped' : 'see below', { cause });
      }
    },
  };
}
