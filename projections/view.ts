import type { EventType } from '../events/catalogue.ts';
import type { ReadEvent } from '../events/read-event.ts';
import type { SqlTransaction } from '../infra/databases.ts';

export const VIEW_NAMES = ['users', 'products', 'orders', 'payments', 'sales'] as const;
export type ViewName = (typeof VIEW_NAMES)[number];

export type ViewSettings = Readonly<{
  /** IANA name of the shop's time zone: where its days begin. */
  timeZone: string;
}>;

/**
 * A read view: tables of `db_materialized_view` that are built from events alone (source document 4). Its SQL names its
 * tables without a schema, because a rebuild runs it on their twins in the schema `shadow`, and touches no other tables.
 */
export type View = Readonly<{
  name: ViewName;
  /** Events of other types are none of its business. */
  takes: readonly EventType[];
  /**
   * Writes what the events say: upserts of facts, each guarded by the version of its source aggregate, and sums that change
   * by what the contribution rows of the batch change, under a lock; rows in the order of their keys. Events may come late, twice or in any
   * order across aggregates, and others may apply events of other aggregates at the same time.
   */
  apply: (tx: SqlTransaction, events: readonly ReadEvent[], settings: ViewSettings) => Promise<void>;
}>;

/** The group of the bus that feeds a view. */
export const groupOf = (view: ViewName): string => `view-${view}`;
