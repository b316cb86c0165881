/** Input of the workflow `maintenance`. `dryRun`: only say what would go. */
export type MaintenanceInput = Readonly<{ dryRun: boolean }>;

/** Rows that were taken out of a table, or of a dry run: that would be. Of months of the bus's log about as many. */
export type PrunedTable = Readonly<{ table: string; rows: number }>;

/** What stays although it is old enough, why, and what a person can do about it. */
export type Held = Readonly<{ table: string; why: string; fix: string }>;

/** What upkeep of one database came to. */
export type Pruned = Readonly<{ tables: readonly PrunedTable[]; held: readonly Held[] }>;

/** What each look of one database is asked. */
export type PruneInput = Readonly<{ dryRun: boolean }>;

/** Of `db_event_bus`: the views whose rebuild reads the log now, so that nothing may be taken from it. */
export type PruneLogInput = PruneInput & Readonly<{ readBy: readonly string[] }>;

/** Of `db_materialized_view`. `readingLog`: views that are being rebuilt from the log, or from files and the log. */
export type PrunedViews = Pruned & Readonly<{ readingLog: readonly string[] }>;

export const PRUNED_DATABASES = ['db_materialized_view', 'db_event_bus', 'db_payment'] as const;
export type PrunedDatabase = (typeof PRUNED_DATABASES)[number];

/** A database that could not be looked after in this run. */
export type NotPruned = Readonly<{ database: PrunedDatabase; reason: string }>;

/** What a run came to. */
export type MaintenanceResult = Pruned & Readonly<{ dryRun: boolean; unreachable: readonly NotPruned[] }>;
