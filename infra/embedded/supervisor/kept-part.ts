import { setTimeout as sleep } from 'node:timers/promises';

import type { RunningPart } from './part.ts';

/** First and longest pause before a part that died is started again, milliseconds. It doubles from death to death. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** A part that ran this long is healthy: its next death counts as the first, milliseconds. */
const HEALTHY_MS = 60_000;

export type KeptPartOptions = Readonly<{
  name: string;
  /** Starts it; again on the same port and data after a death. Must end what it began when `aborted` fires. */
  start: (aborted: AbortSignal) => Promise<RunningPart>;
  /** What a clean end may take, milliseconds; then it is killed. */
  stopLimitMs: number;
  /** One line for the operator. */
  say: (line: string) => void;
  /** Called after every start, the first included. */
  started: (part: RunningPart) => void;
}>;

/** A part that is kept running until it is stopped. */
export type KeptPart = Readonly<{
  name: string;
  /** The first start. @throws what the start threw: nothing is kept running then */
  start: () => Promise<RunningPart>;
  /** Ends it, or the attempt to start it, within its limit. Repeating it waits for the same end. */
  stop: () => Promise<void>;
  /** Ends it at once. */
  kill: () => void;
}>;

export function keptPart({ name, start, stopLimitMs, say, started }: KeptPartOptions): KeptPart {
  const stopping = new AbortController();
  let current: RunningPart | undefined;
  let attempt: Promise<RunningPart> | undefined;
  let keeping: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;

  async function startOnce(): Promise<RunningPart> {
    attempt = start(stopping.signal);
    current = await attempt;
    started(current);
    return current;
  }

  async function keep(first: RunningPart): Promise<void> {
    let part = first;
    for (;;) {
      const since = Date.now();
      const reason = await part.ended;
      current = undefined;
      if (stopping.signal.aborted) return;
      const again = await restart(reason, Date.now() - since >= HEALTHY_MS);
      if (again === undefined) return;
      part = again;
    }
  }

  let pauseMs = FIRST_PAUSE_MS;
  async function restart(reason: string, wasHealthy: boolean): Promise<RunningPart | undefined> {
    if (wasHealthy) pauseMs = FIRST_PAUSE_MS;
    let why = `${name} ended (${reason})`;
    while (!stopping.signal.aborted) {
      say(`${why}: starting it again in ${pauseMs / 1000} s`);
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined); // stopping ends the pause
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      if (stopping.signal.aborted) break;
      try {
        const part = await startOnce();
        say(`${name} is back (pid ${part.pid})`);
        return part;
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
    }
    return undefined;
  }

  async function end(): Promise<void> {
    stopping.abort();
    await attempt?.catch(() => undefined); // its caller has the reason
    const outcome = await current?.stop(stopLimitMs);
    if (outcome === 'killed') say(`${name} did not end within ${stopLimitMs / 1000} s and was killed`);
    await keeping;
  }

  return {
    name,
    async start() {
      const part = await startOnce();
      keeping = keep(part);
      return part;
    },
    stop: () => (stopped ??= end()),
    kill: () => {
      stopping.abort();
      current?.kill();
    },
  };
}
