import { DATABASES } from './config.ts';

/** What opens something to whoever reads it, besides the databases' credentials. */
const SECRETS = [
  'STRIPE_SECRET_KEY',
  'GATEWAY_WEBHOOK_SECRETS',
  'KAFKA_USERNAME',
  'KAFKA_PASSWORD',
  'REDIS_URL',
  'API_TOKENS',
  'TEMPORAL_PAYLOAD_KEYS',
  'OTEL_EXPORTER_OTLP_HEADERS',
] as const;

/**
 * What a process that we start inherits: everything but secrets, of which each process is given its own. They are blank
 * instead of absent, so that a `.env` cannot bring them back.
 */
export function inheritedEnvironment(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const inherited: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined) inherited[name] = /_(DATABASE|MIGRATION)_URL$/.test(name) ? '' : value;
  }
  for (const name of DATABASES) inherited[`${name.toUpperCase()}_DATABASE_URL`] = '';
  for (const name of SECRETS) inherited[name] = '';
  return inherited;
}
