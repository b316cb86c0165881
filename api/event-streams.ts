import type { Response } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import { Places } from './at-once.ts';
import { Unavailable } from './outage.ts';

export type StreamLimits = Readonly<{ perCaller: number; perProcess: number }>;
export type StreamEvent = Readonly<{ event: string; id?: number; data: object }>;

/** Between comments, so that nobody on the way takes a quiet stream for a dead one. Milliseconds. */
const HEARTBEAT_MS = 15_000;
/** Of a reader who does not take what was sent. Bytes: some hundred events. */
const LONGEST_BACKLOG = 64 * 1_024;
/** Readers come back, to any process: so that those of a new one get some. Milliseconds. */
const LONGEST_STREAM_MS = 3_600_000;
/** Told to readers; each one something else, so that those of a stopped process do not come back all at once. */
const RETRY_MS = { least: 1_000, most: 3_000 } as const;
const RETRY_AFTER_S = 10;

/** The streams of server-sent events that this process has open. One timer serves the heartbeat of them all. */
export class EventStreams {
  readonly #limits: StreamLimits;
  readonly #stopping: AbortSignal;
  readonly #heartbeatMs: number;
  readonly #places = new Places();
  readonly #open = new Set<EventStream>();
  #heart: NodeJS.Timeout | undefined;

  /** @param stopping ends every stream, and lets no other begin */
  constructor(limits: StreamLimits, stopping: AbortSignal, heartbeatMs = HEARTBEAT_MS) {
    this.#limits = limits;
    this.#stopping = stopping;
    this.#heartbeatMs = heartbeatMs;
    stopping.addEventListener('abort', () => [...this.#open].forEach((stream) => stream.end()), { once: true });
  }

  /** What is counted against the limits now, and what has begun. */
  get counts(): Readonly<{ admitted: number; open: number; callers: number }> {
    return { admitted: this.#places.taken, open: this.#open.size, callers: this.#places.callers };
  }

  /**
   * Takes a place for a request until its response is closed, however that comes; none for one whose client is gone already.
   *
   * @throws CheckoutError TOO_MANY_REQUESTS · Unavailable when the process is stopping
   */
  admit(callerId: string, res: Response): void {
    if (this.#stopping.aborted) throw new Unavailable('this process is stopping; ask again');
    if (this.#places.of(callerId) >= this.#limits.perCaller || this.#places.taken >= this.#limits.perProcess) {
      res.set('Retry-After', String(RETRY_AFTER_S));
      throw new CheckoutError('TOO_MANY_REQUESTS', 'too many streams of events are open; end some, or wait');
    }
    this.#places.take(callerId, res);
  }

  /** Begins the stream of an admitted request. It ends by itself after `lastsMs` milliseconds. */
  begin(res: Response, lastsMs: number): EventStream {
    const stream = new EventStream(res, Math.min(Math.max(lastsMs, 0), LONGEST_STREAM_MS));
    this.#open.add(stream);
    this.#heart ??= setInterval(() => [...this.#open].forEach((one) => one.beat()), this.#heartbeatMs);
    stream.onEnd(() => {
      this.#open.delete(stream);
      if (this.#open.size > 0) return;
      clearInterval(this.#heart);
      this.#heart = undefined;
    });
    if (this.#stopping.aborted) stream.end(); // while the order was looked for
    return stream;
  }
}

/** One response that tells events, until somebody ends it or its reader goes away. */
export class EventStream {
  readonly #res: Response;
  readonly #onEnd: (() => void)[] = [];
  #ended = false;

  constructor(res: Response, lastsMs: number) {
    this.#res = res;
    const life = setTimeout(() => this.end(), lastsMs);
    this.onEnd(() => clearTimeout(life));
    res.once('close', () => this.#close());
    if (res.destroyed) {
      this.#close();
      return;
    }
    sendStreamHeaders(res);
    res.write(`retry: ${Math.round(RETRY_MS.least + Math.random() * (RETRY_MS.most - RETRY_MS.least))}\n\n`);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Called once, also when the stream has ended before. */
  onEnd(then: () => void): void {
    if (this.#ended) then();
    else this.#onEnd.push(then);
  }

  send(events: readonly StreamEvent[]): void {
    this.#write(events.map(textOf).join(''));
  }

  /** A comment. */
  beat(): void {
    this.#write(':\n\n');
  }

  /** Repeat-safe. */
  end(): void {
    if (this.#ended) return;
    this.#close();
    this.#res.end();
  }

  /** Whoever has not taken what was sent before is cut off, and may come back for the rest. */
  #write(text: string): void {
    if (this.#ended) return;
    if (this.#res.writableLength > LONGEST_BACKLOG) {
      this.#close();
      this.#res.destroy();
    } else {
      this.#res.write(text);
    }
  }

  #close(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const then of this.#onEnd.splice(0)) then();
  }
}

/** The connection is the stream's alone, so that it is closed with it. */
export function sendStreamHeaders(res: Response): void {
  res.status(200).set({
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store, no-transform',
    Connection: 'close',
    'X-Accel-Buffering': 'no',
  });
  res.flushHeaders();
}

/** JSON has no line breaks, so one line of data is enough. */
const textOf = ({ event, id, data }: StreamEvent): string =>
  `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
