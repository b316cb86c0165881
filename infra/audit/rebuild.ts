import pg from 'pg';

import { cannotRead, withSnapshots } from './snapshot.ts';
import { countStock, snapshotsThatAreNotTheFold, type StockDifference } from './stock.ts';

export type RebuildOptions = Readonly<{
  /** False: only look. */
  apply: boolean;
  /** Told about every difference, once. */
  found?: (difference: StockDifference) => void;
  say?: (what: string) => void;
}>;

export type Rebuilt = Readonly<{
  snapshots: number;
  events: number;
  /** Snapshots that differ from the fold of a sound ledger. */
  repairable: readonly StockDifference[];
  /** Stock whose ledger lacks versions, or folds to less than nothing: reported, never repaired. */
  damagedLedgers: readonly StockDifference[];
  /** Aggregates whose snapshot was written. */
  repaired: readonly string[];
}>;

/** Differences that are read at once. */
const ROUND = 10_000;
/** Locked at once: a live checkout never waits for more than this many folds. */
const BATCH = 20;
const CONNECTION_LIMIT_MS = 5_000;
const STATEMENT_LIMIT_MS = 60_000;
/** Shorter than a checkout's own: the repair gives way. */
const LOCK_LIMIT_MS = 3_000;
const ATTEMPTS = 5;

/**
 * Folds the stock ledger and compares it with the snapshots; with `apply` it makes the snapshots what the ledger says.
 * Safe beside live checkouts: each batch locks its snapshots in id order, as they do, and folds once more under the
 * lock. Repeat-safe: a second run finds nothing.
 *
 * @throws CannotLook when the platform's database cannot be reached
 */
export async function rebuildInventory(url: string, options: RebuildOptions): Promise<Rebuilt> {
  const { apply, found = () => undefined, say = () => undefined } = options;
  const seen = new Map<string, StockDifference>();
  const repaired: string[] = [];
  for (;;) {
    const { snapshots, events, differences } = await compare(url, say);
    for (const difference of differences) {
      if (!seen.has(difference.aggregateId)) found(difference);
      seen.set(difference.aggregateId, difference);
    }
    const due = differences.filter((difference) => !isLedgerDamaged(difference));
    const now = apply ? await repair(url, due, say) : [];
    repaired.push(...now);
    // One round reads a bounded number of differences; the next one finds what it left.
    if (now.length > 0 && differences.length === ROUND) continue;

    const all = [...seen.values()];
    const repairable = all.filter((difference) => !isLedgerDamaged(difference));
    return { snapshots, events, repairable, damagedLedgers: all.filter(isLedgerDamaged), repaired };
  }
}

/** A fold below zero fits no snapshot: something is missing from the ledger although no version is. */
export const isLedgerDamaged = ({ ledgerDamaged, fold }: StockDifference): boolean =>
  ledgerDamaged || fold.available < 0 || fold.reserved < 0;

async function compare(url: string, say: (what: string) => void) {
  return withSnapshots({ platform: url, order: '', payment: '' }, ['platform'], async ({ platform }) => {
    const counts = await countStock(platform);
    say(`folding ${counts.events} rows of the ledger for ${counts.snapshots} snapshots`);
    return { ...counts, differences: await snapshotsThatAreNotTheFold(platform, null, ROUND) };
  });
}

async function repair(
  url: string,
  differences: readonly StockDifference[],
  say: (what: string) => void,
): Promise<string[]> {
  const repaired: string[] = [];
  if (differences.length === 0) return repaired;
  const client = new pg.Client({
    ...{ connectionString: url, connectionTimeoutMillis: CONNECTION_LIMIT_MS, keepAlive: true },
    ...{ application_name: 'commerce-saga inventory:rebuild', statement_timeout: STATEMENT_LIMIT_MS },
    ...{ lock_timeout: LOCK_LIMIT_MS },
  });
  client.on('error', () => undefined); // the statement that meets the lost connection says so
  // In the order of their snapshots, so that batches lock as checkouts do; the missing ones have no lock yet.
  const inOrder = [...differences].sort((a, b) => Number(a.snapshot?.id ?? 0) - Number(b.snapshot?.id ?? 0));
  try {
    await client.connect();
    for (let start = 0; start < inOrder.length; start += BATCH) {
      const batch = inOrder.slice(start, start + BATCH);
      repaired.push(...(await repairBatch(client, batch)));
      say(`${repaired.length} of ${inOrder.length} snapshots repaired`);
    }
  } catch (error) {
    throw cannotRead('platform', url, error);
  } finally {
    await client.end();
  }
  return repaired;
}

/** One transaction. A lock that is not given in time is asked for again: somebody else's work goes first. */
async function repairBatch(client: pg.Client, batch: readonly StockDifference[]): Promise<string[]> {
  const keys = JSON.stringify(batch);
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query('begin isolation level read committed');
      await createMissing(client, keys);
      await lockSnapshots(client, keys);
      const repaired = await setToFold(client, keys);
      await client.query('commit');
      return repaired;
    } catch (error) {
      await client.query('rollback');
      const busy = error instanceof pg.DatabaseError && (error.code === LOCK_NOT_AVAILABLE || error.code === DEADLOCK);
      if (!busy || attempt === ATTEMPTS) throw error;
    }
  }
}

const LOCK_NOT_AVAILABLE = '55P03';
const DEADLOCK = '40P01';

/** The rows of stock of one batch, as a table; `matching` finds the snapshot of each by its unique index. */
const keyed = `jsonb_to_recordset($1::jsonb)
  as k("aggregateId" text, "productId" bigint, "variantId" bigint, "locationCode" text)`;
const matching = `s.product_id = k."productId" and s.variant_id is not distinct from k."variantId"
  and s.location_code = k."locationCode"`;

/**
 * Makes the rows that the ledger knows and that are gone, at version 0, to be filled under the lock. The low-stock
 * threshold is not in the ledger: it is the one of the last event that told it.
 */
const createMissing = (client: pg.Client, keys: string) =>
  client.query(
    `insert into inventory_snapshots (product_id, variant_id, location_code, low_stock_threshold)
     select k."productId", k."variantId", k."locationCode", coalesce((
       select (o.envelope #>> '{data,lowStockThreshold}')::integer from outbox o
       where o.aggregate_type = 'inventory' and o.aggregate_id = k."aggregateId"
       order by o.aggregate_version desc limit 1), 10)
     from ${keyed}
     where not exists (select from inventory_snapshots s where ${matching})
     on conflict do nothing`,
    [keys],
  );

/** Everyone who moves stock locks its snapshot first, so the ledger of these stands still until the commit. */
const lockSnapshots = (client: pg.Client, keys: string) =>
  client.query(`select s.id from inventory_snapshots s join ${keyed} on ${matching} order by s.id for update of s`, [
    keys,
  ]);

/** Writes the fold as it is under the lock, where it still differs and the ledger is sound. */
async function setToFold(client: pg.Client, keys: string): Promise<string[]> {
  const { rows } = await client.query<{ aggregateId: string }>(
    `with due as (
       select s.id, k."aggregateId", f.*
       from ${keyed} join inventory_snapshots s on ${matching}
       cross join lateral (
         select coalesce(sum(quantity_change), 0) as available, coalesce(sum(reserved_change), 0) as reserved,
           coalesce(max(aggregate_version), 0) as version, count(*) as events
         from inventory_events where aggregate_id = k."aggregateId") f
       where f.events = f.version and f.available >= 0 and f.reserved >= 0
     )
     update inventory_snapshots s
     set available_quantity = d.available, reserved_quantity = d.reserved, version = d.version, last_updated_at = now()
     from due d
     where s.id = d.id and (s.available_quantity, s.reserved_quantity, s.version)
       is distinct from (d.available, d.reserved, d.version)
     returning d."aggregateId"`,
    [keys],
  );
  return rows.map(({ aggregateId }) => aggregateId);
}
