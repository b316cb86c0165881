import { setTimeout as sleep } from 'node:timers/promises';

export type BatchOptions = Readonly<{
  /** Aborted: the batch in hand is finished, and its reason is thrown. */
  signal: AbortSignal;
  /** Told after each batch how many rows it took. */
  onRows: (rows: number) => void;
  /** Between two batches, so that others get their turn; milliseconds. */
  pauseMs?: number;
}>;

/** Rows deleted in one transaction: so many take a fraction of a second. */
export const BATCH_ROWS = 5_000;
const PAUSE_MS = 100;

/**
 * Repeats a batch until it finds nothing more. Each stands by itself: a kill loses none, and whoever runs it again goes on.
 *
 * @throws what a batch throws, and the signal's reason
 */
export async function inBatches(
  batch: () => Promise<number>,
  { signal, onRows, pauseMs = PAUSE_MS }: BatchOptions,
): Promise<void> {
  for (let rows = 1; rows > 0;) {
    signal.throwIfAborted();
    rows = await batch();
    if (rows === 0) return;
    onRows(rows);
    await sleep(pauseMs, undefined, { signal });
  }
}
