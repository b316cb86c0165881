import { once } from 'node:events';

import { pino } from 'pino';

import { openEmbeddedBus } from '../../../events/bus/embedded.ts';
import { startRelay } from '../../../events/relay.ts';
import { openPlatform } from '../../../infra/databases.ts';
import type { RelayNews, RelaySettings } from '../../support/relay-process.ts';

/**
 * A relay of the platform's outbox on the embedded bus, which says what it does. It can be told to wait once, before or
 * after its first publish, until it is sent a message: there a test can freeze or kill it. It ends with its parent.
 */
const { platformUrl, busUrl, leaseMs, waits } = JSON.parse(process.argv[2] ?? '') as RelaySettings;
const log = pino({ level: 'silent' });
const bus = openEmbeddedBus({ url: busUrl, poolSize: 2, log });
const tell = (news: RelayNews): void => void process.send?.(news);
let waited = false;

async function waitHere(place: 'before' | 'after'): Promise<void> {
  if (waited || place !== waits) return;
  waited = true;
  tell({ waits: place });
  await once(process, 'message');
}

const relay = startRelay({
  ...{ db: openPlatform(platformUrl, { poolSize: 3 }), service: 'platform', instance: `${process.pid}`, leaseMs, log },
  pollMs: 50,
  bus: {
    async publish(events) {
      await waitHere('before');
      const refused = await bus.publish(events);
      await waitHere('after');
      return refused;
    },
  },
  metrics: { batch: ({ published, fenced }) => tell({ published, fenced }), failed: () => undefined },
});
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => void relay.stop().then(() => process.exit(0)));
tell({ ready: true });
