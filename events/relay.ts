import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Logger } from '../infra/log.ts';
import type { EventBus } from './bus/bus.ts';
import { LeaseLost } from './relay-leases.ts';
import { type BatchOutcome, type PassDeps, type PassResult, runPass } from './relay-pass.ts';
import { RefusedSubjects } from './relay-ready.ts';
import type { OutboxDatabase } from './relay-tables.ts';
import { Alarm, listen } from './wake-up.ts';

export type RelayDeps = Readonly<{
  db: OutboxDatabase;
  bus: Pick<EventBus, 'publish'>;
  /** Whose outbox `db` has: `platform`, `order` or `payment`. It is the `source` of the events on the bus. */
  service: string;
  /** Says in `outbox_leases` who it is. It need not be unique. */
  instance: string;
  /** The same database, for a connection that listens for new events. Without it the relay only polls. */
  listenUrl?: string;
  log?: Logger;
  metrics?: RelayMetrics;
  /** How long a partition is ours without being renewed, milliseconds. */
  leaseMs?: number;
  /** Pause between two looks when nobody wakes us, milliseconds. */
  pollMs?: number;
  /** Most events in one call of the bus. */
  batchSize?: number;
}>;

export type RelayMetrics = Readonly<{
  batch: (outcome: BatchOutcome) => void;
  /** The database or the bus did not answer. */
  failed: () => void;
}>;

export type Relay = Readonly<{
  /** Resolves when the batch in hand is published and marked. Repeat-safe. */
  stop: () => Promise<void>;
  /** Milliseconds since it last did or tried anything: it hangs when they are many more than its pauses. */
  silentMs: () => number;
}>;

const LEASE_MS = 5_000;
const POLL_MS = 500;
const BATCH_SIZE = 500;
/** A quarter of the partitions, so that several relays share the work. */
const PARTITIONS_AT_ONCE = 4;
/** Of several transactions that commit together only one notifies: for a while we look by ourselves. */
const BUSY_MS = 1_000;
const BUSY_POLL_MS = 20;
const FIRST_BACK_OFF_MS = 200;
const LONGEST_BACK_OFF_MS = 10_000;

/**
 * Hands the events of an outbox to the bus, each at least once, in order within its aggregate, until it is stopped.
 * Several relays of one outbox do no harm and share the work. An event that the bus refuses holds up its own aggregate
 * only; an outage of the bus or the database is waited out.
 */
export function startRelay(deps: RelayDeps): Relay {
  const stopping = new AbortController();
  const alarm = new Alarm();
  const loop = new RelayLoop(deps, alarm, stopping.signal);
  const listener =
    deps.listenUrl === undefined ? undefined : listen(deps.listenUrl, 'outbox', () => alarm.ring(), deps.log);
  const running = loop.run();
  return {
    async stop() {
      stopping.abort();
      alarm.ring();
      await Promise.all([running, listener?.close()]);
    },
    silentMs: () => performance.now() - loop.activeAt,
  };
}

class RelayLoop {
  activeAt = performance.now();
  readonly #deps: RelayDeps;
  readonly #alarm: Alarm;
  readonly #stopping: AbortSignal;
  readonly #pass: PassDeps;
  #busyUntil = 0;
  #failures = 0;
  /** Partitions in which something waits that cannot be published now. */
  readonly #stuck = new Set<number>();

  constructor(deps: RelayDeps, alarm: Alarm, stopping: AbortSignal) {
    this.#deps = deps;
    this.#alarm = alarm;
    this.#stopping = stopping;
    this.#pass = {
      ...{ db: deps.db, bus: deps.bus, service: deps.service, stopping },
      // A process that was replaced must not be taken for its successor.
      lease: {
        holder: `${deps.instance.slice(0, 60)} ${randomUUID()}`,
        limit: PARTITIONS_AT_ONCE,
        ttlMs: deps.leaseMs ?? LEASE_MS,
      },
      batchSize: deps.batchSize ?? BATCH_SIZE,
      refused: new RefusedSubjects(),
      told: (outcome) => this.#tell(outcome),
      ...(deps.log && { log: deps.log }),
    };
  }

  async run(): Promise<void> {
    while (!this.#stopping.aborted) {
      this.activeAt = performance.now();
      try {
        const result = await runPass(this.#pass);
        this.#works();
        if (!this.#mayGoOn(result)) await this.#rest();
      } catch (error) {
        await this.#backOff(error);
      }
    }
  }

  /** Something was published, or other partitions have not had their turn yet. */
  #mayGoOn(result: PassResult | undefined): boolean {
    if (result !== undefined && result.published > 0) {
      this.#busyUntil = performance.now() + BUSY_MS;
      this.#stuck.clear();
      return true;
    }
    const fresh = result?.partitions.filter((partition) => !this.#stuck.has(partition)) ?? [];
    for (const partition of fresh) this.#stuck.add(partition);
    return fresh.length > 0;
  }

  async #rest(): Promise<void> {
    this.#stuck.clear();
    const now = performance.now();
    // Twice the time of the look, so that a mountain of events that are held up does not cost a whole core.
    const pauseMs = now < this.#busyUntil ? BUSY_POLL_MS : (this.#deps.pollMs ?? POLL_MS) + 2 * (now - this.activeAt);
    const woken = await this.#alarm.sleep(pauseMs);
    if (woken) this.#busyUntil = Math.max(this.#busyUntil, performance.now() + BUSY_MS / 4);
  }

  #works(): void {
    if (this.#failures > 0) this.#deps.log?.info({ service: this.#deps.service }, 'events flow again');
    this.#failures = 0;
  }

  async #backOff(error: unknown): Promise<void> {
    const { log, metrics, service } = this.#deps;
    if (error instanceof LeaseLost) {
      log?.warn({ service, err: error }, 'another relay has taken over: this one was too slow');
      return;
    }
    metrics?.failed();
    if (this.#failures === 0) log?.warn({ service, err: error }, 'events wait: trying again until it works');
    const longest = Math.min(FIRST_BACK_OFF_MS * 2 ** this.#failures, LONGEST_BACK_OFF_MS);
    this.#failures += 1;
    const pauseMs = longest * (0.5 + Math.random() / 2); // apart, so that many relays do not come back together
    await sleep(pauseMs, undefined, { signal: this.#stopping }).catch(() => undefined); // rejected only by `stop`
  }

  #tell(outcome: BatchOutcome): void {
    const { log, metrics, service } = this.#deps;
    this.activeAt = performance.now();
    metrics?.batch(outcome);
    if (outcome.refused.size === 0) return;
    const subjects = [...outcome.refused].slice(0, 10);
    log?.warn({ service, subjects, count: outcome.refused.size }, 'the bus refuses events: their subjects wait');
  }
}
