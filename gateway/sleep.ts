import { setTimeout as wait } from 'node:timers/promises';

/** Waits `ms` milliseconds, or until the signal aborts, whichever comes first. */
export async function sleep(ms: number, until: AbortSignal): Promise<void> {
  try {
    await wait(ms, undefined, { signal: until });
  } catch (error) {
    if (!until.aborted) throw error;
  }
}
