import { createHash, randomUUID } from 'node:crypto';

import { adjustStock } from '../../activities/inventory/administration.ts';
import type { CartLine, CheckoutInput, PricedLine, Reservation } from '../../domain/checkout.ts';
import { orderIdFor } from '../../events/ids.ts';
import type { Databases } from '../../infra/databases.ts';

type Platform = Databases['platform'];

/** What names a row of stock: spread it into a cart line. */
export type Item = Readonly<{ productId: string; variantId: string | null; locationCode: string }>;

export type ItemOptions = Readonly<{
  stock?: number;
  priceMinor?: number;
  salePriceMinor?: number;
  currency?: string;
  status?: 'DRAFT' | 'ACTIVE' | 'ARCHIVED';
}>;

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** @returns `users.id` of a customer whom nobody else knows */
export async function makeCustomer(platform: Platform, status = 'ACTIVE'): Promise<string> {
  const username = `c-${randomUUID()}`;
  const { id } = await platform.user.create({
    data: { username, email: `${username}@shop.test`, fullName: 'A Customer', status },
  });
  return id.toString();
}

/** A product without variants, ₩1,000 unless said otherwise, with 100 pieces at MAIN in ledger and snapshot. */
export async function makeItem(platform: Platform, options: ItemOptions = {}): Promise<Item> {
  const item = { productId: await makeProduct(platform, options), variantId: null, locationCode: 'MAIN' };
  await stockUp(platform, item, options.stock ?? 100);
  return item;
}

/** A product with one variant; a null price is the product's. */
export async function makeVariant(
  platform: Platform,
  options: ItemOptions & Readonly<{ variantPriceMinor?: number | null; variantStatus?: string }> = {},
): Promise<Item & Readonly<{ variantId: string }>> {
  const productId = await makeProduct(platform, options);
  const { id } = await platform.productVariant.create({
    data: {
      productId: BigInt(productId),
      variantSku: `v-${randomUUID()}`,
      name: 'Blue',
      price: options.variantPriceMinor ?? null,
      status: options.variantStatus ?? 'ACTIVE',
    },
  });
  const item = { productId, variantId: id.toString(), locationCode: 'MAIN' };
  await stockUp(platform, item, options.stock ?? 100);
  return item;
}

async function makeProduct(platform: Platform, options: ItemOptions): Promise<string> {
  const sku = `p-${randomUUID()}`;
  const { id } = await platform.product.create({
    data: {
      category: { create: { name: 'Things', slug: sku } },
      sku,
      slug: sku,
      name: `Thing ${sku.slice(0, 8)}`,
      status: options.status ?? 'ACTIVE',
      currency: options.currency ?? 'KRW',
      basePrice: options.priceMinor ?? 1_000,
      salePrice: options.salePriceMinor ?? null,
    },
  });
  return id.toString();
}

async function stockUp(platform: Platform, item: Item, units: number): Promise<void> {
  const variantId = item.variantId === null ? null : BigInt(item.variantId);
  await platform.inventorySnapshot.create({
    data: { productId: BigInt(item.productId), variantId, locationCode: item.locationCode },
  });
  if (units > 0) await adjustBy(platform, item, units);
}

/** Stock found (+) or lost (−). */
export const adjustBy = (platform: Platform, item: Item, quantityChange: number) =>
  adjustStock(platform, {
    ...item,
    quantityChange,
    reason: 'COUNTED',
    caller: '1',
    idempotencyKey: randomUUID(),
    requestHash: sha256('counted'),
  });

export type Cart = Readonly<{ item: Item; quantity: number }>;

/** The input of a checkout of its own, with ids as the API makes them. */
export function checkoutInput(
  customerId: string,
  cart: readonly Cart[],
  changes: Partial<CheckoutInput> = {},
): CheckoutInput {
  const lines = cart.map(({ item, quantity }, index): CartLine => ({ ...item, lineNo: index + 1, quantity }));
  return {
    orderId: orderIdFor('POST /v1/checkouts', customerId, randomUUID()),
    customerId,
    requestHash: sha256(JSON.stringify(lines)),
    lines,
    payment: { method: 'card', token: 'tok_ok' },
    expectedTotal: null,
    startDeadline: new Date(Date.now() + 60_000).toISOString(),
    ...changes,
  };
}

/** What `reserveStock` answers for `count` lines of one piece each. */
export function reservationOf(count: number, unitMinor = 1_000): Reservation {
  const unitPrice = { minor: unitMinor, currency: 'KRW' };
  const lines = Array.from({ length: count }, (_, index): PricedLine => {
    const variant = index % 2 === 0 ? null : { id: String(700 + index), name: 'Blue' };
    return {
      lineNo: index + 1,
      productId: String(100 + index),
      variantId: variant?.id ?? null,
      locationCode: 'MAIN',
      sku: `sku-${index}`,
      name: `Thing ${index}`,
      variantName: variant?.name ?? null,
      unitPrice,
      quantity: 1,
      lineTotal: unitPrice,
    };
  });
  const total = { minor: unitMinor * count, currency: 'KRW' };
  return { lines, total, paymentMethod: 'card', placedAt: '2026-11-23T01:02:03.456Z' };
}
