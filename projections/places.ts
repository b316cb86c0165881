import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import { EVENT_SOURCES } from '../events/catalogue.ts';
import type { Config } from '../infra/config.ts';
import { openBus, openOrder, openPayment, openPlatform } from '../infra/databases.ts';
import type { HistoryPlaces } from './history.ts';

const OUTBOXES = { platform: openPlatform, order: openOrder, payment: openPayment } as const;
/** The past is read piece by piece. */
const POOL = { poolSize: 1 } as const;

/** Where the settings say that the past may be. Opens nothing yet; close it when done. */
export function openPlaces({ databaseUrls }: Config): HistoryPlaces & Readonly<{ close: () => Promise<void> }> {
  const bus = databaseUrls.bus === undefined ? undefined : openBus(databaseUrls.bus, POOL);
  const opened = EVENT_SOURCES.flatMap((source) => {
    const url = databaseUrls[source];
    return url === undefined ? [] : [[source, OUTBOXES[source](url, POOL)] as const];
  });
  return {
    bus,
    outboxes: Object.fromEntries(opened),
    async close() {
      await bus?.$disconnect();
      for (const [, database] of opened) await database.$disconnect();
    },
  };
}

/** Who rebuilds views: this process, this time. */
export const newHolder = (): string => `${hostname().slice(0, 40)} ${process.pid} ${randomUUID()}`;
