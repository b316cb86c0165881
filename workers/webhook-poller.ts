import { setTimeout as sleep } from 'node:timers/promises';

import type { Client } from '@temporalio/client';
import pLimit from 'p-limit';

import type { Page, PageInput, WebhookRef } from '../activities/payments/contract.ts';
import { webhookWorkflowId } from '../domain/workflow-ids.ts';
import type { Logger } from '../infra/log.ts';
import { QUEUES, WEBHOOK_WORKFLOW } from '../workflows/contract.ts';
import type { webhook } from '../workflows/webhook.ts';

export type PollerDeps = Readonly<{
  client: Client;
  /** One page of the events without an outcome. */
  find: (page: PageInput) => Promise<Page<WebhookRef>>;
  log: Logger;
  /** Pause between two looks, milliseconds. */
  intervalMs?: number;
  /** A workflow that this poller has started is not started again sooner, even if it has ended at once. */
  restartAfterMs?: number;
}>;

export type Poller = Readonly<{ stop: () => Promise<void> }>;

const INTERVAL_MS = 500;
const BETWEEN_PAGES_MS = 50;
const LONGEST_PAUSE_MS = 30_000;
const RESTART_AFTER_MS = 60_000;
const START_LIMIT_MS = 5_000;
const PAGE_LENGTH = 100;
const STARTS_AT_ONCE = 10;

/**
 * Starts a workflow for each event that was stored and has no outcome, until it is stopped: what was answered 2xx is
 * done, whoever died in between. Several pollers do no harm: an event has one workflow at a time, and doing it twice is
 * doing it once. An outage of Temporal or PostgreSQL is waited out.
 */
export function startWebhookPoller(deps: PollerDeps): Poller {
  const stopping = new AbortController();
  const polling = poll(deps, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await polling;
    },
  };
}

async function poll(deps: PollerDeps, stopping: AbortSignal): Promise<void> {
  const { find, log, intervalMs = INTERVAL_MS, restartAfterMs = RESTART_AFTER_MS } = deps;
  const startedAt = new Map<string, number>();
  let after: string | null = null;
  let failures = 0;
  while (!stopping.aborted) {
    try {
      const { items, next }: Page<WebhookRef> = await find({ after, limit: PAGE_LENGTH });
      after = next; // first: one that cannot be started must not hold up the next page
      forget(startedAt, restartAfterMs);
      await startAll(deps.client, items, startedAt);
      if (failures > 0) log.info('events of the payment provider are worked off again');
      failures = 0;
    } catch (error) {
      if (failures === 0) log.warn({ err: error }, 'events of the payment provider wait: trying again until it works');
      failures += 1;
    }
    const pauseMs = failures > 0 ? intervalMs * 2 ** failures : after === null ? intervalMs : BETWEEN_PAGES_MS;
    await pause(Math.min(pauseMs, LONGEST_PAUSE_MS), stopping);
  }
}

/** @throws the first error, after every other start has ended */
async function startAll(client: Client, events: readonly WebhookRef[], startedAt: Map<string, number>): Promise<void> {
  const limit = pLimit(STARTS_AT_ONCE);
  const fresh = events.filter((event) => !startedAt.has(idOf(event)));
  const starts = await Promise.allSettled(
    fresh.map((event) =>
      limit(async () => {
        await start(client, event);
        startedAt.set(idOf(event), performance.now());
      }),
    ),
  );
  const failed = starts.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** One that runs is left alone; one that ended without an outcome, such as a terminated one, is started again. */
const start = (client: Client, event: WebhookRef): Promise<unknown> =>
  client.connection.withDeadline(Date.now() + START_LIMIT_MS, () =>
    client.workflow.start<typeof webhook>(WEBHOOK_WORKFLOW, {
      taskQueue: QUEUES.checkout,
      workflowId: idOf(event),
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      args: [event],
      staticSummary: `Event ${event.eventId} of ${event.provider}`,
    }),
  );

const idOf = ({ provider, eventId }: WebhookRef): string => webhookWorkflowId(provider, eventId);

function forget(startedAt: Map<string, number>, afterMs: number): void {
  const now = performance.now();
  for (const [id, at] of startedAt) if (now - at >= afterMs) startedAt.delete(id);
}

async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: stopping });
  } catch (error) {
    if (!stopping.aborted) throw error;
  }
}
