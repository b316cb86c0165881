import type { Held, PrunedTable, PrunedViews } from '../domain/maintenance.ts';
import { BATCH_ROWS, inBatches } from '../infra/batches.ts';
import { type Databases, type SqlTransaction, TRANSACTION } from '../infra/databases.ts';
import { expectRow, safeNumber } from '../infra/rows.ts';
import { Prisma } from '../prisma/views/generated/client.ts';
import { lockView } from './apply.ts';
import { takeTime } from './compare.ts';
import { VIEW_NAMES, type ViewName } from './view.ts';

export type PruneInboxOptions = Readonly<{
  /** For how many days the bus keeps events. */
  busDays: number;
  /** Only say what would go. */
  dryRun: boolean;
  signal: AbortSignal;
  /** Told each time that something has gone. */
  onPruned: (table: string, rows: number) => void;
  batchRows?: number;
  pauseMs?: number;
}>;

/** The bus's log goes by whole months, so an event may be there for a month longer than it must. */
const MONTH_DAYS = 32;

/**
 * Forgets events that views have applied so long ago that the bus has them no more: whatever comes again nevertheless
 * changes nothing, because every write of a view is guarded by the version of its source. A view that is being rebuilt
 * is left alone. Repeat-safe; a kill loses nothing.
 *
 * @throws what the database throws, and the signal's reason; what has gone by then has gone
 */
export async function pruneInboxes(
  { views }: Pick<Databases, 'views'>,
  options: PruneInboxOptions,
): Promise<PrunedViews> {
  const [tables, held]: [PrunedTable[], Held[]] = [[], []];
  for (const view of VIEW_NAMES) {
    const table = inboxNamed(view);
    const old = await countOld(views, view, options);
    if (options.dryRun || old === 0) {
      if (old > 0) tables.push({ table, rows: old });
      continue;
    }
    const { rows, rebuilding } = await pruneInbox(views, view, options);
    if (rows > 0) tables.push({ table, rows });
    if (rebuilding) held.push(heldByRebuild(view));
  }
  return { tables, held, readingLog: await viewsReadingLog(views) };
}

type Db = Databases['views'];

async function pruneInbox(
  views: Db,
  view: ViewName,
  { signal, onPruned, busDays, batchRows = BATCH_ROWS, ...how }: PruneInboxOptions,
): Promise<Readonly<{ rows: number; rebuilding: boolean }>> {
  let [rows, rebuilding] = [0, false];
  const batch = () =>
    views.$transaction(async (tx) => {
      await lockView(tx, view, 'shared'); // no rebuild begins or ends meanwhile
      rebuilding = await isRebuilding(tx, view);
      return rebuilding ? 0 : forget(tx, view, busDays, batchRows);
    }, TRANSACTION);
  const onRows = (count: number): void => {
    rows += count;
    onPruned(inboxNamed(view), count);
  };
  await inBatches(batch, { signal, onRows, ...(how.pauseMs !== undefined && { pauseMs: how.pauseMs }) });
  return { rows, rebuilding };
}

/** How many were forgotten is kept: a rebuild from files must bring at least as many that the live view does not know. */
async function forget(tx: SqlTransaction, view: ViewName, busDays: number, most: number): Promise<number> {
  const inbox = Prisma.raw(inboxNamed(view));
  const rows = await tx.$executeRaw`
    delete from ${inbox} where view = ${view} and event_id in (
      select event_id from ${inbox} where ${isOld(busDays)} order by applied_at limit ${most})`;
  if (rows > 0)
    await tx.$executeRaw`update projection_progress set forgotten = forgotten + ${rows} where view = ${view}`;
  return rows;
}

/** Of a dry run all of them; else only whether there are any: to count them takes longer than a statement may. */
async function countOld(views: Db, view: ViewName, { busDays, dryRun }: PruneInboxOptions): Promise<number> {
  const rows = await views.$transaction(async (tx) => {
    if (dryRun) await takeTime(tx);
    return tx.$queryRaw<{ n: bigint }[]>`
      select count(*) as n from (
        select from ${Prisma.raw(inboxNamed(view))} where ${isOld(busDays)}
        order by applied_at limit ${dryRun ? null : 1}::bigint
      ) as old`;
  }, COUNTING);
  return safeNumber(expectRow(rows).n);
}

const COUNTING = { ...TRANSACTION, timeout: 10 * 60_000 } as const;

const isOld = (busDays: number) => Prisma.sql`applied_at < now() - make_interval(days => ${busDays + MONTH_DAYS}::int)`;

async function isRebuilding(tx: SqlTransaction, view: ViewName): Promise<boolean> {
  const rows = await tx.$queryRaw<unknown[]>`select from projection_rebuilds where view = ${view}`;
  return rows.length > 0;
}

/** Files are read together with what came after them, from the log. */
async function viewsReadingLog(db: SqlTransaction): Promise<string[]> {
  const rows = await db.$queryRaw<{ view: string }[]>`
    select view from projection_rebuilds where source in ('log', 'files') order by view`;
  return rows.map(({ view }) => view);
}

const inboxNamed = (view: ViewName): string => `projection_inbox_${view}`;

const heldByRebuild = (view: ViewName): Held => ({
  table: inboxNamed(view),
  why: `${view} is being rebuilt`,
  fix: `wait, or go on with it: npm run views:rebuild -- ${view}`,
});
