import { once } from 'node:events';

import { VIEW_NAMES } from '../projections/view.ts';
import { audited } from '../test/support/commands.ts';
import { freshDatabases, type TestDatabases } from '../test/support/databases.ts';
import { eventually } from '../test/support/eventually.ts';
import { untilCaughtUp } from '../test/support/projection.ts';
import { recomputedViews } from '../test/support/recomputed-views.ts';
import { stopServers } from '../test/support/servers.ts';
import { startSystem, type TestSystem } from '../test/support/system.ts';
import { rowsOf, VIEW_TABLES } from '../test/support/views.ts';
import { benchDrain, type DrainBench, type DrainResult } from './drain.ts';
import { type LagTimes, lagTimes, serverClock } from './lag-times.ts';
import { atOnce, atRate, type Flow, openShop } from './shoppers.ts';

export type LagBench = Readonly<{
  /** How long each flow lasts; the highest rate is looked for in steps of the same length. */
  seconds: number;
  perSecond: number;
  /** Events in the log that the projection drains; 0 leaves that out. */
  events: number;
  say: (line: string) => void;
}> &
  Pick<DrainBench, 'signal' | 'show'>;

/** One flow of orders through the whole system, and how old its events were when they were shown. */
export type LagFlow = Flow & LagTimes & Readonly<{ name: string }>;

export type LagResult = Readonly<{
  steady: LagFlow;
  /** As many orders as the machine can take. */
  highest: LagFlow;
  drain: DrainResult | null;
  /** What must not be, in words. */
  wrong: readonly string[];
}>;

const SERVICES = ['platform', 'order', 'payment'] as const;
const TIME_ZONE = 'Asia/Seoul';
const WARM_UP = { shoppers: 4, seconds: 5 };
/** Shoppers at once, until more of them bring no more orders. */
const STEPS = [8, 16, 32] as const;
const WORTH_MORE = 1.05;
/** For what the last shoppers left under way, also on a machine that has other things to do. */
const SETTLED_WITHIN_MS = 300_000;

/** Starts the whole system and sends shoppers through it, then lets the projection alone drain a full log. */
export async function benchLag(bench: LagBench): Promise<LagResult> {
  const { events, signal, show } = bench;
  try {
    const { steady, highest, wrong } = await withSystem(bench);
    const drain = events === 0 ? null : await benchDrain({ events, signal, show });
    return { steady, highest, drain, wrong: [...wrong, ...(drain?.wrong ?? [])] };
  } finally {
    await stopServers();
  }
}

async function withSystem(bench: LagBench): Promise<Omit<LagResult, 'drain'>> {
  const { say, signal } = bench;
  say('starting the whole system');
  const databases = await freshDatabases({ seed: true });
  const system = await startSystem({ databases, env: { SHOP_TIME_ZONE: TIME_ZONE } });
  try {
    await system.startWorkers();
    await system.startEvents();
    return await unlessAborted(signal, async () => {
      await settled(system, databases);
      const { steady, highest, wrong } = await sendShoppers(system, databases, bench);
      return { steady, highest, wrong: [...wrong, ...(await wrongAfter(system, databases, say))] };
    });
  } finally {
    await system.stop();
  }
}

/** Ctrl-C ends the processes of the system too: what waits for them then would wait in vain. */
async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const aborted = once(signal, 'abort').then(() => signal.throwIfAborted());
  return (await Promise.race([work(), aborted])) as T;
}

async function sendShoppers(system: TestSystem, databases: TestDatabases, bench: LagBench) {
  const { seconds, perSecond, signal, show, say } = bench;
  const shop = await openShop(system);
  const measured = async (name: string, run: () => Promise<Flow>): Promise<LagFlow> => {
    const since = await serverClock(databases);
    const flow = await run();
    const until = await serverClock(databases);
    await allEnded(system); // or a transaction that began before that instant may still be under way
    await settled(system, databases);
    return { name, ...flow, ...(await lagTimes(databases, since, until)) };
  };

  await atOnce(shop, WARM_UP, signal, show('warm-up, seconds'));
  const steady = await measured(`${perSecond} orders/s`, () =>
    atRate(shop, { perSecond, seconds }, signal, show(`${perSecond} orders/s`)),
  );
  const flows = [steady];
  let highest: LagFlow | undefined;
  for (const shoppers of STEPS) {
    const name = `${shoppers} shoppers at once`;
    const step = await measured(name, () => atOnce(shop, { shoppers, seconds }, signal, show(`${name}, seconds`)));
    flows.push(step);
    say(`${name}: ${rateOf(step).toFixed(1)} orders/s`);
    if (highest !== undefined && rateOf(step) < WORTH_MORE * rateOf(highest)) break;
    highest = step;
  }
  if (highest === undefined) throw new Error('no step was measured');
  return { steady, highest, wrong: flows.flatMap(wrongIn) };
}

export const rateOf = ({ orders, seconds }: Flow): number => orders / seconds;

/** Every event is out of its outbox and in every view. */
async function settled({ query }: TestSystem, databases: TestDatabases): Promise<void> {
  const waiting = 'select count(*)::int as n from outbox where published_at is null';
  const none = async () => {
    const counts = await Promise.all(SERVICES.map((service) => query<{ n: number }>(service, waiting)));
    return counts.flat().every(({ n }) => n === 0) ? true : undefined;
  };
  await eventually('nothing waits in an outbox', none, SETTLED_WITHIN_MS);
  await untilCaughtUp(databases, ...VIEW_NAMES);
}

function wrongIn({ name, missing, refused }: LagFlow): string[] {
  const answers = [...new Set(refused)].map((answer) => {
    return `${name}: ${refused.filter((one) => one === answer).length} × ${answer}`;
  });
  return missing === 0 ? answers : [`${name}: ${missing} events are missing in views`, ...answers];
}

async function allEnded({ temporal }: TestSystem): Promise<void> {
  const ended = async () => {
    const { count } = await temporal.workflow.count('ExecutionStatus = "Running" AND WorkflowType = "checkout"');
    return count === 0 ? true : undefined;
  };
  await eventually('every checkout has ended', ended, SETTLED_WITHIN_MS);
}

/** Of a system that is at rest: the books agree, and every view is what its events make of it. */
async function wrongAfter(system: TestSystem, databases: TestDatabases, say: LagBench['say']): Promise<string[]> {
  const verdict = await audited(system, { relays: true });
  say(verdict.code === 0 ? 'audit: clean' : 'audit: not clean');
  const [shown, recomputed] = [await rowsOf(databases.adminUrl('views')), await recomputedViews(databases, TIME_ZONE)];
  const differing = VIEW_TABLES.filter((table) => JSON.stringify(shown[table]) !== JSON.stringify(recomputed[table]));
  say(
    `views that are what their events make of them: ${VIEW_TABLES.length - differing.length} of ${VIEW_TABLES.length} tables`,
  );
  return [
    ...(verdict.code === 0 ? [] : [`the audit is not clean:\n${verdict.stdout}${verdict.stderr}`]),
    ...differing.map((table) => `${table} is not what its events make of it`),
  ];
}
