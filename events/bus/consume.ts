import { setTimeout as sleep } from 'node:timers/promises';

import { isDatabaseAway } from '../../infra/database-outage.ts';
import type { Databases } from '../../infra/databases.ts';
import { type HandleEvents, SlowHandler, type SubscribeOptions, UnreadableEvent } from './bus.ts';
import type { Delivery, Failure } from './dead-letters.ts';
import * as letters from './dead-letters.ts';
import { withoutDiscarded } from './discard.ts';

export type ConsumerDeps = Readonly<{
  bus: Databases['bus'];
  group: string;
  /** This subscription, unlike any other of the group in any process. */
  holder: string;
  handle: HandleEvents;
  /** Aborted by `stop`: pauses end, what is in the handler's hands does not. */
  stopping: AbortSignal;
}> &
  Required<Pick<SubscribeOptions, 'attempts' | 'onError'>> &
  Pick<SubscribeOptions, 'slowMs'>;

/** The half of a subscription that no driver has of its own: what becomes of events that cannot be handled. */
export type Consumer = Readonly<{
  /**
   * Handles deliveries that are in order within each subject: together, and one at a time where that fails. What still
   * fails becomes a dead letter, with the later events of its subject behind it.
   *
   * @returns how many, from the first one on, are done with: store a position behind these only. Fewer than were given
   *   only when it is stopping.
   * @throws when a dead letter cannot be filed: store no position and deliver all of them again
   */
  consume: (deliveries: readonly Delivery[]) => Promise<number>;
  /**
   * Handles dead letters that were redriven, in order within each subject, as long as no other consumer of the group
   * does. Call it between batches and while there are none. Never rejects for what the handler throws.
   *
   * @returns how many were tried
   */
  redrive: () => Promise<number>;
}>;

/** How often one event is tried before it becomes a dead letter, when the subscriber does not say. */
export const ATTEMPTS = 3;
/** Between two attempts of one event; doubled each time. Milliseconds. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** A consumer that died while it handled letters holds up the others for so long. Milliseconds. */
const REDRIVE_LEASE_MS = 15_000;
/** Beyond every time limit of a database that answers. Milliseconds. */
const SLOW_MS = 60_000;
/** Letters handled in one go: fresh events wait meanwhile. */
const REDRIVEN_AT_ONCE = 100;

export function openConsumer(given: ConsumerDeps): Consumer {
  const deps = { ...given, handle: watched(given) };
  return { consume: (deliveries) => consume(deps, deliveries), redrive: () => redrive(deps) };
}

/** A handler that never ends holds up its group, and would do so without a word. */
function watched({ handle, group, onError, slowMs = SLOW_MS }: ConsumerDeps): HandleEvents {
  return async (batch) => {
    const since = performance.now();
    const [first] = batch;
    const timer = setInterval(() => {
      const seconds = ((performance.now() - since) / 1_000).toFixed(1);
      const which = `${batch.length} events, the first of them ${first?.id}`;
      onError(new SlowHandler(`the handler of ${group} has not ended after ${seconds} s with ${which}`));
    }, slowMs);
    try {
      await handle(batch);
    } finally {
      clearInterval(timer);
    }
  };
}

async function consume(deps: ConsumerDeps, deliveries: readonly Delivery[]): Promise<number> {
  const free = await withoutBlocked(deps, await withoutDiscarded(deps, deps.group, deliveries));
  if (free.length === 0 || (await handledTogether(deps, free))) return deliveries.length;

  const blocked = new Set<string>();
  for (const delivery of free) {
    const subject = letters.subjectColumn(delivery.event);
    if (blocked.has(subject) && (await letters.fileBehind(deps, deps.group, subject, [delivery]))) continue;

    const failure = await tryAlone(deps, delivery);
    if (failure === 'stopped') return deliveries.indexOf(delivery);
    if (failure === undefined) continue;
    await letters.fileLetter(deps, deps.group, delivery, failure);
    blocked.add(subject);
  }
  return deliveries.length;
}

/** Files the deliveries whose subject has dead letters behind those. @returns the others, in order */
async function withoutBlocked(deps: ConsumerDeps, deliveries: readonly Delivery[]): Promise<readonly Delivery[]> {
  const { group } = deps;
  const subjects = deliveries.map(({ event }) => letters.subjectColumn(event));
  const filed = new Set<string>();
  for (const subject of await letters.blockedSubjects(deps, group, [...new Set(subjects)])) {
    const behind = deliveries.filter((_delivery, index) => subjects[index] === subject);
    if (await letters.fileBehind(deps, group, subject, behind)) filed.add(subject);
  }
  return filed.size === 0 ? deliveries : deliveries.filter((_delivery, index) => !filed.has(subjects[index] ?? ''));
}

/** One at a time is for batches that fail: it costs the handler a transaction per event. */
async function handledTogether({ handle, onError }: ConsumerDeps, deliveries: readonly Delivery[]): Promise<boolean> {
  if (deliveries.length === 1 || deliveries.some(({ broken }) => broken !== undefined)) return false;
  try {
    await handle(deliveries.map(({ event }) => event));
    return true;
  } catch (error) {
    onError(error);
    return false;
  }
}

/** @returns undefined when it was handled, how it failed, or that it is stopping and nobody can say yet */
async function tryAlone(deps: ConsumerDeps, delivery: Delivery): Promise<Failure | 'stopped' | undefined> {
  const { handle, stopping, onError } = deps;
  if (delivery.broken !== undefined) return { reason: delivery.broken, attempts: 1 };

  let counted = 0;
  for (let pauseMs = FIRST_PAUSE_MS; !stopping.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      await handle([delivery.event]);
      return undefined;
    } catch (error) {
      onError(error);
      // A server that is away says nothing about the event: to file it, and all that come meanwhile, would make work for a
      // person. What took too long counts: it may be this event, and it must not hold up the whole group.
      if (!isDatabaseAway(error)) counted += 1;
      if (error instanceof UnreadableEvent || counted >= deps.attempts) {
        return { reason: error instanceof Error ? error.message : String(error), attempts: counted };
      }
    }
    await pause(pauseMs, stopping);
  }
  return 'stopped';
}

async function redrive(deps: ConsumerDeps): Promise<number> {
  if ((await letters.nextRedriven(deps, deps.group)) === undefined) return 0;
  try {
    let tried = 0;
    while (tried < REDRIVEN_AT_ONCE && (await redriveOne(deps))) tried += 1;
    return tried;
  } finally {
    await letters.giveBackRedriveLease(deps, deps.group, deps.holder);
  }
}

/** @returns false when there is none, it is stopping, or another consumer of the group is at it */
async function redriveOne(deps: ConsumerDeps): Promise<boolean> {
  const { group, holder } = deps;
  if (!(await letters.takeRedriveLease(deps, group, holder, REDRIVE_LEASE_MS))) return false;
  const letter = await letters.nextRedriven(deps, group); // after the lease: who had it before may have handled some
  if (letter === undefined) return false;

  const failure = await tryAlone(deps, letter);
  if (failure === 'stopped') return false;
  if (failure === undefined) await letters.clearLetter(deps, group, letter);
  else await letters.failLetterAgain(deps, group, letter, failure);
  return true;
}

async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: stopping });
  } catch (error) {
    if (!stopping.aborted) throw error;
  }
}
