import { type Config, databaseUrl } from '../../infra/config.ts';
import type { Logger } from '../../infra/log.ts';
import type { EventBus } from './bus.ts';
import { openEmbeddedBus } from './embedded.ts';

/**
 * Opens the bus that the settings choose: Kafka where brokers are named, else the log in `db_event_bus`. The database is
 * needed for both: it has the dead letters. Nobody is asked yet; close it when done.
 *
 * @throws ConfigError saying which variable to set
 */
export async function openBus(config: Config, log: Logger): Promise<EventBus> {
  const options = { url: databaseUrl(config, 'bus'), poolSize: config.databasePoolSize, log };
  if (config.kafka === undefined) return openEmbeddedBus(options);

  const { kafkaOptions, openKafkaBus } = await import('./kafka.ts'); // loaded by whoever uses it, and by nobody else
  return openKafkaBus({ ...options, ...kafkaOptions(config.kafka) });
}
