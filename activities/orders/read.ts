import { type OrderStatus, paymentStatusOf } from '../../domain/order.ts';
import type { PaymentInstructions } from '../../domain/payment.ts';
import type { Databases } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

const money = (minor: bigint, currency: string) => ({ minor: safeNumber(minor), currency });

/**
 * The authoritative order, as the API shows it. The owner is part of the query: somebody else's order does not exist.
 *
 * @param customerId `users.id` of the owner, or null for an administrator
 * @returns undefined when there is no such order for this caller
 */
export async function readOrder(
  orders: Databases['order'],
  { orderId, customerId }: Readonly<{ orderId: string; customerId: string | null }>,
) {
  const row = await orders.order.findFirst({
    where: { id: orderId, ...(customerId !== null && { userId: BigInt(customerId) }) },
    include: { items: { orderBy: { lineNo: 'asc' } }, history: { orderBy: { id: 'asc' } } },
  });
  if (row === null) return undefined;
  const { currency } = row;
  return {
    orderId: row.id,
    orderNumber: row.orderNumber,
    version: safeNumber(row.version),
    status: row.status as OrderStatus,
    failure: row.failureCode === null ? null : { code: row.failureCode, message: row.failureMessage ?? '' },
    items: row.items.map((item) => ({
      lineNo: item.lineNo,
      productId: item.productId.toString(),
      variantId: item.variantId?.toString() ?? null,
      locationCode: item.locationCode,
      sku: item.productSku,
      name: item.productName,
      unitPrice: money(item.unitPrice, currency),
      quantity: item.quantity,
      lineTotal: money(item.lineTotal, currency),
    })),
    total: money(row.totalAmount, currency),
    refunded: money(row.refundedAmount, currency),
    payment: {
      method: row.paymentMethod,
      status: paymentStatusOf(row.status as OrderStatus, row.paymentExpiresAt !== null),
      instructions: row.status === 'PENDING' ? (row.paymentInstructions as PaymentInstructions | null) : null,
      expiresAt: row.status === 'PENDING' ? (row.paymentExpiresAt?.toISOString() ?? null) : null,
    },
    placedAt: row.placedAt.toISOString(),
    history: row.history.map(({ orderVersion, status, reason, actor, occurredAt }) => ({
      version: safeNumber(orderVersion),
      status,
      reason,
      actor,
      at: occurredAt.toISOString(),
    })),
  };
}

export type OrderView = NonNullable<Awaited<ReturnType<typeof readOrder>>>;

/**
 * How long a customer whose cards were declined too often should wait, seconds: until fewer than `limit` of them are of the
 * last hour.
 *
 * @returns undefined when there are fewer
 */
export async function declinedTooOften(
  orders: Pick<Databases['order'], '$queryRaw'>,
  { customerId, limit }: Readonly<{ customerId: string; limit: number }>,
): Promise<number | undefined> {
  const [row] = await orders.$queryRaw<{ seconds: number }[]>`
    select ceil(extract(epoch from created_at + interval '1 hour' - now()))::integer as seconds
    from orders
    where user_id = ${customerId}::bigint and created_at > now() - interval '1 hour'
      and failure_code = 'PAYMENT_DECLINED'
    order by created_at desc
    offset ${limit - 1}::integer limit 1`;
  return row?.seconds;
}
