import { type OutboxDatabase, releaseLeases, renewLeases, takeLeases } from './relay-tables.ts';

/** Partitions that are ours for a while. */
export type HeldLeases = Readonly<{
  partitions: readonly number[];
  /**
   * Saves needless repeats; the order on the bus does not rest on it (relay-ready.ts).
   *
   * @throws LeaseLost when they may be somebody else's by now
   */
  check: () => void;
}>;

/** A relay was slower than its lease, and another one may have gone on with its partitions. Nothing is lost by it. */
export class LeaseLost extends Error {}

export type LeaseOptions = Readonly<{
  holder: string;
  /** Most partitions at a time. */
  limit: number;
  /** How long they are ours without being renewed, milliseconds. */
  ttlMs: number;
}>;

/**
 * Takes free partitions, works on them, and gives them back. They are renewed meanwhile, for as long as this process
 * runs: one that stands still loses them, and learns of it before it publishes anything more.
 *
 * @returns undefined when nothing waits in a partition that is free
 */
export async function withLeases<T>(
  db: OutboxDatabase,
  { holder, limit, ttlMs }: LeaseOptions,
  work: (held: HeldLeases) => Promise<T>,
): Promise<T | undefined> {
  // Our clock starts before the question, so that ours runs out before that of the database.
  let oursUntil = performance.now() + ttlMs;
  const partitions = await takeLeases(db, holder, limit, ttlMs);
  if (partitions.length === 0) return undefined;

  let renewal: Promise<void> = Promise.resolve();
  let failure: unknown;
  const renew = async (): Promise<void> => {
    const askedAt = performance.now();
    try {
      const ours = await renewLeases(db, holder, partitions, ttlMs);
      oursUntil = ours.length === partitions.length ? askedAt + ttlMs : 0;
    } catch (error) {
      failure = error; // told when the lease is over: until then the next renewal may succeed
    }
  };
  const timer = setInterval(() => {
    renewal = renewal.then(renew);
  }, ttlMs / 3);
  const giveBack = async (): Promise<void> => {
    clearInterval(timer);
    await renewal;
    await releaseLeases(db, holder, partitions);
  };

  let result: T;
  try {
    result = await work({
      partitions,
      check() {
        if (performance.now() < oursUntil) return;
        throw new LeaseLost(`${holder} no longer holds the partitions ${partitions.join(', ')}`, { cause: failure });
      },
    });
  } catch (error) {
    await giveBack().catch(() => undefined); // `error` is the reason; what is not given back expires
    throw error;
  }
  await giveBack();
  return result;
}
