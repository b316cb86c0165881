import { type Chance, chance } from './random.ts';
import { BRANDS, OPTIONS, QUALITIES, type Shelf, SHELVES } from './words.ts';

export type UserSeed = Readonly<{ id: number; username: string; email: string; fullName: string; status: string }>;

/** Prices are minor units of `currency`. */
export type ProductSeed = Readonly<{
  id: number;
  categoryId: number;
  sku: string;
  name: string;
  slug: string;
  description: string;
  brand: string | null;
  status: 'DRAFT' | 'ACTIVE' | 'ARCHIVED';
  currency: 'KRW' | 'USD';
  basePrice: number;
  salePrice: number | null;
  variants: readonly VariantSeed[];
}>;

export type VariantSeed = Readonly<{
  id: number;
  sku: string;
  name: string;
  options: Readonly<Record<string, string>>;
  price: number | null;
}>;

export type StockSeed = Readonly<{
  productId: number;
  variantId: number | null;
  locationCode: 'MAIN' | 'BUSAN';
  available: number;
  lowStockThreshold: number;
}>;

const USERS = 100;
const ADMINISTRATOR = 100;
const FIRST_GENERATED = 103;
const LAST_PRODUCT = 440;
const START = 20_261_123;
/** What documents, tests and the demo order, as often as they like. */
const PLENTY = 1_000_000;

/** Users 1 and 2 are active customers, user 100 is the administrator. */
export function users(): UserSeed[] {
  const luck = chance(START);
  return Array.from({ length: USERS }, (_, index) => {
    const id = index + 1;
    if (id === ADMINISTRATOR) return user(id, 'admin', 'Shop Administrator', 'ACTIVE');
    const number = String(id).padStart(3, '0');
    const status = id <= 2 ? 'ACTIVE' : luck.pick(STATUSES);
    return user(id, `customer${number}`, `Customer ${number}`, status);
  });
}

const STATUSES = [...Array<string>(8).fill('ACTIVE'), 'INACTIVE', 'DELETED'];

const user = (id: number, username: string, fullName: string, status: string): UserSeed => ({
  id,
  username,
  email: `${username}@example.com`,
  fullName,
  status,
});

/** Products 101 (with variants) and 102 (without) are fixed; the rest are drawn. */
export function products(): ProductSeed[] {
  const luck = chance(START + 1);
  const drawn = Array.from({ length: LAST_PRODUCT - FIRST_GENERATED + 1 }, (_, index) => {
    const shelf = SHELVES[index % SHELVES.length];
    if (shelf === undefined) throw new Error('there are no shelves');
    return product(FIRST_GENERATED + index, shelf, luck);
  });
  return [MUG, COASTER, ...drawn];
}

const MUG: ProductSeed = {
  id: 101,
  categoryId: 11,
  sku: 'MUG',
  name: 'Mug',
  slug: 'mug',
  description: 'A mug for coffee and tea, 350 ml.',
  brand: 'Plainware',
  status: 'ACTIVE',
  currency: 'KRW',
  basePrice: 12_000,
  salePrice: null,
  variants: [
    { id: 1011, sku: 'MUG-BLUE', name: 'Blue', options: { color: 'Blue' }, price: null },
    { id: 1012, sku: 'MUG-GREEN', name: 'Green', options: { color: 'Green' }, price: null },
    { id: 1013, sku: 'MUG-GOLD', name: 'Gold rim', options: { color: 'Gold rim' }, price: 15_000 },
  ],
};

const COASTER: ProductSeed = {
  ...MUG,
  id: 102,
  categoryId: 13,
  sku: 'COASTER',
  name: 'Cork Coaster',
  slug: 'cork-coaster',
  description: 'A round coaster made of cork, 10 cm.',
  basePrice: 3_500,
  variants: [],
};

function product(id: number, shelf: Shelf, luck: Chance): ProductSeed {
  const thing = luck.pick(shelf.things);
  const name = `${luck.pick(QUALITIES)} ${thing}`;
  const sku = `${shelf.prefix}-${id}`;
  const currency = luck.happens(12) ? 'USD' : 'KRW';
  const won = luck.whole(shelf.prices[0] / 100, shelf.prices[1] / 100) * 100;
  // A thousand won to the dollar, less a cent: near enough for goods that nobody sells.
  const basePrice = currency === 'KRW' ? won : Math.ceil(won / 1_000) * 100 - 1;
  return {
    id,
    categoryId: shelf.category.id,
    sku,
    name,
    slug: `${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}-${id}`,
    description: `${name}, from our range of ${shelf.category.name.toLowerCase()}.`,
    brand: luck.pick(BRANDS),
    status: luck.happens(5) ? 'ARCHIVED' : luck.happens(3) ? 'DRAFT' : 'ACTIVE',
    currency,
    basePrice,
    salePrice: luck.happens(20) ? Math.floor((basePrice * (100 - luck.whole(10, 40))) / 100) : null,
    variants: luck.happens(45) ? variants(id, sku, basePrice, shelf.option, luck) : [],
  };
}

function variants(id: number, sku: string, base: number, option: Shelf['option'], luck: Chance): VariantSeed[] {
  const values = OPTIONS[option].slice(0, luck.whole(2, OPTIONS[option].length));
  return values.map((value, index) => ({
    id: id * 10 + index + 1,
    sku: `${sku}-${value.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '')}`,
    name: value,
    options: { [option]: value },
    price: option !== 'color' && index > 0 && luck.happens(60) ? Math.floor((base * (100 + 15 * index)) / 100) : null,
  }));
}

/** Stock of every variant, or of the product that has none, at MAIN and for most of them at BUSAN too. */
export function stock(catalogue: readonly ProductSeed[]): StockSeed[] {
  const luck = chance(START + 2);
  return catalogue.flatMap((item) => {
    const units = item.variants.length > 0 ? item.variants.map(({ id }) => id) : [null];
    return units.flatMap((variantId) => stockOf(item.id, variantId, luck));
  });
}

function stockOf(productId: number, variantId: number | null, luck: Chance): StockSeed[] {
  const plentiful = productId < FIRST_GENERATED;
  const row = (locationCode: StockSeed['locationCode']): StockSeed => ({
    productId,
    variantId,
    locationCode,
    available: plentiful ? PLENTY : quantity(luck),
    lowStockThreshold: 10,
  });
  return plentiful || luck.happens(60) ? [row('MAIN'), row('BUSAN')] : [row('MAIN')];
}

function quantity(luck: Chance): number {
  if (luck.happens(8)) return 0;
  return luck.happens(12) ? luck.whole(1, 10) : luck.whole(11, 2_000);
}
