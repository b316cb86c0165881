import type { CartLine } from '../../domain/checkout.ts';
import type { CatalogueEntry } from '../../domain/pricing.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { expectRow, safeNumber } from '../../infra/rows.ts';

export type CustomerLoad = Readonly<{
  active: boolean;
  openCheckouts: number;
  /** The largest number of units of one product that this customer would hold, this cart included. */
  mostUnits: number;
}>;

/**
 * Locks the customer until the transaction ends and counts what they hold, so that two checkouts of one customer
 * cannot both pass a limit. Counted from reservations that are neither paid nor given back and whose hold is not over:
 * one that the shopper let expire must not block the next try, however long its undo takes.
 */
export async function lockCustomer(
  tx: SqlTransaction,
  customerId: string,
  lines: readonly CartLine[],
): Promise<CustomerLoad> {
  await tx.$queryRaw`select pg_advisory_xact_lock(hashtextextended('customer:' || ${customerId}, 0))::text`;
  const rows = await tx.$queryRaw<{ active: boolean; open: number; units: number }[]>`
    with held as (
      select r.product_id, sum(r.quantity) as quantity
      from inventory_orders o
      join inventory_reservations r using (order_id)
      where o.user_id = ${customerId}::bigint and o.state = 'RESERVED' and o.expires_at > clock_timestamp()
      group by r.product_id
    ), asked as (
      -- Wider than any column: a quantity that fits none is refused, not an error that is retried for ever.
      select "productId"::bigint as product_id, sum(quantity) as quantity
      from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb) as l("productId" text, quantity double precision)
      group by 1
    )
    select
      exists (select from users where id = ${customerId}::bigint and status = 'ACTIVE') as active,
      (select count(*)::integer from inventory_orders
       where user_id = ${customerId}::bigint and state = 'RESERVED' and expires_at > clock_timestamp()) as open,
      (select max(a.quantity + coalesce(h.quantity, 0)) from asked a left join held h using (product_id)) as units`;
  const { active, open, units } = expectRow(rows);
  return { active, openCheckouts: open, mostUnits: units };
}

type EntryRow = Readonly<{
  lineNo: number;
  sku: string | null;
  name: string | null;
  currency: string | null;
  price: bigint | null;
  forSale: boolean | null;
  hasVariants: boolean | null;
  variantSku: string | null;
  variantName: string | null;
  variantPrice: bigint | null;
  variantForSale: boolean | null;
}>;

/** What the catalogue says now about every line, in one statement. */
export async function readCatalogue(tx: SqlTransaction, lines: readonly CartLine[]): Promise<CatalogueEntry[]> {
  const rows = await tx.$queryRaw<EntryRow[]>`
    select l."lineNo", p.sku, p.name, p.currency::text, coalesce(p.sale_price, p.base_price) as price,
      p.status = 'ACTIVE' as "forSale",
      exists (select from product_variants where product_id = p.id) as "hasVariants",
      v.variant_sku as "variantSku", v.name as "variantName", v.price as "variantPrice",
      v.status = 'ACTIVE' as "variantForSale"
    from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb)
      as l("lineNo" integer, "productId" text, "variantId" text)
    left join products p on p.id = l."productId"::bigint
    left join product_variants v on v.id = l."variantId"::bigint and v.product_id = p.id`;
  return rows.map(entryOf);
}

function entryOf(row: EntryRow): CatalogueEntry {
  const { lineNo, sku, name, currency, price, forSale, hasVariants } = row;
  const known = sku !== null && name !== null && currency !== null && price !== null;
  const variantKnown = row.variantSku !== null && row.variantName !== null;
  return {
    lineNo,
    product: known
      ? {
          sku,
          name,
          forSale: forSale === true,
          hasVariants: hasVariants === true,
          price: { minor: safeNumber(price), currency },
        }
      : null,
    variant: variantKnown
      ? {
          sku: row.variantSku,
          name: row.variantName,
          forSale: row.variantForSale === true,
          priceMinor: row.variantPrice === null ? null : safeNumber(row.variantPrice),
        }
      : null,
  };
}
