export type CategorySeed = Readonly<{ id: number; parentId: number | null; name: string; slug: string }>;

/** What the products of a category are called, and how its variants differ. */
export type Shelf = Readonly<{
  category: CategorySeed;
  prefix: string;
  things: readonly string[];
  option: keyof typeof OPTIONS;
  /** Ordinary prices, from and to, in KRW. */
  prices: readonly [number, number];
}>;

export const OPTIONS = {
  color: ['Blue', 'Green', 'White', 'Black', 'Red'],
  size: ['S', 'M', 'L', 'XL'],
  pack: ['Single', 'Pack of 3', 'Pack of 6'],
} as const;

export const QUALITIES = ['Plain', 'Classic', 'Compact', 'Sturdy', 'Light', 'Everyday', 'Deluxe', 'Folding'] as const;

/** Made-up brands; null for goods without one. */
export const BRANDS = ['Northwind Goods', 'Plainware', 'Harbor & Pine', 'Daily Works', null] as const;

const ROOTS: readonly CategorySeed[] = [
  root(1, 'Kitchen'),
  root(2, 'Home'),
  root(3, 'Clothing'),
  root(4, 'Office'),
  root(5, 'Outdoor'),
];

export const SHELVES: readonly Shelf[] = [
  shelf(11, 1, 'Drinkware', 'DRK', ['Cup', 'Glass', 'Tumbler', 'Teapot'], 'color', [4_000, 38_000]),
  shelf(12, 1, 'Cookware', 'CKW', ['Pan', 'Pot', 'Wok', 'Kettle'], 'size', [15_000, 120_000]),
  shelf(13, 1, 'Tableware', 'TBW', ['Plate', 'Bowl', 'Tray', 'Chopsticks'], 'color', [3_000, 45_000]),
  shelf(21, 2, 'Bedding', 'BED', ['Pillow', 'Blanket', 'Sheet', 'Duvet'], 'size', [12_000, 150_000]),
  shelf(22, 2, 'Lighting', 'LGT', ['Desk Lamp', 'Floor Lamp', 'Lantern', 'Night Light'], 'color', [9_000, 180_000]),
  shelf(23, 2, 'Storage', 'STG', ['Basket', 'Box', 'Shelf', 'Hook Rail'], 'size', [5_000, 90_000]),
  shelf(31, 3, 'Shirts', 'SHR', ['T-Shirt', 'Shirt', 'Polo', 'Sweater'], 'size', [14_000, 79_000]),
  shelf(32, 3, 'Socks', 'SCK', ['Ankle Socks', 'Wool Socks', 'Knee Socks', 'Slippers'], 'pack', [3_000, 25_000]),
  shelf(33, 3, 'Bags', 'BAG', ['Tote', 'Backpack', 'Pouch', 'Shoulder Bag'], 'color', [12_000, 140_000]),
  shelf(41, 4, 'Paper', 'PPR', ['Notebook', 'Planner', 'Envelope', 'Sketchbook'], 'pack', [2_000, 28_000]),
  shelf(42, 4, 'Writing', 'WRT', ['Pen', 'Pencil', 'Marker', 'Fountain Pen'], 'color', [1_500, 60_000]),
  shelf(43, 4, 'Desk', 'DSK', ['Organizer', 'Book Stand', 'Desk Mat', 'Monitor Stand'], 'color', [8_000, 99_000]),
  shelf(51, 5, 'Camping', 'CMP', ['Camp Chair', 'Tent', 'Stove', 'Cooler'], 'size', [19_000, 320_000]),
  shelf(52, 5, 'Cycling', 'CYC', ['Bottle Cage', 'Bell', 'Front Light', 'Pannier'], 'color', [5_000, 88_000]),
];

/** Parents before their children. */
export const CATEGORIES: readonly CategorySeed[] = [...ROOTS, ...SHELVES.map(({ category }) => category)];

function root(id: number, name: string): CategorySeed {
  return { id, parentId: null, name, slug: name.toLowerCase() };
}

function shelf(
  id: number,
  parentId: number,
  name: string,
  prefix: string,
  things: readonly string[],
  option: keyof typeof OPTIONS,
  prices: readonly [number, number],
): Shelf {
  return { category: { id, parentId, name, slug: name.toLowerCase() }, prefix, things, option, prices };
}
