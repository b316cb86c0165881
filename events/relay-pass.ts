import { setTimeout as sleep } from 'node:timers/promises';

import type { Logger } from '../infra/log.ts';
import type { EventBus } from './bus/bus.ts';
import { type HeldLeases, LeaseLost, type LeaseOptions, withLeases } from './relay-leases.ts';
import { readyToPublish, type RefusedSubjects } from './relay-ready.ts';
import { type Cursor, markPublished, type OutboxDatabase, readWaiting, type WaitingEvent } from './relay-tables.ts';
import { subjectOf } from './stored-event.ts';
import { traceEvents } from './tracing.ts';

export type PassDeps = Readonly<{
  db: OutboxDatabase;
  bus: Pick<EventBus, 'publish'>;
  /** Whose outbox it is: `platform`, `order` or `payment`. */
  service: string;
  lease: LeaseOptions;
  /** Most events that are published at once. */
  batchSize: number;
  refused: RefusedSubjects;
  stopping: AbortSignal;
  told: (outcome: BatchOutcome) => void;
  log?: Logger;
}>;

export type BatchOutcome = Readonly<{
  /** Stored by the bus and marked. */
  published: number;
  /** Stored by the bus, but another relay had taken over, which publishes them again. */
  fenced: number;
  /** Subjects of which the bus did not store an event. */
  refused: ReadonlySet<string>;
}>;

export type PassResult = Readonly<{ partitions: readonly number[]; published: number }>;

/** After so many batches the partitions are given back, so that others get their turn. */
const MOST_BATCHES = 20;
/** For a bus that never answers, milliseconds. What it stores after all is published again, in order. */
const PUBLISH_LIMIT_MS = 30_000;

/**
 * Walks once through what waits in some free partitions: reads, publishes, marks, batch by batch. Reads by status, never
 * by "id > last": the low id of a slow transaction becomes visible late, and the next pass begins at the front again. No
 * transaction is open while the bus is asked. A crash between publishing and marking publishes again.
 *
 * @returns undefined when nothing waits in a partition that is free
 * @throws LeaseLost when another relay has taken over
 * @throws what the database or the bus threw: nothing is marked that may not be on the bus
 */
export const runPass = (deps: PassDeps): Promise<PassResult | undefined> =>
  withLeases(deps.db, deps.lease, (held) => walk(deps, held));

async function walk(deps: PassDeps, held: HeldLeases): Promise<PassResult> {
  const { db, service, batchSize, stopping } = deps;
  const perPartition = Math.max(1, Math.floor(batchSize / held.partitions.length));
  let cursors: Cursor[] = held.partitions.map((partition) => ({ partition, after: 0n }));
  let published = 0;
  for (let batches = 0; cursors.length > 0 && batches < MOST_BATCHES && !stopping.aborted;) {
    const page = await readWaiting(db, service, cursors, perPartition);
    const marked = await publishPage(deps, held, page);
    published += marked;
    if (marked > 0) batches += 1; // pages of which nothing can be published must not keep us from those behind them
    cursors = cursors.flatMap(({ partition }) => {
      const rows = page.filter((row) => row.partition === partition);
      const last = rows.at(-1);
      return last === undefined || rows.length < perPartition ? [] : [{ partition, after: last.id }];
    });
  }
  return { partitions: held.partitions, published };
}

async function publishPage(deps: PassDeps, held: HeldLeases, page: readonly WaitingEvent[]): Promise<number> {
  const { db, bus, service, lease, refused, told, log } = deps;
  const ready = readyToPublish(page, refused, performance.now());
  if (ready.length === 0) return 0;
  held.check();
  const startedAt = Date.now();
  const notStored = await withinLimit(bus.publish(ready.map(({ event }) => event)));
  const now = performance.now();
  const stored = ready.filter(({ event }) => !notStored.has(subjectOf(event)));
  for (const subject of notStored) {
    refused.refuse(subject, ready.filter(({ event }) => subjectOf(event) === subject).length, now);
  }
  for (const { event } of stored) refused.accept(subjectOf(event));
  const ids = stored.map(({ id }) => id);
  const published = ids.length === 0 ? 0 : await markPublished(db, lease.holder, ids);
  const fenced = ids.length - published;
  told({ published, fenced, refused: notStored });
  traceEvents(
    stored.map(({ event }) => event),
    { verb: 'publish', by: service, startedAt },
    log,
  );
  if (fenced > 0) throw new LeaseLost(`${fenced} of ${ids.length} events were published by a relay that had lost them`);
  return published;
}

async function withinLimit<T>(answer: Promise<T>): Promise<T> {
  const done = new AbortController();
  const limit = sleep(PUBLISH_LIMIT_MS, undefined, { signal: done.signal }).then(() => {
    throw new Error(`the bus did not answer within ${PUBLISH_LIMIT_MS} ms`);
  });
  try {
    return await Promise.race([answer, limit]);
  } finally {
    done.abort();
    limit.catch(() => undefined); // the limit was not needed
  }
}
