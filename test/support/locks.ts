import pg from 'pg';

import { query } from './databases.ts';
import { eventually } from './eventually.ts';

/** Below the lock time limit of a service, so that a test fails here with a reason. Milliseconds. */
const LIMIT_MS = 3_000;

export type HeldLock = Readonly<{
  /** Resolves when at least so many sessions of this database wait for a lock, this one or each other's. */
  untilWaiting: (sessions: number) => Promise<void>;
  /** Resolves when no session waits for a lock any more, at the latest because its own time limit was over. */
  untilNobodyWaits: () => Promise<void>;
  release: () => Promise<void>;
}>;

/** Above the lock time limit of a service. Milliseconds. */
const GIVES_UP_WITHIN_MS = 8_000;

/** Takes the locks of one statement and keeps them: whoever comes then stands still inside its transaction. */
export async function holdLock(adminUrl: string, text: string, values: unknown[]): Promise<HeldLock> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  await client.query('begin');
  const { rowCount } = await client.query(text, values);
  if (rowCount === 0) throw new Error('the statement locked nothing');
  return {
    untilWaiting: async (sessions) => {
      const enough = async () => ((await waiting(adminUrl)) >= sessions ? true : undefined);
      await eventually(`${sessions} sessions wait for a lock`, enough, LIMIT_MS);
    },
    untilNobodyWaits: async () => {
      const nobody = async () => ((await waiting(adminUrl)) === 0 ? true : undefined);
      await eventually('nobody waits for a lock', nobody, GIVES_UP_WITHIN_MS);
    },
    release: () => client.end(),
  };
}

async function waiting(adminUrl: string): Promise<number> {
  const rows = await query(
    adminUrl,
    `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return rows.length;
}
