import { setTimeout as sleep } from 'node:timers/promises';

import type { Held, Pruned, PrunedTable } from '../../domain/maintenance.ts';
import { BATCH_ROWS, inBatches } from '../../infra/batches.ts';
import { sqlStateOf } from '../../infra/database-outage.ts';
import type { Databases } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';
import { positionsBehind, prepareMonths } from './embedded-tables.ts';

export type PruneLogOptions = Readonly<{
  /** What every group has read is kept for so many days. */
  keepDays: number;
  /** Only say what would go. */
  dryRun: boolean;
  /** Views that are being rebuilt from the log: while there are any, nothing goes. */
  readBy: readonly string[];
  signal: AbortSignal;
  /** Told each time that something has gone. */
  onPruned: (table: string, rows: number) => void;
  batchRows?: number;
  pauseMs?: number;
}>;

/** A month waits so often for whoever reads the log, a second each time, until it is left to the next run. */
const LOCK_ATTEMPTS = 5;
const LOCK_PAUSE_MS = 2_000;
/** A lock that is not free, a statement that waited too long, a circle of locks that somebody had to leave. */
const NOT_NOW = ['55P03', '57014', '40P01'];

/**
 * Makes the months of the log that will be needed, and takes off its beginning what is older than `keepDays` and was read
 * by every group: whole months, and rows where a month has no partition of its own. Its newest event stays. Groups that
 * have not read it are named with what to do. Repeat-safe; two at once take turns.
 *
 * @throws what the database throws, and the signal's reason; what has gone by then has gone
 */
export async function pruneLog({ bus }: Pick<Databases, 'bus'>, options: PruneLogOptions): Promise<Pruned> {
  const { keepDays, dryRun, readBy } = options;
  const monthsAreMade = dryRun || (await notInTheWay(() => made(bus), options)) !== undefined;
  const before = await dueParts(bus, keepDays);
  if (readBy.length > 0) return { tables: [], held: before.length > 0 ? [heldByRebuilds(readBy)] : [] };
  if (dryRun) return { tables: await readParts(bus, before, options), held: await heldByGroups(bus, before) };

  const pruned = new Map<string, number>();
  const onPruned = (table: string, rows: number): void => {
    pruned.set(table, (pruned.get(table) ?? 0) + rows);
    options.onPruned(table, rows);
  };
  const isBusy = await pruneParts(bus, { ...options, onPruned });
  const left = await dueParts(bus, keepDays);
  const held = [...(await heldByGroups(bus, left)), ...(isBusy ? heldByReaders(left) : [])];
  if (!monthsAreMade) held.push(MONTHS_NOT_MADE);
  return { tables: [...pruned].map(([table, rows]) => ({ table, rows })), held };
}

type Db = Databases['bus'];

async function made(bus: Db): Promise<true> {
  await prepareMonths(bus);
  return true;
}

type DuePart = Readonly<{ part: string; first: bigint | null; events: bigint; unreadBy: readonly string[] }>;

/** What is old enough, oldest first; of the default partition no number is known. */
const dueParts = (bus: Db, keepDays: number) => bus.$queryRaw<DuePart[]>`
  select part, first, events, unread_by as "unreadBy" from event_log_due(make_interval(days => ${keepDays}::int))
  order by coalesce(first, 0), part`;

/** @returns true when somebody reads the log for so long that the rest is left to the next run */
async function pruneParts(bus: Db, { keepDays, signal, onPruned, ...how }: PruneLogOptions): Promise<boolean> {
  let isBusy = false;
  const prune = () => bus.$queryRaw<{ part: string | null; removed: bigint }[]>`
    select part, removed
    from prune_event_log(make_interval(days => ${keepDays}::int), ${how.batchRows ?? BATCH_ROWS}::int)`;
  const step = async (): Promise<number> => {
    const rows = await notInTheWay(prune, { signal, ...how });
    isBusy = rows === undefined;
    const { part = null, removed = 0n } = rows?.[0] ?? {};
    if (part === null) return 0;
    onPruned(part, safeNumber(removed));
    return 1;
  };
  const pause = how.pauseMs === undefined ? {} : { pauseMs: how.pauseMs };
  await inBatches(step, { signal, onRows: () => undefined, ...pause });
  return isBusy;
}

/** Tries what needs the log for itself for a moment. @returns undefined when somebody else had it for too long */
async function notInTheWay<T>(
  work: () => Promise<T>,
  { signal, pauseMs = LOCK_PAUSE_MS }: Pick<PruneLogOptions, 'signal' | 'pauseMs'>,
): Promise<T | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!NOT_NOW.includes(sqlStateOf(error) ?? '')) throw error;
      if (attempt === LOCK_ATTEMPTS) return undefined;
    }
    await sleep(pauseMs, undefined, { signal });
  }
}

/** What a dry run finds that every group has read. */
async function readParts(bus: Db, due: readonly DuePart[], { keepDays }: PruneLogOptions): Promise<PrunedTable[]> {
  const firstUnread = due.findIndex(({ unreadBy }) => unreadBy.length > 0);
  const parts = firstUnread < 0 ? due : due.slice(0, firstUnread);
  const tables: PrunedTable[] = [];
  for (const { part, first, events } of parts) {
    const isDefault = first !== null && events === 0n;
    const rows = isDefault ? await countDefault(bus, keepDays) : safeNumber(events);
    tables.push({ table: part, rows });
  }
  return tables;
}

async function countDefault(bus: Db, keepDays: number): Promise<number> {
  const [row] = await bus.$queryRaw<{ n: bigint }[]>`
    select count(*) as n from event_log_default
    where appended_at < now() - make_interval(days => ${keepDays}::int)
      and position <= (select min(position) from group_offsets)`;
  return safeNumber(row?.n ?? 0n);
}

const heldByRebuilds = (views: readonly string[]): Held => ({
  table: 'event_log',
  why: `${views.join(', ')} ${views.length === 1 ? 'is' : 'are'} being rebuilt from it`,
  fix: `wait, or go on with it, or begin it anew by --restart: npm run views:rebuild -- ${views.join(' ')}`,
});

const MONTHS_NOT_MADE: Held = {
  table: 'event_log_default',
  why: 'the months that will be needed were not made: somebody reads the log for a long time, such as an audit',
  fix: 'none is needed: relays make them too, every hour, and the next run does',
};

const heldByReaders = (left: readonly DuePart[]): Held[] =>
  left.slice(0, 1).map(({ part }) => ({
    table: part,
    why: 'somebody reads the log for a long time, such as an audit',
    fix: 'none is needed: the next run takes it',
  }));

type Group = Readonly<{ name: string; since: string; isRead: boolean }>;

/** A group that nobody runs any more would keep the log for ever, so each is named. */
async function heldByGroups(bus: Db, due: readonly DuePart[]): Promise<Held[]> {
  const [oldest] = due.filter(({ unreadBy }) => unreadBy.length > 0);
  if (oldest === undefined) return [];
  const groups = await bus.$queryRaw<Group[]>`
    select group_name as name, to_char(updated_at at time zone 'utc', 'YYYY-MM-DD HH24:MI "UTC"') as since,
      coalesce(until > now(), false) as "isRead"
    from group_offsets where group_name = any(${oldest.unreadBy}::text[]) order by 1`;
  if (groups.length === 0) {
    const fix = 'start the consumers: npm run events';
    return [{ table: oldest.part, why: 'no group has ever read the log', fix }];
  }
  return Promise.all(groups.map((group) => heldByGroup(bus, oldest.part, group)));
}

async function heldByGroup(bus: Db, table: string, { name, since, isRead }: Group): Promise<Held> {
  const why = `group ${name} has not read it: ${await positionsBehind(bus, name)} events behind`;
  if (isRead) return { table, why, fix: 'none is needed once its consumer has caught up' };
  const start = `start its consumer${name.startsWith('view-') ? ' (npm run events)' : ''}`;
  // A group that begins again finds a log without its beginning.
  const again = name.startsWith('view-')
    ? `, and rebuild it before it is read again: npm run views:rebuild -- ${name.slice(5)}`
    : '';
  return {
    table,
    why: `${why}, and nobody has read for it since ${since}`,
    fix: `${start}; or, if nobody runs it any more, forget it in db_event_bus: delete from group_offsets where group_name = '${name.replaceAll("'", "''")}'${again}`,
  };
}
