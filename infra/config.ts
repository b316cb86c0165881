import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { z } from 'zod';

import type { PaymentMethod } from '../domain/payment.ts';
import { type ApiSettings, apiSettings, apiVariables, listOf } from './api-settings.ts';
import { credentialsAreWhole, type KafkaSettings, kafkaSettings, kafkaVariables } from './kafka-settings.ts';
import { type PayloadSettings, payloadSettings, payloadVariables } from './payload-keys.ts';
import { type RetentionSettings, retentionSettings, retentionVariables } from './retention-settings.ts';
import { isTimeZone } from './time-zone.ts';
import { type TracingSettings, tracingSettings, tracingVariables } from './tracing-settings.ts';

/** The databases of the system, by the name that appears in `<NAME>_DATABASE_URL`. */
export const DATABASES = ['platform', 'order', 'payment', 'views', 'bus', 'gateway'] as const;
export type DatabaseName = (typeof DATABASES)[number];

const port = z.coerce.number().int().min(0).max(65_535);
const milliseconds = z.coerce.number().int().positive();
const postgresUrl = z.url({ protocol: /^postgres(ql)?$/ });

const environment = z.object({
  NODE_ENV: z.enum(['development', 'production', 'test']).default('development'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  DATA_DIR: z.string().min(1).default('.data'),
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: port.optional(),
  POSTGRES_PORT: port.optional(),
  TEMPORAL_PORT: port.optional(),
  TEMPORAL_UI_PORT: port.optional(),
  GATEWAY_PORT: port.optional(),
  /** Presence decides whether the embedded Temporal starts; its value is read by @temporalio/envconfig. */
  TEMPORAL_ADDRESS: z.string().min(1).optional(),
  TEMPORAL_CLI_PATH: z.string().min(1).optional(),
  /** Where Temporal Web is, for links in answers. */
  TEMPORAL_UI_URL: z.url().optional(),
  PLATFORM_DATABASE_URL: postgresUrl.optional(),
  ORDER_DATABASE_URL: postgresUrl.optional(),
  PAYMENT_DATABASE_URL: postgresUrl.optional(),
  VIEWS_DATABASE_URL: postgresUrl.optional(),
  BUS_DATABASE_URL: postgresUrl.optional(),
  GATEWAY_DATABASE_URL: postgresUrl.optional(),
  /** Migrations run as the role that owns the tables; without one of these, as the service's. */
  PLATFORM_MIGRATION_URL: postgresUrl.optional(),
  ORDER_MIGRATION_URL: postgresUrl.optional(),
  PAYMENT_MIGRATION_URL: postgresUrl.optional(),
  VIEWS_MIGRATION_URL: postgresUrl.optional(),
  BUS_MIGRATION_URL: postgresUrl.optional(),
  GATEWAY_MIGRATION_URL: postgresUrl.optional(),
  /** Makes databases and roles on a server of yours (cli/provision.ts). No process that serves needs it. */
  ADMIN_DATABASE_URL: postgresUrl.optional(),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(1).max(200).default(10),
  /** Who takes the money. The simulated gateway is for development and tests. */
  PAYMENT_PROVIDER: z.enum(['simulated', 'stripe']).default('simulated'),
  GATEWAY_URL: z.url().optional(),
  /** Live secrets of the provider's webhooks: one, or two while they are exchanged. */
  GATEWAY_WEBHOOK_SECRETS: z.string().default(''),
  /** For the simulated gateway: where it sends its webhooks. None are sent without it. */
  GATEWAY_WEBHOOK_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** For the simulated gateway: where a shopper's browser reaches it, when that is not where the workers do. */
  GATEWAY_PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  GATEWAY_KEY_TTL_MS: milliseconds.optional(),
  GATEWAY_SLOW_MS: milliseconds.optional(),
  GATEWAY_HANG_MS: milliseconds.optional(),
  STRIPE_SECRET_KEY: z.string().min(1).optional(),
  /** Instead of Stripe's own address, for example that of stripe-mock. */
  STRIPE_API_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Where a shopper's browser goes after confirming a card at the bank. Cards that ask for that are declined without. */
  STRIPE_RETURN_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** For commands that drive a system they did not start: its address, and bearer tokens of customers. */
  API_URL: z.url({ protocol: /^https?$/ }).optional(),
  API_TOKENS: z.string().default(''),
  START_DEADLINE_MS: milliseconds.default(120_000),
  MAX_OPEN_CHECKOUTS: z.coerce.number().int().min(1).default(10),
  MAX_UNITS_PER_PRODUCT: z.coerce.number().int().min(1).default(999),
  GATEWAY_TIMEOUT_MS: milliseconds.default(10_000),
  GATEWAY_MAX_PROCESSING_MS: milliseconds.default(10_000),
  HOLD_CARD_MS: milliseconds.default(15 * 60_000),
  HOLD_BANK_TRANSFER_MS: milliseconds.default(15 * 60_000),
  RECONCILE_INTERVAL_MS: milliseconds.default(5 * 60_000),
  /** Where the shop's day begins and ends (IANA name). A change needs a rebuild of the view `sales`. */
  SHOP_TIME_ZONE: z.string().refine(isTimeZone, 'no time zone of that name, capitals included').default('Asia/Seoul'),
  /** A cache that processes share; without it each has its own. */
  REDIS_URL: z.url({ protocol: /^rediss?$/ }).optional(),
  SHUTDOWN_GRACE_MS: milliseconds.default(40_000),
  /** Metrics are read there; of a process that serves no API, its health as well. */
  METRICS_PORT: port.optional(),
  ...apiVariables,
  ...retentionVariables,
  ...kafkaVariables,
  ...payloadVariables,
  ...tracingVariables,
});
const checked = environment.refine(credentialsAreWhole, {
  path: ['KAFKA_USERNAME, KAFKA_PASSWORD'],
  message: 'set both, or neither',
});

/** Every variable that is read here. Those of Temporal's own tools are not: @temporalio/envconfig reads them. */
export const VARIABLES: readonly string[] = Object.keys(environment.shape);

/** Everything the environment can say; every duration in milliseconds. */
export type Config = Readonly<{
  mode: 'development' | 'production' | 'test';
  logLevel: string;
  /** Absolute path of the folder with everything that must survive a restart. */
  dataDir: string;
  host: string;
  /** A port that is undefined was not asked for: a default is taken, and a free one when that is taken. */
  ports: Readonly<Record<'api' | 'postgres' | 'temporal' | 'temporalUi' | 'gateway' | 'metrics', number | undefined>>;
  externalTemporal: boolean;
  temporalCliPath: string | undefined;
  temporalUiUrl: string | undefined;
  databaseUrls: Readonly<Record<DatabaseName, string | undefined>>;
  /** Where migrations are applied: as the owner of the tables where one is configured. */
  migrationUrls: Readonly<Record<DatabaseName, string | undefined>>;
  adminUrl: string | undefined;
  databasePoolSize: number;
  gatewayUrl: string | undefined;
  gatewayTimeoutMs: number;
  /** After this a charge that was asked for has landed or never will. */
  gatewayMaxProcessingMs: number;
  paymentProvider: 'simulated' | 'stripe';
  webhookSecrets: readonly string[];
  /** Where the simulated gateway sends its webhooks. */
  webhookUrl: string | undefined;
  /**
   * Of the simulated gateway, milliseconds: how long it keeps a key, how long `tok_slow` takes, how long a connection
   * that gets no answer stays open. Each has a default there.
   */
  gateway: Readonly<{
    publicUrl: string | undefined;
    keyTtlMs: number | undefined;
    slowMs: number | undefined;
    hangMs: number | undefined;
  }>;
  stripe: Readonly<{ secretKey: string | undefined; apiUrl: string | undefined; returnUrl: string | undefined }>;
  /** How long stock waits for a payment that the shopper must finish, per method. */
  holdMs: Readonly<Record<PaymentMethod, number>>;
  reconcileIntervalMs: number;
  apiUrl: string | undefined;
  apiTokens: readonly string[];
  startDeadlineMs: number;
  limits: Readonly<{ maxOpenCheckouts: number; maxUnitsPerProduct: number }>;
  /** IANA name: a day of the view `sales` is a day there. */
  shopTimeZone: string;
  /** Absent where every process has a cache of its own. */
  redisUrl: string | undefined;
  shutdownGraceMs: number;
  retention: RetentionSettings;
  /** Absent where events go by the log in `db_event_bus`. */
  kafka: KafkaSettings | undefined;
  /** How payloads are kept in Temporal. */
  payloads: PayloadSettings;
  tracing: TracingSettings;
}> &
  ApiSettings;

/** Thrown for an environment that cannot be used. Its message lists every bad variable with the reason. */
export class ConfigError extends Error {}

/**
 * Reads and checks the environment, and `.env` where there is one (the environment wins).
 *
 * @throws ConfigError naming every variable that is wrong
 */
export function readConfig(env: NodeJS.ProcessEnv = loadedEnvironment()): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = checked.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
    throw new ConfigError(`These environment variables cannot be used:\n${lines.join('\n')}`);
  }
  const e = parsed.data;
  return {
    mode: e.NODE_ENV,
    logLevel: e.LOG_LEVEL,
    dataDir: resolve(e.DATA_DIR),
    host: e.HOST,
    ports: {
      api: e.PORT,
      postgres: e.POSTGRES_PORT,
      temporal: e.TEMPORAL_PORT,
      temporalUi: e.TEMPORAL_UI_PORT,
      gateway: e.GATEWAY_PORT,
      metrics: e.METRICS_PORT,
    },
    externalTemporal: e.TEMPORAL_ADDRESS !== undefined,
    temporalCliPath: e.TEMPORAL_CLI_PATH,
    temporalUiUrl: e.TEMPORAL_UI_URL,
    databaseUrls: {
      platform: e.PLATFORM_DATABASE_URL,
      order: e.ORDER_DATABASE_URL,
      payment: e.PAYMENT_DATABASE_URL,
      views: e.VIEWS_DATABASE_URL,
      bus: e.BUS_DATABASE_URL,
      gateway: e.GATEWAY_DATABASE_URL,
    },
    migrationUrls: {
      platform: e.PLATFORM_MIGRATION_URL ?? e.PLATFORM_DATABASE_URL,
      order: e.ORDER_MIGRATION_URL ?? e.ORDER_DATABASE_URL,
      payment: e.PAYMENT_MIGRATION_URL ?? e.PAYMENT_DATABASE_URL,
      views: e.VIEWS_MIGRATION_URL ?? e.VIEWS_DATABASE_URL,
      bus: e.BUS_MIGRATION_URL ?? e.BUS_DATABASE_URL,
      gateway: e.GATEWAY_MIGRATION_URL ?? e.GATEWAY_DATABASE_URL,
    },
    adminUrl: e.ADMIN_DATABASE_URL,
    databasePoolSize: e.DATABASE_POOL_SIZE,
    gatewayUrl: e.GATEWAY_URL,
    gatewayTimeoutMs: e.GATEWAY_TIMEOUT_MS,
    gatewayMaxProcessingMs: e.GATEWAY_MAX_PROCESSING_MS,
    paymentProvider: e.PAYMENT_PROVIDER,
    webhookSecrets: listOf(e.GATEWAY_WEBHOOK_SECRETS),
    webhookUrl: e.GATEWAY_WEBHOOK_URL,
    gateway: {
      publicUrl: e.GATEWAY_PUBLIC_URL?.replace(/\/+$/, ''),
      keyTtlMs: e.GATEWAY_KEY_TTL_MS,
      slowMs: e.GATEWAY_SLOW_MS,
      hangMs: e.GATEWAY_HANG_MS,
    },
    stripe: { secretKey: e.STRIPE_SECRET_KEY, apiUrl: e.STRIPE_API_URL, returnUrl: e.STRIPE_RETURN_URL },
    holdMs: { card: e.HOLD_CARD_MS, bank_transfer: e.HOLD_BANK_TRANSFER_MS },
    reconcileIntervalMs: e.RECONCILE_INTERVAL_MS,
    apiUrl: e.API_URL,
    apiTokens: listOf(e.API_TOKENS),
    startDeadlineMs: e.START_DEADLINE_MS,
    limits: { maxOpenCheckouts: e.MAX_OPEN_CHECKOUTS, maxUnitsPerProduct: e.MAX_UNITS_PER_PRODUCT },
    shopTimeZone: e.SHOP_TIME_ZONE,
    redisUrl: e.REDIS_URL,
    shutdownGraceMs: e.SHUTDOWN_GRACE_MS,
    ...apiSettings(e),
    retention: retentionSettings(e),
    kafka: kafkaSettings(e),
    payloads: payloadSettings(e, e.NODE_ENV === 'production'),
    tracing: tracingSettings(e),
  };
}

/**
 * The URL of a database that this process cannot do without.
 *
 * @throws ConfigError saying which variable to set
 */
export function databaseUrl(config: Config, name: DatabaseName): string {
  const url = config.databaseUrls[name];
  if (url !== undefined) return url;
  const variable = `${name.toUpperCase()}_DATABASE_URL`;
  throw new ConfigError(
    `${variable} is not set. Set it, for example ${variable}=postgresql://commerce_${name}:secret@db.example:5432/db_${name}, or run \`npm start\`, which brings its own PostgreSQL.`,
  );
}

/** The user's cache folder, for downloads that every clone can share. */
export const cacheFolder = (): string =>
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'commerce-saga');

function loadedEnvironment(): NodeJS.ProcessEnv {
  if (existsSync('.env')) process.loadEnvFile('.env');
  return process.env;
}
