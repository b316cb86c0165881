import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import type { Logger } from '../infra/log.ts';

/** A sleep that can be cut short. A wake-up that comes while nobody sleeps ends the next sleep at once. */
export class Alarm {
  #rung = false;
  #wake: () => void = () => undefined;

  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** @returns whether it was woken before the milliseconds were over */
  async sleep(ms: number): Promise<boolean> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = () => undefined;
    }
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}

export type Listener = Readonly<{ close: () => Promise<void> }>;

const CONNECT_LIMIT_MS = 5_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;
/** A server that stands still would never confirm that we leave. */
const LEAVE_LIMIT_MS = 1_000;

/**
 * Listens on a channel of a PostgreSQL database by a connection of its own, and connects again for as long as it takes.
 * Notifications are a hint and never the truth: while there is no connection they are lost, so whoever listens polls too.
 *
 * @param onWake called with the payload of every notification, and without one after each connect, for what was missed
 * @param onLost called when notifications stop coming, also when they never began
 */
export function listen(
  url: string,
  channel: string,
  onWake: (payload?: string) => void,
  log?: Logger,
  onLost: () => void = () => undefined,
): Listener {
  const stopping = new AbortController();
  const listening = keepListening({ url, channel, onWake, onLost }, stopping.signal, log);
  return {
    async close() {
      stopping.abort();
      await listening;
    },
  };
}

type Ear = Readonly<{ url: string; channel: string; onWake: (payload?: string) => void; onLost: () => void }>;

async function keepListening(
  { url, channel, onWake, onLost }: Ear,
  stopping: AbortSignal,
  log?: Logger,
): Promise<void> {
  let failures = 0;
  const tellLost = (error?: unknown): void => {
    if (failures === 0 && !stopping.aborted)
      log?.warn({ err: error, channel }, 'no notifications: doing without them meanwhile');
    failures += 1;
    onLost();
  };
  while (!stopping.aborted) {
    const client = new pg.Client({
      connectionString: url,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
    });
    client.on('error', () => undefined); // `ended` has it too; without a handler it would end the process
    const ended = once(client, 'end', { signal: stopping });
    ended.catch(() => undefined); // awaited below, or overtaken by a connect that fails
    try {
      await client.connect();
      client.on('notification', ({ payload }) => onWake(payload));
      await Promise.race([client.query(`listen ${client.escapeIdentifier(channel)}`), ended]);
      if (failures > 0) log?.info({ channel }, 'notifications come again');
      failures = 0;
      onWake();
      await ended;
      tellLost();
    } catch (error) {
      tellLost(error);
    }
    await Promise.race([client.end(), sleep(LEAVE_LIMIT_MS, undefined, { ref: false })]);
    if (!stopping.aborted) await pause(Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS), stopping);
  }
}

async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: stopping });
  } catch (error) {
    if (!stopping.aborted) throw error;
  }
}
