import type { Databases } from '../infra/databases.ts';
import { safeNumber } from '../infra/rows.ts';
import type { Prisma } from '../prisma/platform/generated/client.ts';

export type ProductFilter = Readonly<{
  /** Id of the last product of the page before. */
  after: string | undefined;
  limit: number;
  /** Part of the name, the SKU or the brand, in any case. */
  search: string | undefined;
  /** Slug; products of its direct subcategories belong to it. */
  category: string | undefined;
}>;

const shown = {
  category: { select: { slug: true, name: true } },
  variants: { where: { status: 'ACTIVE' }, orderBy: { id: 'asc' } },
  snapshots: { orderBy: [{ variantId: 'asc' }, { locationCode: 'asc' }] },
} as const satisfies Prisma.ProductInclude;

type ProductRow = Prisma.ProductGetPayload<{ include: typeof shown }>;

/** One page of active products in id order. `lastId` is null on the last page. */
export async function listProducts(
  platform: Databases['platform'],
  { after, limit, search, category }: ProductFilter,
): Promise<{ items: object[]; lastId: string | null }> {
  const rows = await platform.product.findMany({
    where: {
      status: 'ACTIVE',
      ...(after !== undefined && { id: { gt: BigInt(after) } }),
      ...(search !== undefined && { OR: matching(search) }),
      ...(category !== undefined && { category: { OR: [{ slug: category }, { parent: { slug: category } }] } }),
    },
    include: shown,
    orderBy: { id: 'asc' },
    take: limit + 1, // one more than shown tells whether there is a next page
  });
  const page = rows.slice(0, limit);
  const last = rows.length > limit ? page.at(-1) : undefined;
  return { items: page.map(present), lastId: last?.id.toString() ?? null };
}

/** An active product; undefined for any other, archived ones too. */
export async function findProduct(platform: Databases['platform'], id: string): Promise<object | undefined> {
  const row = await platform.product.findFirst({ where: { id: BigInt(id), status: 'ACTIVE' }, include: shown });
  return row === null ? undefined : present(row);
}

/** `%` and `_` are taken as themselves: Prisma passes them on to LIKE. */
function matching(search: string): Prisma.ProductWhereInput[] {
  const contains = { contains: search.replace(/[\\%_]/g, '\\$&'), mode: 'insensitive' } as const;
  return [{ name: contains }, { sku: contains }, { brand: contains }];
}

function present(row: ProductRow): object {
  const money = (minor: bigint) => ({ minor: safeNumber(minor), currency: row.currency });
  const price = row.salePrice ?? row.basePrice;
  const stockOf = (variantId: bigint | null) =>
    row.snapshots
      .filter((snapshot) => snapshot.variantId === variantId)
      .map(({ locationCode, availableQuantity, stockStatus }) => ({
        locationCode,
        available: availableQuantity,
        stockStatus,
      }));
  return {
    productId: row.id.toString(),
    sku: row.sku,
    name: row.name,
    slug: row.slug,
    description: row.description,
    brand: row.brand,
    imageUrl: row.primaryImageUrl,
    category: row.category,
    price: money(price),
    basePrice: money(row.basePrice),
    stock: stockOf(null),
    variants: row.variants.map((variant) => ({
      variantId: variant.id.toString(),
      sku: variant.variantSku,
      name: variant.name,
      options: variant.options,
      price: money(variant.price ?? price),
      stock: stockOf(variant.id),
    })),
  };
}
