import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { QUEUES } from '../../workflows/contract.ts';
import { type Child, startChild } from './child.ts';
import { eventually } from './eventually.ts';
import type { TestSystem } from './system.ts';
import { type TcpProxy, tcpProxy } from './tcp-proxy.ts';

const SERVICES = ['platform', 'order', 'payment'] as const;

/** What each worker polls for activities. */
const QUEUE_OF = {
  'inventory-worker': QUEUES.inventory,
  'order-worker': QUEUES.orders,
  'payment-worker': QUEUES.payments,
} as const;

/** TASK_QUEUE_TYPE_ACTIVITY of Temporal's API. */
const FOR_ACTIVITIES = 2;
/** PENDING_ACTIVITY_STATE_STARTED of Temporal's API: an attempt was handed to a worker. */
const STARTED = 2;
/** The answer to a poll leaves the server a moment after the attempt counts as started. */
const ANSWER_ARRIVES_MS = 250;

/** A worker behind wires of its own: it can be frozen with a step in its hands, given up, and let go again. */
export type StallingWorker = Readonly<{
  /** The wires to the databases. */
  wires: Readonly<Record<(typeof SERVICES)[number], TcpProxy>>;
  /** SIGSTOP. A task that Temporal hands to one of its open polls from now on lies in its socket, unread. */
  freeze: () => void;
  /** Waits until it holds the first attempt of each of these steps, and cuts it off. */
  takes: (orderId: string, ...steps: readonly string[]) => Promise<void>;
  /** Temporal gives it no further task, which would wait for its time-out in vain; it keeps what it has. */
  cutOff: () => void;
  /**
   * SIGCONT: it goes on with the attempts that it holds, and is ended when they are. Temporal is in reach again.
   *
   * @returns how each of these steps ended: undefined, or the message of its error
   */
  wakes: (...steps: readonly string[]) => Promise<Record<string, string | undefined>>;
  /** Ends it at once, for a test that failed half-way. Harmless when it has ended. */
  kill: () => Promise<void>;
}>;

/** @param options `names` are those of workers/main.ts; `env` is added to the system's */
export async function startStallingWorker(
  system: TestSystem,
  options: Readonly<{ names: readonly (keyof typeof QUEUE_OF)[]; env?: Readonly<Record<string, string>> }>,
): Promise<StallingWorker> {
  const temporal = await tcpProxy(Number(system.temporalAddress.split(':')[1]));
  const urls = SERVICES.map((name) => new URL(system.env[`${name.toUpperCase()}_DATABASE_URL`] ?? ''));
  const proxies = await Promise.all(urls.map((url) => tcpProxy(Number(url.port))));
  const [platform, order, payment] = proxies;
  assert.ok(platform !== undefined && order !== undefined && payment !== undefined);
  const wires = { platform, order, payment };
  const through = SERVICES.map((name, i) => {
    const url = new URL(urls[i] ?? '');
    url.port = String(wires[name].port);
    return [`${name.toUpperCase()}_DATABASE_URL`, url.href] as const;
  });
  const env = {
    ...system.env,
    ...Object.fromEntries(through),
    TEMPORAL_ADDRESS: `127.0.0.1:${temporal.port}`,
    LOG_LEVEL: 'debug', // it tells how each attempt ended
    ...options.env,
  };
  const child: Child = await startChild('workers/main.ts', env, options.names);
  const kill = async (): Promise<void> => {
    await child.kill();
    await Promise.all([temporal, ...proxies].map((proxy) => proxy.close()));
  };
  try {
    // A worker says that it is ready before its first polls are open, and a frozen one opens none.
    await Promise.all(options.names.map((name) => polls(system, QUEUE_OF[name], child.pid)));
  } catch (error) {
    await kill();
    throw error;
  }

  return {
    wires,
    freeze: () => child.signal('SIGSTOP'),
    async takes(orderId, ...steps) {
      await Promise.all(steps.map((step) => attemptStarted(system, orderId, step, 1)));
      await sleep(ANSWER_ARRIVES_MS);
      temporal.cutOff();
    },
    cutOff: () => temporal.cutOff(),
    async wakes(...steps) {
      child.signal('SIGCONT');
      const ends = await eventually(`the late copies of ${steps.join(', ')} have ended`, () => {
        const found = endsIn(child.output());
        return Promise.resolve(steps.every((step) => step in found) ? found : undefined);
      });
      temporal.restore();
      const code = await child.stop();
      await kill();
      assert.equal(code, 0, child.output());
      return Object.fromEntries(steps.map((step) => [step, ends[step]]));
    },
    kill,
  };
}

/** Waits until Temporal knows a process as one that asks for the activities of a queue. */
const polls = (system: TestSystem, queue: string, pid: number) =>
  eventually(`process ${pid} polls ${queue}`, async () => {
    const { pollers } = await system.temporal.workflowService.describeTaskQueue({
      namespace: system.temporal.options.namespace,
      taskQueue: { name: queue },
      taskQueueType: FOR_ACTIVITIES,
    });
    return pollers.some(({ identity }) => identity?.startsWith(`${pid}@`)) ? true : undefined;
  });

type LogLine = Readonly<{ msg?: string; activityType?: string; err?: Readonly<{ message: string }> }>;

/** The last end of each step that a worker logged: undefined for success, or the message of the error. */
function endsIn(output: string): Record<string, string | undefined> {
  const ends: Record<string, string | undefined> = {};
  for (const text of output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))) {
    const { msg, activityType, err } = JSON.parse(text) as LogLine;
    const isEnd = msg === 'Activity completed' || msg === 'Activity failed';
    if (isEnd && activityType !== undefined) ends[activityType] = err?.message;
  }
  return ends;
}

/** Waits until an attempt of a step is in the hands of a worker. */
export const attemptStarted = (system: TestSystem, orderId: string, step: string, attempt: number) =>
  eventually(`attempt ${attempt} of ${step} has started`, async () => {
    const { raw } = await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).describe();
    const found = raw.pendingActivities?.find(({ activityType }) => activityType?.name === step);
    return Number(found?.state) === STARTED && found?.attempt === attempt ? true : undefined;
  });

/** The last attempt of each step of a checkout that has ended. */
export async function attemptsOf(system: TestSystem, orderId: string): Promise<Record<string, number>> {
  const { events } = await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).fetchHistory();
  const nameOf = new Map<string, string>();
  const attempts: Record<string, number> = {};
  for (const { eventId, activityTaskScheduledEventAttributes: scheduled, ...event } of events ?? []) {
    if (scheduled?.activityType?.name != null) nameOf.set(String(eventId), scheduled.activityType.name);
    const started = event.activityTaskStartedEventAttributes;
    const name = nameOf.get(String(started?.scheduledEventId));
    if (name !== undefined) attempts[name] = started?.attempt ?? 0;
  }
  return attempts;
}
