import { pino } from 'pino';

import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { freshDatabases } from '../support/databases.ts';
import { busContract } from './bus-contract.ts';

const log = pino({ level: 'silent' });

busContract('PostgreSQL', async () => {
  const databases = await freshDatabases();
  const url = databases.urls.bus;
  return {
    databases,
    open: () => openEmbeddedBus({ url, poolSize: 3, log, leaseMs: 2_000, pollMs: 200 }),
    env: { BUS_DATABASE_URL: url },
    // A character that PostgreSQL has no place for.
    unstorable: (event) => ({ ...event, envelope: { ...event.envelope, note: '\0' } }),
    close: () => databases.drop(),
  };
});
