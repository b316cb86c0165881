import { setTimeout as sleep } from 'node:timers/promises';

import type { EventBus, HandleEvents, Subscription } from '../events/bus/bus.ts';
import type { StoredEvent } from '../events/stored-event.ts';
import { traceEvents } from '../events/tracing.ts';
import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { applyToView } from './apply.ts';
import { groupOf, type View, type ViewName, type ViewSettings } from './view.ts';

export type ProjectionMetrics = Readonly<{
  /** A batch is committed: how many of its events were new to the view, and how long it took, milliseconds. */
  applied: (view: ViewName, events: number, ms: number) => void;
  /** Something went wrong and is tried again. */
  failed: (view: ViewName) => void;
}>;

export type FeedDeps = Readonly<{
  /** `db_materialized_view`. */
  db: Databases['views'];
  bus: Pick<EventBus, 'subscribe'>;
  options: ViewSettings;
  log: Logger;
  metrics?: ProjectionMetrics;
  /** Called after each batch. */
  onBatch: () => void;
}>;

/**
 * How often one event is tried by itself before it is set aside: for three seconds and more, in which somebody who stands
 * still with our rows locked is cut off by the database. What the database is away for does not count.
 */
const ATTEMPTS = 6;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** Applies the events of one view's group, for as long as it takes: whatever ends a subscription, it comes back. */
export class Feed {
  readonly view: View;
  readonly #deps: FeedDeps;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #subscription: Subscription | undefined;
  #inHandSince: number | undefined;
  #failing = false;

  constructor(view: View, deps: FeedDeps) {
    this.view = view;
    this.#deps = deps;
    this.#running = this.#run();
  }

  /** Whether the bus hands us events, or would if it were our turn. */
  get subscribed(): boolean {
    return this.#subscription !== undefined;
  }

  /** How long the batch in hand takes already, milliseconds; 0 when there is none. */
  get inHandMs(): number {
    return this.#inHandSince === undefined ? 0 : performance.now() - this.#inHandSince;
  }

  /** Resolves when the batch in hand is applied, and its position stored. Repeat-safe. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#subscription?.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { bus, log, metrics } = this.#deps;
    const { name } = this.view;
    for (let pauseMs = FIRST_PAUSE_MS; !this.#stopping.signal.aborted;) {
      try {
        const onError = (error: unknown): void => this.#tell(error);
        this.#subscription = await bus.subscribe(groupOf(name), this.#handle, { attempts: ATTEMPTS, onError });
        pauseMs = FIRST_PAUSE_MS;
        if (this.#isStopping()) await this.#subscription.stop();
        await this.#subscription.ended;
      } catch (error) {
        // The bus is away, or has lost the events that come next: then this view stands still, and says so.
        metrics?.failed(name);
        log.error({ err: error, view: name }, 'a view gets no events: subscribing again until it does');
        this.#failing = true;
      }
      this.#subscription = undefined;
      await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined); // only `stop` rejects it
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }

  /** It may have changed while we waited, which the compiler would not believe of the signal itself. */
  #isStopping = (): boolean => this.#stopping.signal.aborted;

  readonly #handle: HandleEvents = async (batch) => {
    const { db, options, metrics, onBatch, log } = this.#deps;
    const startedAt = Date.now();
    const begun = performance.now();
    this.#inHandSince = begun;
    try {
      const events = await applyToView(db, this.view, batch, options);
      metrics?.applied(this.view.name, events, performance.now() - begun);
      traceEvents(takenBy(this.view, batch), { verb: 'apply', by: this.view.name, startedAt }, log);
      if (this.#failing) log.info({ view: this.view.name }, 'the view goes on');
      this.#failing = false;
    } finally {
      this.#inHandSince = undefined;
    }
    onBatch();
  };

  /** Every failure is counted, the first one of a row is told. */
  #tell(error: unknown): void {
    const { log, metrics } = this.#deps;
    metrics?.failed(this.view.name);
    if (!this.#failing) log.warn({ err: error, view: this.view.name }, 'events of a view wait: trying again');
    this.#failing = true;
  }
}

const takenBy = ({ takes }: View, batch: readonly StoredEvent[]): readonly StoredEvent[] =>
  batch.filter(({ type }) => takes.some((one) => one === type));
