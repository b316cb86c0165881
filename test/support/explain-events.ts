import { randomUUID } from 'node:crypto';

import { pino } from 'pino';

import { exportPages } from '../../cli/events-export/read.ts';
import type { EventBus } from '../../events/bus/bus.ts';
import { reopenLog } from '../../events/bus/carrier.ts';
import * as letters from '../../events/bus/dead-letters.ts';
import { discardLetter, withoutDiscarded } from '../../events/bus/discard.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { readLog } from '../../events/bus/embedded-tables.ts';
import { countLetters } from '../../events/bus/letter-counts.ts';
import { listLetters, redrivableLetters, redriveLetter } from '../../events/bus/redrive.ts';
import { switchToKafka } from '../../events/bus/switch.ts';
import { readOutboxLag, renewLeases } from '../../events/relay-tables.ts';
import { subjectOf } from '../../events/stored-event.ts';
import { type Databases, openBus } from '../../infra/databases.ts';
import type { AuditedShop } from './audited-shop.ts';
import type { TestDatabases } from './databases.ts';
import { eventually } from './eventually.ts';

const LEASE_MS = 300;

/** Runs relays, the log, its consumers with their dead letters, the export and the switch to another bus. */
export async function workEvents(shop: AuditedShop, { urls }: Pick<TestDatabases, 'urls'>): Promise<void> {
  await readOutboxLag(shop.platform);
  await renewLeases(shop.platform, 'nobody', [1, 2], LEASE_MS);
  await shop.drain();
  for await (const { upTo } of exportPages(urls.order, { after: '50000', from: null, types: ['OrderPaid'] })) {
    if (BigInt(upTo) >= 53_000n) break; // one page is like the other
  }
  const log = pino({ level: 'silent' });
  const bus = openBus(urls.bus, { poolSize: 2 });
  const embedded = openEmbeddedBus({ url: urls.bus, poolSize: 4, log, leaseMs: LEASE_MS, pollMs: 50 });
  try {
    await consume(embedded);
    await fileAndRedrive(bus);
    await switchToKafka({ bus }, { without: [], limitMs: 0, onProgress: () => undefined });
    await reopenLog({ bus });
  } finally {
    await embedded.close();
    await bus.$disconnect();
  }
}

/** One group from the end of the log, long enough to renew its lease, and one from the beginning. */
async function consume(bus: EventBus): Promise<void> {
  const handled = { latest: 0, earliest: 0 };
  const latest = await bus.subscribe(`latest ${randomUUID()}`, () => Promise.resolve(), { from: 'latest' });
  const group = `earliest ${randomUUID()}`;
  const earliest = await bus.subscribe(group, (batch) => Promise.resolve(void (handled.earliest += batch.length)));
  await eventually('a thousand events are read', () => Promise.resolve(handled.earliest > 1_000 ? true : undefined));
  await new Promise((resolve) => setTimeout(resolve, 2 * LEASE_MS));
  await bus.lag(group);
  await Promise.all([latest.stop(), earliest.stop()]);
}

/** Everything that happens to events that a consumer cannot handle, on subjects that the log has. */
async function fileAndRedrive(bus: Databases['bus']): Promise<void> {
  const group = 'view-orders';
  const deps = { bus };
  const entries = await readLog(bus, 150_000n, 500);
  const deliveries = entries.map(({ position, event }) => ({ place: `again:${position}`, event }));
  const [first, second, third] = deliveries;
  if (first === undefined || second === undefined || third === undefined) throw new Error('the log is empty');
  const subject = subjectOf(first.event);
  const failure = { reason: 'refused', attempts: 3 };
  const file = (delivery: letters.Delivery) => letters.fileLetter(deps, group, delivery, failure);

  await withoutDiscarded(deps, group, deliveries);
  await file(first);
  await file(second);
  await file(third);
  await letters.fileBehind(deps, group, subject, [{ ...first, place: `behind:${first.place}` }]);
  await letters.blockedSubjects(
    deps,
    group,
    deliveries.map(({ event }) => subjectOf(event)),
  );
  await countLetters(deps);
  for (const of of [undefined, group]) {
    await listLetters(deps, { group: of, limit: 20 });
    await listLetters(deps, { group: of, limit: 20, after: '50000', discarded: true });
    await redrivableLetters(deps, of);
  }
  const [failed, other] = await listLetters(deps, { group, limit: 20 });
  if (failed === undefined || other === undefined) throw new Error('no letter was filed');
  await redriveLetter(deps, failed.id);
  await discardLetter(deps, other.id, { by: 'operator', reason: 'no longer needed' });
  await letters.takeRedriveLease(deps, group, 'a test', LEASE_MS);
  const redriven = await letters.nextRedriven(deps, group);
  if (redriven === undefined) throw new Error('no letter was redriven');
  await letters.failLetterAgain(deps, group, redriven, failure);
  await letters.clearLetter(deps, group, redriven);
  await letters.giveBackRedriveLease(deps, group, 'a test');
}
