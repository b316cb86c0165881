import { type Config, databaseUrl } from '../../infra/config.ts';
import type { Logger } from '../../infra/log.ts';
import type { EventBus } from './bus.ts';
import { openEmbeddedBus } from './embedded.ts';

/**
 * Opens the bus that the settings choose: the log in `db_event_bus`. Close it when done.
 *
 * @throws ConfigError saying which variable to set
 */
export function openBus(config: Config, log: Logger): Promise<EventBus> {
  const url = databaseUrl(config, 'bus');
  return Promise.resolve(openEmbeddedBus({ url, poolSize: config.databasePoolSize, log }));
}
