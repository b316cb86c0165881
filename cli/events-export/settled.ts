import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

/** Between two looks whether a transaction has ended, milliseconds. */
const LOOK_MS = 50;

/** Thrown when a transaction stays open for so long that nobody can say what it will still write. */
export class StillOpen extends Error {}

/**
 * The highest id below which nothing can appear any more. Ids are given before the commit, so that a row with a lower id
 * may become visible after one with a higher id: who reads up to what is visible skips it for ever. Every transaction that
 * may have been given a lower id holds a lock on the table; this waits until those have ended, and for no others.
 *
 * @param limitMs how long it waits, milliseconds
 * @returns 0 for an outbox without events
 * @throws StillOpen
 */
export async function settledId(client: pg.Client, limitMs: number): Promise<bigint> {
  const { rows } = await client.query<{ highest: string | null }>('select max(id)::text as highest from outbox');
  const highest = BigInt(rows[0]?.highest ?? 0);
  let writers = await writersOf(client);
  for (const deadline = Date.now() + limitMs; writers.length > 0;) {
    if (Date.now() > deadline) {
      throw new StillOpen(
        `a transaction that may have written events is open for more than ${limitMs / 1_000} s; try again when it has ended`,
      );
    }
    await sleep(LOOK_MS);
    const now = new Set(await writersOf(client));
    writers = writers.filter((writer) => now.has(writer));
  }
  return highest;
}

/** Transactions that have written to the outbox, or may at this moment. An id of these is used once. */
async function writersOf(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ writer: string }>(
    `select distinct virtualtransaction as writer from pg_locks
     where locktype = 'relation' and relation = 'outbox'::regclass and mode = 'RowExclusiveLock' and granted
       and database = (select oid from pg_database where datname = current_database())`,
  );
  return rows.map(({ writer }) => writer);
}
