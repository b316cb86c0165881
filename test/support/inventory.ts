import {
  type InventoryActivities,
  inventoryActivities,
  type InventoryDeps,
  type Limits,
} from '../../activities/inventory/activities.ts';
import type { InventoryReturnActivities } from '../../activities/inventory/contract.ts';
import { inventoryReturnActivities } from '../../activities/inventory/return-activities.ts';
import { type Databases, openPlatform } from '../../infra/databases.ts';
import { freshDatabases, query } from './databases.ts';
import type { Item } from './shop.ts';

export const GENEROUS: Limits = { maxOpenCheckouts: 1_000, maxUnitsPerProduct: 1_000_000 };
/** How long a reservation waits for its payment where a test does not care, milliseconds. */
export const HOLD_MS: InventoryDeps['holdMs'] = { card: 60_000, bank_transfer: 60_000 };

export type InventoryService = Readonly<{
  platform: Databases['platform'];
  activities: InventoryActivities;
  returns: InventoryReturnActivities;
  /** The same service with other limits, and other holds. */
  limitedTo: (limits: Partial<Limits>, holdMs?: Partial<InventoryDeps['holdMs']>) => InventoryActivities;
  /** Of the service's own role. */
  url: string;
  adminUrl: string;
  close: () => Promise<void>;
}>;

/** The steps of the inventory service on a database of their own, with the rights that they have in production. */
export async function openInventory(poolSize = 10): Promise<InventoryService> {
  const databases = await freshDatabases();
  const platform = openPlatform(databases.urls.platform, { poolSize });
  const limitedTo: InventoryService['limitedTo'] = (limits, holdMs = {}) =>
    inventoryActivities({ platform, limits: { ...GENEROUS, ...limits }, holdMs: { ...HOLD_MS, ...holdMs } });
  return {
    platform,
    activities: limitedTo({}),
    returns: inventoryReturnActivities({ platform }),
    limitedTo,
    url: databases.urls.platform,
    adminUrl: databases.adminUrl('platform'),
    close: async () => {
      await platform.$disconnect();
      await databases.drop();
    },
  };
}

/** The snapshot of an item as a row without its ids. */
export async function stockOf(adminUrl: string, { productId, variantId, locationCode }: Item) {
  const [row] = await query<{ available: number; reserved: number; status: string; version: number }>(
    adminUrl,
    `select available_quantity as available, reserved_quantity as reserved, stock_status as status,
       version::integer as version
     from inventory_snapshots
     where product_id = $1 and variant_id is not distinct from $2 and location_code = $3`,
    [productId, variantId, locationCode],
  );
  return row;
}

/** Snapshots that are not the fold of their ledger, and orders whose header and reservations disagree: none. */
export async function brokenStock(adminUrl: string): Promise<Record<string, unknown>[]> {
  return query(
    adminUrl,
    `select 'snapshot ' || s.id as broken from inventory_snapshots s
     left join lateral (
       select coalesce(sum(quantity_change), 0) as available, coalesce(sum(reserved_change), 0) as reserved,
         count(*) as version, coalesce(max(aggregate_version), 0) as last
       from inventory_events e
       where e.product_id = s.product_id and e.variant_id is not distinct from s.variant_id
         and e.location_code = s.location_code) f on true
     where (s.available_quantity, s.reserved_quantity, s.version, s.version) is distinct from
       (f.available, f.reserved, f.version, f.last)
     union all
     select 'reservations of ' || o.order_id from inventory_orders o
     join inventory_reservations r using (order_id)
     where r.state is distinct from o.state`,
  );
}
