import { EVENT_TYPES, type EventData, type EventType } from '../../events/catalogue.ts';
import { shopEvent } from '../../events/outbox.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { query } from './databases.ts';

/**
 * An event as it comes off the bus.
 *
 * @param time ISO 8601, UTC: the database's clock of the transaction that made it
 */
export function storedEvent<T extends EventType>(
  type: T,
  subject: string,
  version: number,
  time: string,
  data: EventData<T>,
): StoredEvent {
  const event = shopEvent(type, subject, version, 'test', data);
  return {
    id: event.id,
    type,
    source: EVENT_TYPES[type].source,
    aggregateType: event.aggregateType,
    aggregateId: subject,
    aggregateVersion: version,
    envelope: { ...event, time },
  };
}

/** A row of a view, as JSON, without the instant at which it was written. */
export type ViewRow = Readonly<Record<string, unknown>>;

/** The tables of the views; their inboxes are not among them. */
export const VIEW_TABLES = [
  ...['mv_users', 'mv_user_orders', 'mv_user_totals', 'mv_products', 'mv_product_stock', 'mv_product_purchases'],
  ...['mv_orders', 'mv_payments', 'mv_order_sales', 'mv_daily_sales'],
] as const;

/** Empties the views, as before the first event. Needs the superuser. */
export const emptyViews = (adminUrl: string) =>
  query(adminUrl, `truncate ${VIEW_TABLES.join(', ')}, projection_inbox, projection_offsets`);

/** All rows of tables by name, without the instants at which they were written, in an order that does not change. */
export async function rowsOf(url: string, tables: readonly string[] = VIEW_TABLES): Promise<Record<string, ViewRow[]>> {
  const entries = tables.map(async (table) => {
    const rows = await query<{ row: ViewRow }>(
      url,
      `select to_jsonb(t) - 'synced_at' as row from ${table} t order by to_jsonb(t) - 'synced_at'`,
    );
    return [table, rows.map(({ row }) => row)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
