import { setTimeout as sleep } from 'node:timers/promises';

import type { Logger } from '../infra/log.ts';
import { ensureSearchAttributes, type TemporalClient } from '../infra/temporal.ts';
import { ensureSchedule, type WantedSchedule } from '../infra/temporal-schedule.ts';

/** What our workflows need of a namespace. */
export type TemporalNeeds = Readonly<{
  attributes: Parameters<typeof ensureSearchAttributes>[1];
  schedules: readonly WantedSchedule[];
  log: Logger;
  /** Pause between two looks whether it is still there, milliseconds. */
  everyMs?: number;
}>;

export type Keeper = Readonly<{ stop: () => Promise<void> }>;

const EVERY_MS = 60_000;
const CALL_LIMIT_MS = 5_000;

/**
 * Makes search attributes and the Schedules, and until it is stopped makes them again when they are gone: a Temporal that
 * lost its data must not wait for a restart of the workers to be looked after. Several workers do no harm. What the
 * server refuses for good is asked for once; an outage later on is waited out.
 *
 * @throws ServiceError or GrpcServiceError when the server cannot be asked at the start
 */
export async function keepTemporalPrepared(temporal: TemporalClient, needs: TemporalNeeds): Promise<Keeper> {
  const { attributes, schedules, log, everyMs = EVERY_MS } = needs;
  const mayAttributes = await ensureSearchAttributes(temporal, attributes, log);
  const ours: WantedSchedule[] = [];
  for (const schedule of schedules) if (await ensureSchedule(temporal, schedule, log)) ours.push(schedule);
  const stopping = new AbortController();
  const { signal } = stopping;

  const again = async (): Promise<void> => {
    if (mayAttributes) await ensureSearchAttributes(temporal, attributes, log);
    // What differs is left alone: during a roll-out the workers of two versions would correct each other for ever.
    for (const schedule of ours) await ensureSchedule(temporal, schedule, log, { correct: false });
  };
  // Each time a signal of its own: the client leaves a listener on it for every call, for good.
  const limited = () =>
    temporal.connection.withAbortSignal(AbortSignal.any([signal]), () =>
      temporal.connection.withDeadline(Date.now() + CALL_LIMIT_MS, again),
    );
  const keeping = keep(limited, { everyMs, log, signal });
  return {
    async stop() {
      stopping.abort();
      await keeping;
    },
  };
}

type Keeping = Readonly<{ everyMs: number; log: Logger; signal: AbortSignal }>;

async function keep(again: () => Promise<void>, { everyMs, log, signal }: Keeping): Promise<void> {
  let isFailing = false;
  while (await paused(everyMs, signal)) {
    try {
      await again();
      if (isFailing) log.info("Temporal's search attributes and Schedules are looked after again");
      isFailing = false;
    } catch (error) {
      if (signal.aborted) return;
      if (!isFailing)
        log.warn({ err: error }, "Temporal's search attributes and Schedules: trying again until it works");
      isFailing = true;
    }
  }
}

/** @returns false when it was stopped */
async function paused(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
