import { choosePort } from '../ports.ts';
import { startChild } from './child.ts';
import { partEnvironment } from './environment.ts';
import type { RunningPart } from './part.ts';
import type { PartName, System } from './system.ts';

/** From the spawn of one of our processes to its ready message, on a slow and busy machine; milliseconds. */
const READY_LIMIT_MS = 90_000;
/** A child gives up by itself after its grace and 10 s: the kill from outside comes after that. */
const CHILD_MARGIN_MS = 12_000;
export const DEFAULT_PORTS = { api: 3000, gateway: 4242 } as const;

/** Starts the simulated gateway; with GATEWAY_URL set there is none to start. @returns where the gateway is */
export async function startGateway(system: System): Promise<string> {
  const { config, found, say } = system;
  if (found.gatewayUrl !== undefined) return found.gatewayUrl;
  const port = await choosePort({
    explicit: config.ports.gateway,
    preferred: DEFAULT_PORTS.gateway,
    variable: 'GATEWAY_PORT',
    note: say,
  });
  const env = partEnvironment(config, found, ['gateway'], { GATEWAY_PORT: String(port) });
  const { url } = await keepChild(system, 'gateway', 'gateway/server', env);
  found.gatewayUrl = url ?? `http://${config.host}:${port}`;
  return found.gatewayUrl;
}

/** Starts all Temporal workers in one process. */
export async function startWorkers(system: System, gatewayUrl: string): Promise<void> {
  const { config, found } = system;
  const env = partEnvironment(config, found, ['platform', 'order', 'payment'], {
    GATEWAY_URL: gatewayUrl,
  });
  await keepChild(system, 'workers', 'workers/main', env);
}

/** @returns where the API is */
export async function startApi(system: System): Promise<string> {
  const { config, found, say } = system;
  const port = await choosePort({
    explicit: config.ports.api,
    preferred: DEFAULT_PORTS.api,
    variable: 'PORT',
    note: say,
  });
  const env = partEnvironment(config, found, ['platform', 'order'], {
    PORT: String(port),
  });
  const { url } = await keepChild(system, 'api', 'api/server', env);
  found.apiUrl = url ?? `http://${config.host}:${port}`;
  return found.apiUrl;
}

function keepChild(system: System, name: PartName, entry: string, env: Record<string, string>): Promise<RunningPart> {
  const { config, say } = system;
  return system.keep(name, config.shutdownGraceMs + CHILD_MARGIN_MS, (aborted) =>
    startChild(
      {
        name,
        entry,
        env,
        logFile: system.logOf(name),
        warn: (line) => say(`${name}: ${line}`),
        readyLimitMs: READY_LIMIT_MS,
        spawned: (pid) => system.record(name, pid),
      },
      aborted,
    ),
  );
}
