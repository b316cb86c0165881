import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { runCommand } from '../../infra/embedded/child.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { startPostgres } from '../../infra/embedded/postgres.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type ComposeService, readCompose } from './compose-file.ts';
import { eventually } from './eventually.ts';
import { serverFolder, temporalCliPath } from './servers.ts';

const HEALTHY_LIMIT_MS = 90_000;
const COMMAND_LIMIT_MS = 90_000;
/** Above the longest stop_grace_period of ours, after which Compose kills too. */
const STOP_LIMIT_MS = 65_000;

export type Ended = Readonly<{ code: number | null; output: string }>;

/** The services of docker-compose.yml as plain processes. */
export type Composed = Readonly<{
  /** Starts a service and what it depends on, waiting for each as its condition says. Repeating it does nothing. */
  up: (name: string) => Promise<void>;
  /** SIGTERM, as `docker compose stop` sends, and SIGKILL when that does not help; the code is null then. */
  stop: (name: string) => Promise<Ended>;
  /** Runs a service's own command, or another one with its environment, to its end. */
  run: (name: string, options?: Readonly<{ command?: readonly string[] }>) => Promise<Ended>;
  /** Starts a command that no service has, in the environment of one, less what is left out. */
  start: (name: string, service: string, command: readonly string[], without: readonly string[]) => void;
  env: (name: string) => Record<string, string>;
  output: (name: string) => string;
  /** Ends everything. */
  down: () => Promise<void>;
}>;

/**
 * Starts nothing yet but PostgreSQL, which its image would start. Commands, environment, health checks and conditions
 * are those of the file; only names of hosts, ports and folders are replaced by those of this machine.
 *
 * @param folder with the build: `dist`, package.json, node_modules
 */
export async function compose(folder: string): Promise<Composed> {
  const { services } = readCompose();
  const data = await serverFolder();
  const temporalCli = await temporalCliPath();
  const [temporalPort, uiPort, gatewayPort, apiPort, metricsPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const postgres = await startPostgres({ dataDir: join(data, 'postgres'), port: 0, settings: { fsync: 'off' } });
  const here = replacing([
    [/postgres:[\w-]+@postgresql:5432/, new URL(postgres.adminUrl).href.replace(/^postgresql:\/\/|\/postgres$/g, '')],
    [/postgresql:5432/, `127.0.0.1:${postgres.port}`],
    [/\b(temporal|127\.0\.0\.1):7233/, `127.0.0.1:${temporalPort}`],
    [/\b(gateway|127\.0\.0\.1):4242/, `127.0.0.1:${gatewayPort}`],
    [/\b(api|127\.0\.0\.1):3000/, `127.0.0.1:${apiPort}`],
    [/\b127\.0\.0\.1:9464/, `127.0.0.1:${metricsPort}`],
    [/=7233$/, `=${temporalPort}`],
    [/=8233$/, `=${uiPort}`],
    [/^4242$/, String(gatewayPort)],
    [/^3000$/, String(apiPort)],
    [/^9464$/, String(metricsPort)],
    [/0\.0\.0\.0/, '127.0.0.1'],
    [/\/home\/temporal|^\/data$/, data],
  ]);

  const serviceOf = (name: string): ComposeService => {
    const service = services[name];
    if (service === undefined) throw new Error(`there is no service ${name}`);
    return service;
  };
  const env = (name: string): Record<string, string> => ({
    ...inheritedEnvironment(),
    ...Object.fromEntries(Object.entries(serviceOf(name).environment).map(([key, value]) => [key, here(value)])),
  });
  const processes = new Map<string, { child: ChildProcess; output: string }>();
  const launch = (name: string, command: readonly string[], environment: Record<string, string>): void => {
    const [program = '', ...args] = command.map(here);
    const child = spawn(program, args, { cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    const entry = { child, output: '' };
    const collect = (chunk: Buffer): void => void (entry.output += chunk.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    processes.set(name, entry);
  };

  const run: Composed['run'] = async (name, { command = serviceOf(name).command } = {}) => {
    const [program = '', ...args] = command.map(here);
    return runCommand(program, args, COMMAND_LIMIT_MS, { cwd: folder, env: env(name) });
  };

  const started = new Map<string, Promise<void>>([['postgresql', Promise.resolve()]]);
  const up = (name: string): Promise<void> => {
    const known = started.get(name) ?? bringUp(name);
    started.set(name, known);
    return known;
  };
  async function bringUp(name: string): Promise<void> {
    const { command, depends_on: needs, healthcheck } = serviceOf(name);
    for (const needed of Object.keys(needs)) await up(needed);
    if (
      Object.values(services).some(
        ({ depends_on: other }) => other[name]?.condition === 'service_completed_successfully',
      )
    ) {
      const { code, output } = await run(name);
      if (code !== 0) throw new Error(`${name} ended with ${code}:\n${output}`);
      return;
    }
    launch(name, name === 'temporal' ? [temporalCli, ...command] : command, env(name));
    if (healthcheck === undefined) return;
    const [, program = '', ...args] = healthcheck.test;
    const check = [program === 'temporal' ? temporalCli : program, ...args];
    await eventually(
      `${name} is healthy`,
      async () => {
        const { child, output } = processes.get(name) ?? {};
        if (child?.exitCode !== null) throw new Error(`${name} ended with ${child?.exitCode}:\n${output}`);
        return (await run(name, { command: check })).code === 0 ? true : undefined;
      },
      HEALTHY_LIMIT_MS,
    );
  }

  const stop: Composed['stop'] = async (name) => {
    const entry = processes.get(name);
    if (entry === undefined) throw new Error(`${name} does not run`);
    const { child } = entry;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
      await exited;
      clearTimeout(limit);
    }
    processes.delete(name);
    return { code: child.exitCode, output: entry.output };
  };

  return {
    up,
    stop,
    run,
    start: (name, service, command, without) => {
      const left = Object.entries(env(service)).filter(([key]) => !without.includes(key));
      launch(name, command, Object.fromEntries(left));
    },
    env,
    output: (name) => processes.get(name)?.output ?? '',
    async down() {
      // The servers last: everybody else still works off what it has with them.
      for (const name of [...processes.keys()].filter((key) => key !== 'temporal')) await stop(name);
      if (processes.has('temporal')) await stop('temporal');
      await postgres.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

function replacing(pairs: readonly (readonly [RegExp, string])[]): (text: string) => string {
  return (text) => pairs.reduce((result, [pattern, value]) => result.replace(pattern, value), text);
}
