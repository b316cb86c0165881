import type { Pruned, PrunedTable, PrunedViews, PruneInput, PruneLogInput } from '../../domain/maintenance.ts';

/** Rows that have gone, by table. */
type Counts = Readonly<Record<string, number>>;

export type PruneHow<Input> = Input &
  Readonly<{ signal: AbortSignal; onPruned: (table: string, rows: number) => void }>;

export type PruneDeps = Readonly<{
  /** Forgets what views have applied long ago. */
  pruneInboxes: (how: PruneHow<PruneInput>) => Promise<PrunedViews>;
  /** Takes off the bus's log what is old and read. */
  pruneLog: (how: PruneHow<PruneLogInput>) => Promise<Pruned>;
  /** Aborted when the activity is cancelled, or its worker ends. */
  signal: () => AbortSignal;
  beat: (counts: Counts) => void;
  /** What earlier attempts of the same run had told; what the last one did after it told it is not counted. */
  before: () => Counts | undefined;
}>;

/** Well below the heartbeat time-out of the workflow, milliseconds. */
const BEAT_MS = 5_000;

/** Upkeep of the databases of views and bus (task queue `views`). Repeat-safe; a kill loses nothing. */
export const pruneActivities = (deps: PruneDeps) => ({
  /** Forgets events that views applied longer ago than the bus keeps them. */
  pruneViews: (input: PruneInput): Promise<PrunedViews> =>
    counted(deps, (how) => deps.pruneInboxes({ ...input, ...how })),

  /** Prepares the months of the bus's log, and takes off its beginning what is old and was read by all. */
  pruneBus: (input: PruneLogInput): Promise<Pruned> => counted(deps, (how) => deps.pruneLog({ ...input, ...how })),
});

export type PruneActivities = ReturnType<typeof pruneActivities>;

/** Adds what earlier attempts have taken away. */
async function counted<Result extends Pruned>(
  { signal, beat, before }: PruneDeps,
  prune: (how: PruneHow<unknown>) => Promise<Result>,
): Promise<Result> {
  const earlier = before() ?? {};
  const counts = new Map(Object.entries(earlier));
  const tell = (): void => beat(Object.fromEntries(counts));
  tell();
  const beating = setInterval(tell, BEAT_MS);
  try {
    const onPruned = (table: string, rows: number): void => {
      counts.set(table, (counts.get(table) ?? 0) + rows);
      tell();
    };
    const result = await prune({ signal: signal(), onPruned });
    return { ...result, tables: withEarlier(result.tables, earlier) };
  } finally {
    clearInterval(beating);
  }
}

function withEarlier(tables: readonly PrunedTable[], earlier: Counts): PrunedTable[] {
  const sums = new Map(Object.entries(earlier));
  for (const { table, rows } of tables) sums.set(table, (sums.get(table) ?? 0) + rows);
  return [...sums].map(([table, rows]) => ({ table, rows }));
}
