import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import type { EventBus } from '../events/bus/bus.ts';
import { openEmbeddedBus } from '../events/bus/embedded.ts';
import { openKafkaBus } from '../events/bus/kafka.ts';
import { appendToOutbox } from '../events/outbox.ts';
import { type RelayDeps, startRelay } from '../events/relay.ts';
import { type Databases, openPlatform } from '../infra/databases.ts';
import { assertEventsAudited } from '../test/support/audited-events.ts';
import { freshDatabases, type TestDatabases } from '../test/support/databases.ts';
import { stockEvent } from '../test/support/events.ts';
import { startKafka } from '../test/support/kafka-broker.ts';
import { stopServers } from '../test/support/servers.ts';
import { Arrivals } from './arrivals.ts';

export const CARRIERS = ['embedded', 'kafka'] as const;
export type Carrier = (typeof CARRIERS)[number];

export type BusBench = Readonly<{
  /** Events in the outbox before anything is measured. */
  events: number;
  /** Events written one at a time, each when the one before has arrived. */
  latencies: number;
  carriers: readonly Carrier[];
  say: (line: string) => void;
}>;

export type BusResult = Readonly<{
  carrier: Carrier;
  events: number;
  /** Rates, events per second. */
  relayed: number;
  consumed: number;
  /** Written, relayed and consumed, all at once. */
  through: number;
  /** From the transaction's begin to the consumer's hands, milliseconds, sorted. */
  latenciesMs: readonly number[];
  /** Events that did not arrive, or arrived before an earlier one of their subject. */
  wrong: number;
}>;

type Bench = Readonly<{
  platform: Databases['platform'];
  databases: TestDatabases;
  bus: EventBus;
  say: BusBench['say'];
}>;

const SUBJECTS = 1_000;
const WRITTEN_AT_ONCE = 500;
/** As orders come: some at a time, not a pile. */
const WRITERS = 4;
const BETWEEN_LATENCIES_MS = 25;
const WARM_UP = 20;
const PARTITIONS = 12;
const TOLD_EVERY_MS = 2_000;
const log = pino({ level: 'warn' }, pino.destination(2));

/** Starts PostgreSQL and Kafka, measures each bus on databases of its own, and ends them. */
export async function benchBus({ carriers, say, ...sizes }: BusBench): Promise<BusResult[]> {
  const results: BusResult[] = [];
  try {
    for (const carrier of carriers) results.push(await benchCarrier(carrier, sizes, say));
    return results;
  } finally {
    await stopServers();
  }
}

async function benchCarrier(
  carrier: Carrier,
  { events, latencies }: Pick<BusBench, 'events' | 'latencies'>,
  say: BusBench['say'],
): Promise<BusResult> {
  say(`${carrier}: starting`);
  const broker = carrier === 'kafka' ? await startKafka() : undefined;
  const databases = await freshDatabases();
  const { urls } = databases;
  const platform = openPlatform(urls.platform, { poolSize: 8 });
  const settings = { url: urls.bus, poolSize: 4, log };
  const bus = broker
    ? openKafkaBus({ ...settings, brokers: broker.brokers, partitions: PARTITIONS })
    : openEmbeddedBus(settings);
  const bench: Bench = { platform, databases, bus, say: (line) => say(`${carrier}: ${line}`) };
  try {
    await warmUp(bus);
    const { relayed, consumed, wrong } = await pileThrough(bench, events);
    const flow = await flowThrough(bench, events);
    const latenciesMs = await measureLatencies(bench, latencies);
    bench.say(`audit of ${await assertEventsAudited(databases, broker)} events: clean`);
    return { carrier, events, relayed, consumed, through: flow.rate, latenciesMs, wrong: wrong + flow.wrong };
  } finally {
    await bus.close();
    await platform.$disconnect();
    await databases.drop();
    await broker?.stop();
  }
}

/** A broker that has just started makes topics, and finds out who coordinates a group: that is not what is measured. */
async function warmUp(bus: EventBus): Promise<void> {
  await bus.publish([]);
  const subscription = await bus.subscribe('bench-warm-up', () => Promise.resolve(), { onError: () => undefined });
  await subscription.stop();
}

/** An outbox full of events: first relayed with nobody consuming, then consumed with nothing relayed. */
async function pileThrough({ platform, bus, say }: Bench, events: number) {
  for (let at = 0; at < events; at += WRITTEN_AT_ONCE)
    await write(platform, 'pile', at, Math.min(events, at + WRITTEN_AT_ONCE));
  say(`${events} events wait in the outbox`);

  let published = 0;
  const metrics: RelayDeps['metrics'] = {
    batch: (outcome) => (published += outcome.published),
    failed: () => undefined,
  };
  const relay = startRelay({ db: platform, bus, service: 'platform', instance: 'bench', log, metrics });
  const relayed = await timed(
    events,
    () => published,
    (count) => say(`${count} relayed`),
  );
  await relay.stop();

  const arrivals = new Arrivals('pile');
  const subscription = await bus.subscribe('bench-pile', arrivals.handle, {
    onError: (error) => log.warn({ err: error }),
  });
  const consumed = await timed(
    events,
    () => arrivals.count,
    (count) => say(`${count} consumed`),
  );
  await subscription.stop();
  return { relayed, consumed, wrong: arrivals.wrong(events) };
}

/** All at once: writers, a relay that is woken by them, a consumer. */
async function flowThrough({ platform, databases, bus, say }: Bench, events: number) {
  const relay = startRelay({ ...relayDeps(platform, databases), bus });
  const arrivals = new Arrivals('flow');
  const subscription = await bus.subscribe('bench-flow', arrivals.handle, { from: 'latest' });
  // Each writer has subjects of its own: versions of one are given under its row's lock in the shop.
  const share = Math.floor(events / WRITERS);
  const writing = Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      for (let at = 0; at < share; at += 50) await write(platform, `flow-${writer}`, at, Math.min(share, at + 50));
    }),
  );
  const rate = await timed(
    share * WRITERS,
    () => arrivals.count,
    (count) => say(`${count} written, relayed and consumed`),
  );
  await writing;
  await subscription.stop();
  await relay.stop();
  return { rate, wrong: arrivals.wrong(share * WRITERS) };
}

async function measureLatencies({ platform, databases, bus, say }: Bench, count: number): Promise<number[]> {
  say(`${count} single events`);
  const relay = startRelay({ ...relayDeps(platform, databases), bus });
  const arrivals = new Arrivals('single');
  const subscription = await bus.subscribe('bench-single', arrivals.handle, { from: 'latest' });
  const latencies: number[] = [];
  for (let n = 0; n < WARM_UP + count; n++) {
    await sleep(BETWEEN_LATENCIES_MS * (0.5 + Math.random()));
    const startedAt = performance.now();
    const arrived = arrivals.next();
    await write(platform, 'single', n, n + 1);
    latencies.push((await arrived) - startedAt);
  }
  await subscription.stop();
  await relay.stop();
  return latencies.slice(WARM_UP).sort((a, b) => a - b);
}

const relayDeps = (platform: Databases['platform'], { urls }: TestDatabases) => ({
  ...{ db: platform, service: 'platform', instance: 'bench', listenUrl: urls.platform, log },
});

/** The events from `first` on, before `end`, over all subjects in turn, in one transaction. */
const write = (platform: Databases['platform'], name: string, first: number, end: number): Promise<void> =>
  platform.$transaction((tx) =>
    appendToOutbox(
      tx,
      Array.from({ length: end - first }, (_, index) => {
        const n = first + index;
        return stockEvent(`${name}-${n % SUBJECTS}`, 1 + Math.floor(n / SUBJECTS));
      }),
    ),
  );

/** @returns how many a second it were until `count` said so many */
async function timed(events: number, count: () => number, tell: (count: number) => void): Promise<number> {
  const startedAt = performance.now();
  let toldAt = startedAt;
  while (count() < events) {
    await sleep(5);
    if (performance.now() - toldAt < TOLD_EVERY_MS) continue;
    toldAt = performance.now();
    tell(count());
  }
  return events / ((performance.now() - startedAt) / 1_000);
}
