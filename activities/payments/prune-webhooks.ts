import type { Pruned, PruneInput } from '../../domain/maintenance.ts';
import { BATCH_ROWS, inBatches } from '../../infra/batches.ts';
import type { Databases } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

export type PruneWebhookDeps = Pick<Databases, 'payment'> &
  Readonly<{
    /** An event that was handled is kept for so many days. */
    keepDays: number;
    signal: () => AbortSignal;
    /** Told each time that something has gone: how many rows since the attempt began. */
    beat: (rows: number) => void;
    /** What earlier attempts of the same run had told. */
    before: () => number;
    /** Told what it came to, for the log. */
    onPruned: (dryRun: boolean, pruned: Pruned) => void;
    batchRows?: number;
    pauseMs?: number;
  }>;

/** Upkeep of `db_payment` (task queue `payments`). */
export const pruneWebhookActivities = (deps: PruneWebhookDeps) => ({
  /**
   * Deletes events of the provider that were handled so long ago that nobody repeats them. What has no outcome stays,
   * however old: it is open, or a person must look at it. One that comes again nevertheless is handled again, by asking
   * the gateway, and changes nothing. Repeat-safe; a kill loses nothing.
   */
  async pruneWebhooks({ dryRun }: PruneInput): Promise<Pruned> {
    const { payment, signal, beat, before, batchRows = BATCH_ROWS, pauseMs } = deps;
    let rows = dryRun ? await countOld(deps) : before();
    const onRows = (count: number): void => beat((rows += count));
    const options = { signal: signal(), onRows, ...(pauseMs !== undefined && { pauseMs }) };
    if (!dryRun) await inBatches(() => deleteOld(payment, deps.keepDays, batchRows), options);
    const pruned: Pruned = { tables: rows > 0 ? [{ table: 'payment_webhooks', rows }] : [], held: [] };
    deps.onPruned(dryRun, pruned);
    return pruned;
  },
});

export type PruneWebhookActivities = ReturnType<typeof pruneWebhookActivities>;

const deleteOld = (payment: Databases['payment'], keepDays: number, most: number) => payment.$executeRaw`
  delete from payment_webhooks
  where outcome is not null and (provider, event_id) in (
    select provider, event_id from payment_webhooks
    where outcome is not null and handled_at < now() - make_interval(days => ${keepDays}::int)
    order by handled_at limit ${most})`;

async function countOld({ payment, keepDays }: PruneWebhookDeps): Promise<number> {
  const [row] = await payment.$queryRaw<{ n: bigint }[]>`
    select count(*) as n from payment_webhooks
    where outcome is not null and handled_at < now() - make_interval(days => ${keepDays}::int)`;
  return safeNumber(row?.n ?? 0n);
}
