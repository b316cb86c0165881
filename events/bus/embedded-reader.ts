import type { Databases } from '../../infra/databases.ts';
import type { Alarm } from '../wake-up.ts';
import type { SubscribeOptions } from './bus.ts';
import type { Consumer } from './consume.ts';
import { advance, type Holder, readLog, releaseLease, renewLease, takeLease } from './embedded-tables.ts';

export type ReaderDeps = Readonly<{
  bus: Databases['bus'];
  lease: Holder;
  /** A consumer that begins nothing more once the signal is aborted. */
  consumerWhile: (stopping: AbortSignal) => Consumer;
  alarm: Alarm;
  stopping: AbortSignal;
  /** Pause between two looks when nobody wakes us, milliseconds. */
  pollMs: number;
}> &
  Required<Pick<SubscribeOptions, 'batchSize' | 'onError'>>;

const LONGEST_BACK_OFF_MS = 10_000;

/** Reads the log for a group while it is this one's turn, until it is stopped. Outages are waited out. */
export async function readForGroup(deps: ReaderDeps): Promise<void> {
  const { alarm, stopping, pollMs, onError } = deps;
  for (let failures = 0; !stopping.aborted;) {
    try {
      const position = await takeLease(deps.bus, deps.lease);
      if (position === undefined) await alarm.sleep(pollMs);
      else await readWhileOurs(deps, position);
      failures = 0;
    } catch (error) {
      onError(error);
      failures += 1;
      if (!stopping.aborted) await alarm.sleep(Math.min(pollMs * 2 ** failures, LONGEST_BACK_OFF_MS));
    }
  }
}

async function readWhileOurs(deps: ReaderDeps, from: bigint): Promise<void> {
  const { bus, lease, alarm, stopping, pollMs } = deps;
  const renewal = keepRenewing(deps);
  const over = AbortSignal.any([stopping, renewal.lost]);
  const consumer = deps.consumerWhile(over);
  try {
    let lookedForLetters = -Infinity;
    for (let position = from; !over.aborted;) {
      const entries = await readLog(bus, position, deps.batchSize);
      if (entries.length === 0 || performance.now() - lookedForLetters >= pollMs) {
        await consumer.redrive();
        lookedForLetters = performance.now();
      }
      if (entries.length === 0) {
        await alarm.sleep(pollMs);
        continue;
      }
      const done = await consumer.consume(
        entries.map((entry) => ({ place: `log:${entry.position}`, event: entry.event })),
      );
      const last = entries[done - 1];
      if (last === undefined) continue;
      // Another consumer that took over has had these events too: at least once.
      if (!(await advance(bus, lease, last.position))) return;
      position = last.position;
    }
  } finally {
    await renewal.stop();
    await releaseLease(bus, lease);
  }
}

/** Keeps the lease while the handler takes its time. */
function keepRenewing({ bus, lease, onError }: ReaderDeps): Readonly<{ lost: AbortSignal; stop: () => Promise<void> }> {
  const lost = new AbortController();
  let renewing: Promise<void> | undefined;
  const renew = async (): Promise<void> => {
    try {
      if (!(await renewLease(bus, lease))) lost.abort();
    } catch (error) {
      onError(error); // the next one is soon enough; should it not be, storing the position finds out
    }
    renewing = undefined;
  };
  const timer = setInterval(() => void (renewing ??= renew()), lease.leaseMs / 3);
  return {
    lost: lost.signal,
    async stop() {
      clearInterval(timer);
      await renewing;
    },
  };
}
