import type { Config } from '../../config.ts';
import { payloadEnvironment } from '../../payload-keys.ts';
import { choosePort } from '../ports.ts';
import { webhookSecret } from '../webhook-secret.ts';
import { startChild } from './child.ts';
import { partEnvironment } from './environment.ts';
import type { RunningPart } from './part.ts';
import type { PartName, System } from './system.ts';

/** From the spawn of one of our processes to its ready message, on a slow and busy machine; milliseconds. */
const READY_LIMIT_MS = 90_000;
/** A child gives up by itself after its grace and 10 s: the kill from outside comes after that. */
const CHILD_MARGIN_MS = 12_000;
/** Path of the API for the simulated gateway's webhooks. */
const WEBHOOKS = '/v1/payment-webhooks/simulated';
/** Only the process `events` talks to Kafka. Blank, so that a `.env` cannot bring it back. */
const NO_KAFKA = { KAFKA_BROKERS: '' } as const;
/** For processes that never talk to Temporal. */
const NO_TEMPORAL = { TEMPORAL_API_KEY: '' } as const;
export const DEFAULT_PORTS = { api: 3000, gateway: 4242, metrics: 9464 } as const;

/**
 * Starts the simulated gateway; with GATEWAY_URL set, or with another provider, there is none to start. It is told where
 * its webhooks go, so the port of the API is chosen now.
 *
 * @returns where the gateway is, or the name of the provider
 */
export async function startGateway(system: System): Promise<string> {
  const { config, found, say } = system;
  if (config.paymentProvider !== 'simulated') return config.paymentProvider;
  if (found.gatewayUrl !== undefined) return found.gatewayUrl;
  const port = await choosePort({
    explicit: config.ports.gateway,
    preferred: DEFAULT_PORTS.gateway,
    variable: 'GATEWAY_PORT',
    note: say,
  });
  const env = partEnvironment(config, found, ['gateway'], {
    GATEWAY_PORT: String(port),
    GATEWAY_WEBHOOK_URL: config.webhookUrl ?? `${urlAt(config.host, await apiPort(system))}${WEBHOOKS}`,
    GATEWAY_WEBHOOK_SECRETS: await webhookSecrets(config),
    ...NO_KAFKA,
    ...NO_TEMPORAL,
  });
  const { url } = await keepChild(system, 'gateway', 'gateway/server', env);
  found.gatewayUrl = url ?? urlAt(config.host, port);
  return found.gatewayUrl;
}

/** Starts all Temporal workers in one process. */
export async function startWorkers(system: System): Promise<void> {
  const { config, found } = system;
  const env = partEnvironment(config, found, ['platform', 'order', 'payment', 'views', 'bus'], {
    GATEWAY_URL: found.gatewayUrl ?? '',
    STRIPE_SECRET_KEY: config.stripe.secretKey ?? '',
    ...payloadEnvironment(config.payloads),
    ...NO_KAFKA,
  });
  await keepChild(system, 'workers', 'workers/main', env);
}

/**
 * Starts the relays of all outboxes and the projection of all views in one process.
 *
 * @returns where their metrics are
 */
export async function startEvents(system: System): Promise<string> {
  const { config, found, say } = system;
  const port = await choosePort({
    explicit: config.ports.metrics,
    preferred: DEFAULT_PORTS.metrics,
    variable: 'METRICS_PORT',
    note: say,
  });
  const env = partEnvironment(config, found, ['platform', 'order', 'payment', 'views', 'bus'], {
    METRICS_PORT: String(port),
    KAFKA_USERNAME: config.kafka?.sasl?.username ?? '',
    KAFKA_PASSWORD: config.kafka?.sasl?.password ?? '',
    ...NO_TEMPORAL,
  });
  await keepChild(system, 'events', 'workers/events-main', env);
  found.metricsUrl = `${urlAt(config.host, port)}/metrics`;
  return found.metricsUrl;
}

/** @returns where the API is */
export async function startApi(system: System): Promise<string> {
  const { config, found } = system;
  const port = await apiPort(system);
  const env = partEnvironment(config, found, ['platform', 'order', 'payment', 'views', 'bus'], {
    PORT: String(port),
    METRICS_PORT: '', // that of the relays and the projection
    REDIS_URL: config.redisUrl ?? '',
    GATEWAY_URL: found.gatewayUrl ?? '', // its audit reads the books
    GATEWAY_WEBHOOK_SECRETS: await webhookSecrets(config),
    CODEC_ORIGINS: codecOrigins(system),
    ...payloadEnvironment(config.payloads),
    ...NO_KAFKA,
  });
  const { url } = await keepChild(system, 'api', 'api/server', env);
  found.apiUrl = url ?? urlAt(config.host, port);
  return found.apiUrl;
}

/** Where Temporal Web has payloads decrypted; undefined where none are encrypted. */
export async function codecEndpoint(system: System): Promise<string | undefined> {
  const { host, payloads } = system.config;
  return payloads.encrypts ? `${urlAt(host, await apiPort(system))}/v1/codec` : undefined;
}

/** Chosen once: the gateway and the API itself are told the same. */
function apiPort({ config, found, say }: System): Promise<number> {
  found.apiPort ??= choosePort({
    explicit: config.ports.api,
    preferred: DEFAULT_PORTS.api,
    variable: 'PORT',
    note: say,
  });
  return found.apiPort;
}

/** Those of the environment, or else the Temporal Web that is started here. */
const codecOrigins = ({ config, found }: System): string =>
  config.codecOrigins.length > 0 ? config.codecOrigins.join(',') : (found.temporal.uiUrl ?? '');

/** Those of the environment, or one that is made here: the simulated gateway is ours. */
async function webhookSecrets({ webhookSecrets: given, paymentProvider, dataDir }: Config): Promise<string> {
  return given.length === 0 && paymentProvider === 'simulated' ? webhookSecret(dataDir) : given.join(',');
}

/** A URL for this machine, also where the host means all its addresses. */
function urlAt(host: string, port: number): string {
  const here = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${here.includes(':') ? `[${here}]` : here}:${port}`;
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
