import { Command } from 'commander';
import { Listr } from 'listr2';

import { type Config, ConfigError } from '../infra/config.ts';
import { emptyDataDir, prepareDataDir } from '../infra/embedded/supervisor/data-dir.ts';
import { endLeftovers } from '../infra/embedded/supervisor/leftovers.ts';
import { AlreadyRunning, type Claim, claimDataDir, RUN_FILE } from '../infra/embedded/supervisor/run-record.ts';
import { deleteCluster, serverMarks, temporalPlace } from '../infra/embedded/supervisor/servers.ts';
import { openSystem, type System } from '../infra/embedded/supervisor/system.ts';
import { type Endpoints, findEndpoints } from '../infra/endpoints.ts';
import { configOrExit } from '../infra/process.ts';
import { developmentTokens } from '../infra/tokens.ts';
import { isPlatformEmpty } from '../prisma/seed.ts';
import { startTasks, StepFailed } from './start/steps.ts';
import { summary } from './start/summary.ts';
import { openTerminal, type Terminal } from './start/terminal.ts';

/** npm, a terminal and a wrapper may each deliver the same Ctrl-C: only a later one is a second, milliseconds. */
const SAME_SIGNAL_MS = 1_000;

type Options = Readonly<{ reset: boolean; seed: boolean }>;

const command = new Command('npm start --')
  .description('Starts the whole system on this machine and keeps it running until Ctrl-C.')
  .option('--reset', 'delete everything in DATA_DIR first: databases, workflows, keys, logs', false)
  .option('--no-seed', 'leave an empty catalogue empty')
  .addHelpText('after', '\nPorts, databases and servers are set in the environment; see README.md.')
  .action((options: Options) => main(options));
await command.parseAsync();

async function main(options: Options): Promise<void> {
  const config = configOrExit();
  const began = Date.now();
  const claim = claimOrExit(config);
  const terminal = openTerminal(config.dataDir);
  const system = openSystem(config, claim, terminal.say);
  stopOnSignals(system, terminal);
  try {
    await clearUp(config, claim, options, terminal);
    await runSteps(system, options, terminal);
    const endpoints = await endpointsOf(system, new Date(began));
    system.publish(endpoints);
    const empty = await isPlatformEmpty(endpoints.databases.platform);
    terminal.print(summary(endpoints, { dataDir: config.dataDir, seconds: (Date.now() - began) / 1000, empty }));
  } catch (error) {
    if (system.stopping()) return; // the signal's handler ends the process
    terminal.say(`npm start: ${messageOf(error instanceof StepFailed ? error.cause : error)}`);
    await system.stop();
    process.exit(1);
  }
}

function claimOrExit(config: Config): Claim {
  try {
    prepareDataDir(config.dataDir);
    return claimDataDir(config.dataDir);
  } catch (error) {
    const line = error instanceof AlreadyRunning ? alreadyRunning(config, error) : messageOf(error);
    process.stderr.write(`npm start: ${line}\n`);
    process.exit(1);
  }
}

function alreadyRunning({ dataDir }: Config, { message }: AlreadyRunning): string {
  const running = findEndpoints(dataDir);
  if (running === undefined) return `${message} ${dataDir}; it is starting or stopping.`;
  const { api, temporalUi, temporalAddress } = running;
  return `${message} ${dataDir}: API ${api}, Temporal Web ${temporalUi ?? `unknown (${temporalAddress})`}. Stop it first, or set DATA_DIR to another folder.`;
}

async function clearUp(config: Config, { leftover }: Claim, { reset }: Options, { say }: Terminal): Promise<void> {
  const servers = await serverMarks(config);
  await endLeftovers(leftover, { graceMs: config.shutdownGraceMs, servers, say });
  if (!reset) return;
  await deleteCluster(config);
  emptyDataDir(config.dataDir, [RUN_FILE, 'logs']); // the logs are open
  say(`${config.dataDir} is empty now`);
}

async function runSteps(system: System, options: Options, terminal: Terminal): Promise<void> {
  const release = process.stdout.isTTY ? terminal.hold() : () => undefined;
  const tasks = new Listr(startTasks(system, options), {
    registerSignalListeners: false, // we have our own: listr2's end the process at once
    rendererOptions: { collapseSubtasks: false },
  });
  try {
    await tasks.run();
  } finally {
    release();
  }
}

async function endpointsOf(system: System, startedAt: Date): Promise<Omit<Endpoints, 'pids'>> {
  const { config, found } = system;
  const { address, namespace, ui } = temporalPlace(system);
  const { platform, order, payment, views, bus, gateway } = found.databases;
  return {
    api: wanted(found.apiUrl),
    docs: `${wanted(found.apiUrl)}/docs`,
    temporalAddress: address,
    ...(ui === undefined ? {} : { temporalUi: ui }),
    namespace,
    ...(found.gatewayUrl === undefined ? {} : { gateway: found.gatewayUrl }),
    metrics: wanted(found.metricsUrl),
    databases: {
      platform: wanted(platform),
      order: wanted(order),
      payment: wanted(payment),
      views: wanted(views),
      bus: wanted(bus),
      ...(gateway === undefined ? {} : { gateway }),
    },
    ...(config.jwt.jwksUrl === undefined ? { tokens: await developmentTokens(config) } : {}),
    startedAt: startedAt.toISOString(),
  };
}

function wanted(url: string | undefined): string {
  if (url === undefined) throw new Error('a part has started without an address');
  return url;
}

function stopOnSignals(system: System, { say }: Terminal): void {
  let firstAt: number | undefined;
  const stop = (signal: string) => {
    if (firstAt === undefined) {
      firstAt = Date.now();
      say(`${signal}: stopping API, workers, events, gateway, Temporal, PostgreSQL. Once more ends them at once.`);
      void stopAndExit(system, say);
    } else if (Date.now() - firstAt > SAME_SIGNAL_MS) {
      system.kill();
      say('ended at once; the next start clears up');
      process.exit(130);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));
}

async function stopAndExit(system: System, say: Terminal['say']): Promise<void> {
  try {
    await system.stop();
    say('stopped');
    process.exit(0);
  } catch (error) {
    say(`npm start: could not stop everything: ${messageOf(error)}`);
    process.exit(1);
  }
}

/** Settings and servers explain themselves; a bug must show where it is. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isBug = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  return isBug && !(error instanceof ConfigError) ? (error.stack ?? error.message) : error.message;
}
