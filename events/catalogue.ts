import { z } from 'zod';

import type { OlderVersion } from './upcast.ts';

/** The services that tell what happened; each has a topic of its own on the bus. */
export const EVENT_SOURCES = ['platform', 'order', 'payment'] as const;
export type EventSource = (typeof EVENT_SOURCES)[number];

/** One type of event. `version` and `data` are the newest; `older` is how versions 1 to `version` - 1 become it. */
export type EventTypeEntry = Readonly<{
  source: EventSource;
  aggregate: string;
  version: number;
  data: z.ZodObject;
  older?: readonly OlderVersion[];
}>;

const minor = z.number().int().nonnegative().describe('minor units: 1 is ₩1, 100 is $1.00');
const currency = z
  .string()
  .regex(/^[A-Z]{3}$/)
  .describe('ISO 4217 code');
const id = z.string().regex(/^\d+$/);

const orderLine = z.strictObject({
  lineNo: z.number().int().positive(),
  productId: id,
  variantId: id.nullable(),
  sku: z.string(),
  name: z.string(),
  unitPriceMinor: minor,
  quantity: z.number().int().positive(),
  lineTotalMinor: minor,
});

/** Totals so far, never differences: a view can apply an event late or twice. */
const order = z.strictObject({
  orderId: z.uuid(),
  orderNumber: z.string(),
  userId: id,
  status: z.enum(['PENDING', 'PAID', 'FAILED', 'CANCELLED', 'PARTIALLY_REFUNDED', 'REFUNDED']),
  currency,
  totalMinor: minor,
  refundedTotalMinor: minor,
  itemCount: z.number().int().positive(),
  paymentMethod: z.string(),
  failureCode: z.string().nullable(),
  placedAt: z.string(),
  lines: z.array(orderLine),
});

const payment = z.strictObject({
  paymentId: z.uuid(),
  orderId: z.uuid(),
  userId: id,
  provider: z.string(),
  method: z.string(),
  status: z.string(),
  currency,
  amountMinor: minor,
  capturedMinor: minor,
  /** Of `capturedMinor` and `refundedMinor`: a gateway may take another currency than was asked. Null before. */
  capturedCurrency: currency.nullable(),
  refundedMinor: minor,
  failureCode: z.string().nullable(),
});

const stock = z.strictObject({
  productId: id,
  variantId: id.nullable(),
  locationCode: z.string(),
  quantityChange: z.number().int(),
  reservedChange: z.number().int(),
  available: z.number().int().nonnegative(),
  reserved: z.number().int().nonnegative(),
  lowStockThreshold: z.number().int().nonnegative(),
  reason: z.string(),
  orderId: z.uuid().nullable(),
});

const personal = z
  .string()
  .describe('sealed under the key of the person, which only the platform has; a placeholder once they were erased');

const user = z.strictObject({
  userId: id,
  username: personal,
  email: personal,
  fullName: personal,
  status: z.string(),
});

const product = z.strictObject({
  productId: id,
  sku: z.string(),
  name: z.string(),
  slug: z.string(),
  description: z.string(),
  brand: z.string().nullable(),
  categoryId: id,
  categoryName: z.string(),
  categorySlug: z.string(),
  /** Of the category above, whose page lists the product too; null where there is none. Older events do not tell it. */
  parentCategorySlug: z.string().nullable().optional(),
  status: z.string(),
  currency,
  basePriceMinor: minor,
  salePriceMinor: minor.nullable(),
  primaryImageUrl: z.string().nullable(),
  variants: z.array(
    z.strictObject({
      variantId: id,
      sku: z.string(),
      name: z.string(),
      options: z.record(z.string(), z.string()),
      priceMinor: minor.nullable(),
      status: z.string(),
    }),
  ),
});

/**
 * Every event type with the service it comes from, its aggregate, and the newest version of its data. To change the data
 * of a type: raise `version`, and add what it was until now to `older` (see `olderVersion`), because events are kept.
 */
export const EVENT_TYPES = {
  UserCreated: { source: 'platform', aggregate: 'user', version: 1, data: user },
  UserUpdated: { source: 'platform', aggregate: 'user', version: 1, data: user },
  ProductCreated: { source: 'platform', aggregate: 'product', version: 1, data: product },
  ProductUpdated: { source: 'platform', aggregate: 'product', version: 1, data: product },
  InventoryReserved: { source: 'platform', aggregate: 'inventory', version: 1, data: stock },
  InventoryCommitted: { source: 'platform', aggregate: 'inventory', version: 1, data: stock },
  InventoryReleased: { source: 'platform', aggregate: 'inventory', version: 1, data: stock },
  InventoryAdjusted: { source: 'platform', aggregate: 'inventory', version: 1, data: stock },
  OrderCreated: { source: 'order', aggregate: 'order', version: 1, data: order },
  OrderPaid: { source: 'order', aggregate: 'order', version: 1, data: order },
  OrderFailed: { source: 'order', aggregate: 'order', version: 1, data: order },
  OrderCancelled: { source: 'order', aggregate: 'order', version: 1, data: order },
  OrderRefunded: { source: 'order', aggregate: 'order', version: 1, data: order },
  PaymentPending: { source: 'payment', aggregate: 'payment', version: 1, data: payment },
  PaymentCompleted: { source: 'payment', aggregate: 'payment', version: 1, data: payment },
  PaymentFailed: { source: 'payment', aggregate: 'payment', version: 1, data: payment },
  PaymentCancelled: { source: 'payment', aggregate: 'payment', version: 1, data: payment },
  PaymentRefunded: { source: 'payment', aggregate: 'payment', version: 1, data: payment },
} as const satisfies Record<string, EventTypeEntry>;

export type EventType = keyof typeof EVENT_TYPES;
export type EventData<T extends EventType> = z.infer<(typeof EVENT_TYPES)[T]['data']>;

/** How a service names itself in the `source` of its events (CloudEvents 1.0). */
export const sourceUri = (source: EventSource): string => `/commerce-saga/${source}`;

/** The `dataschema` of a type in one of its versions. */
export const schemaUri = (type: string, version: number): string => `urn:commerce-saga:event:${type}:v${version}`;
