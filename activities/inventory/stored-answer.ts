import { type PlacedAnswer, placedOrder } from '../../domain/checkout.ts';
import { isRefusal } from '../../domain/errors.ts';
import type { Databases } from '../../infra/databases.ts';

/**
 * The answer that a request got when it was first made, for as long as the database lives: Temporal's retention is
 * not deduplication. Undefined while the checkout is unknown or under way; then the workflow knows better, because
 * stock may be reserved for an order that was not made yet.
 */
export async function storedAnswer(
  platform: Databases['platform'],
  orderId: string,
): Promise<PlacedAnswer | undefined> {
  const header = await platform.inventoryOrder.findUnique({ where: { orderId } });
  if (header === null || header.requestHash === null || header.state === null || header.state === 'RESERVED') return;
  const answer = header.answer as unknown;
  if (answer === null) return;
  const { requestHash } = header;
  if (isRefusal(answer)) return { requestHash, refusal: answer };
  return { requestHash, order: placedOrder(orderId, answer as Parameters<typeof placedOrder>[1]) };
}
