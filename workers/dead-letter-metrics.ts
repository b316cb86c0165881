import { Gauge, type Registry } from 'prom-client';

import type { Logger } from '../infra/log.ts';
import { readInTime } from './read-in-time.ts';

/**
 * How many events each group has set aside, read from the bus whenever somebody asks. A group without any is not there,
 * but for those that are named; while the database does not answer there is NaN for all that were known.
 */
export function deadLetterMetrics(
  registry: Registry,
  groups: readonly string[],
  readCounts: () => Promise<ReadonlyMap<string, number>>,
  log: Logger,
): void {
  const known = new Set(groups);
  const letters: Gauge = new Gauge({
    ...{ name: 'bus_dead_letters', registers: [registry], labelNames: ['group'] },
    help: 'Events that a group could not handle, or that wait behind one, and that nobody has given up.',
    async collect() {
      const counts = await readInTime(readCounts).catch((error: unknown) => {
        log.warn({ err: error }, 'dead letters could not be counted');
        return undefined;
      });
      for (const group of counts?.keys() ?? []) known.add(group);
      for (const group of known) letters.set({ group }, counts === undefined ? NaN : (counts.get(group) ?? 0));
    },
  });
}
