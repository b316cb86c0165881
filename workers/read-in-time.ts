import { setTimeout as sleep } from 'node:timers/promises';

/** A database that does not answer must not keep the numbers of the others from whoever asks. Milliseconds. */
const READ_LIMIT_MS = 2_000;

/**
 * What `read` reads, for a metric.
 *
 * @throws what `read` throws, and when it has no answer within two seconds
 */
export function readInTime<T>(read: () => Promise<T>): Promise<T> {
  const late = sleep(READ_LIMIT_MS, undefined, { ref: false }).then(() => {
    throw new Error(`no answer within ${READ_LIMIT_MS} ms`);
  });
  return Promise.race([read(), late]);
}
